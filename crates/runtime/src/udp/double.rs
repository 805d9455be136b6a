//! A socket that refuses what a test wants it to.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;

use rustix::io::Errno;
use wirewright_engine::{Batch, Endpoint};

use super::link::Link;

/// What was sent: where to, how many bytes, and how long each datagram was.
pub(super) type Sent = (Endpoint, usize, usize);

/// Answers as its functions do, and keeps a record.
pub(super) struct Double<'a> {
    pub(super) refuse: &'a dyn Fn(Sent) -> Option<Errno>,
    /// All calls, with whether they succeeded.
    pub(super) calls: RefCell<Vec<(Sent, bool)>>,
    /// What calls of `receive` give; then there is nothing.
    pub(super) arrivals: RefCell<VecDeque<Result<usize, Errno>>>,
    pub(super) receptions: RefCell<usize>,
}

impl<'a> Double<'a> {
    pub(super) fn new(refuse: &'a dyn Fn(Sent) -> Option<Errno>) -> Self {
        Self {
            refuse,
            calls: RefCell::default(),
            arrivals: RefCell::default(),
            receptions: RefCell::default(),
        }
    }

    /// The lengths of what was taken since the last call.
    pub(super) fn taken(&self) -> Vec<usize> {
        let calls = self.calls.take().into_iter();
        calls
            .filter(|(_, taken)| *taken)
            .map(|((_, len, _), _)| len)
            .collect()
    }
}

impl Link for Double<'_> {
    fn is_ipv6(&self) -> bool {
        false
    }

    fn most(&self) -> usize {
        64
    }

    fn send(&self, path: Endpoint, contents: &[u8], segment: usize) -> io::Result<()> {
        let sent = (path, contents.len(), segment);
        let refused = (self.refuse)(sent);
        self.calls.borrow_mut().push((sent, refused.is_none()));
        refused.map_or(Ok(()), |errno| Err(errno.into()))
    }

    fn receive(&self, _: &mut [Batch]) -> io::Result<usize> {
        *self.receptions.borrow_mut() += 1;
        let next = self.arrivals.borrow_mut().pop_front();
        next.unwrap_or(Err(Errno::AGAIN)).map_err(io::Error::from)
    }
}
