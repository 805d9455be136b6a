//! What all connections of a stack may add to their windows together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that are left.
#[derive(Clone)]
pub(crate) struct Budget(Arc<AtomicUsize>);

/// One connection's part, which returns with it.
pub(super) struct Share {
    budget: Budget,
    taken: usize,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    pub(super) fn share(&self) -> Share {
        Share {
            budget: self.clone(),
            taken: 0,
        }
    }
}

impl Share {
    /// Takes so many bytes more, if they are left.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let left = |left: usize| left.checked_sub(bytes);
        let took = self
            .budget
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, left)
            .is_ok();
        self.taken += if took { bytes } else { 0 };
        took
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.0.fetch_add(self.taken, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_taken_from_all_and_returns_with_its_connection() {
        let budget = Budget::new(100);
        let (mut one, mut other) = (budget.share(), budget.share());
        assert!(one.take(60) && !other.take(60) && other.take(40));
        drop(one);
        assert!(other.take(60) && !other.take(1));
    }
}
