//! Batches for tests: each is new.

use wirewright_engine::Batch;

use super::Batches;

pub(super) struct Fresh;

impl Batches for Fresh {
    fn slots(&mut self) -> Batch {
        Batch::new(64, 2048)
    }

    fn whole(&mut self, bytes: usize) -> Batch {
        Batch::new(1, bytes)
    }
}
