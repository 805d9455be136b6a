//! The host's sockets where they cannot be had.

use std::convert::Infallible;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Orders, Reports};

/// The sockets of one interface: there are none.
pub struct Outside {
    never: Infallible,
}

/// No sockets.
pub(crate) struct Table(Infallible);

impl Outside {
    /// Says that this system has no way.
    ///
    /// # Errors
    /// Always.
    pub fn new(_: usize) -> io::Result<Self> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "a tunnel can forward for its peers on Linux only",
        ))
    }

    /// How many sockets there may be.
    #[must_use]
    pub fn places(&self) -> usize {
        match self.never {}
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        match self.never {}
    }

    pub(crate) fn table(&self) -> &Arc<Mutex<Table>> {
        match self.never {}
    }

    pub(crate) fn part_from_parent(&self, _: &mut Table) {
        match self.never {}
    }
}

impl Table {
    pub(crate) fn perform(&mut self, _: &mut Orders, _: &mut Reports) {
        match self.0 {}
    }

    pub(crate) fn look(&mut self, _: &mut Reports) {
        match self.0 {}
    }

    pub(crate) fn has_work(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn clear(&mut self) {
        match self.0 {}
    }
}
