//! Letters from thread to thread.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;

use parking_lot::Mutex;
use wirewright_engine::{Command, Counters, HandedOver, Handover, PeerReport};
use wirewright_runtime::Waker;

use crate::udp::Sockets;

/// What a shard's thread is asked.
pub(crate) enum Letter {
    /// A change of the configuration.
    Command(Command),
    /// Something that another shard goes on with here.
    Handover(Handover),
    /// Another MTU of the interface.
    Mtu(usize),
    /// Other sockets, or none for as long as the interface is down; whoever sent them hears when the old ones are given up.
    Sockets {
        fresh: Option<Arc<Sockets>>,
        taken: SyncSender<()>,
    },
    /// To tell of up to so many peers from a slot on.
    Report {
        from: u32,
        most: u32,
        answer: SyncSender<(Vec<PeerReport>, Option<u32>)>,
    },
    /// To tell what went wrong, and how much was handed over.
    Counters(SyncSender<(Counters, HandedOver, usize)>),
    /// To tell that all letters before this one were read.
    Known(SyncSender<()>),
    /// To end.
    Stop,
}

/// Hand-overs that may wait: beyond them a shard that cannot keep up would only collect memory.
const MOST_HANDOVERS: usize = 64;

/// The letters of one thread.
pub(crate) struct Mailbox {
    letters: Mutex<Letters>,
    /// Read without the lock, once a round.
    filled: AtomicBool,
    waker: Waker,
}

#[derive(Default)]
struct Letters {
    queue: VecDeque<Letter>,
    handovers: usize,
    closed: bool,
}

impl Mailbox {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            letters: Mutex::default(),
            filled: AtomicBool::new(false),
            waker: Waker::new()?,
        })
    }

    /// Puts a letter in, and wakes its reader. False: it was a hand-over, and too many wait; or nobody reads any more.
    pub(crate) fn post(&self, letter: Letter) -> bool {
        let mut letters = self.letters.lock();
        if letters.closed {
            return false;
        }
        if matches!(letter, Letter::Handover(_)) {
            if letters.handovers >= MOST_HANDOVERS {
                return false;
            }
            letters.handovers += 1;
        }
        letters.queue.push_back(letter);
        self.filled.store(true, Ordering::Release);
        drop(letters);
        self.waker.wake();
        true
    }

    /// Takes all letters out, in their order, into `into`, which is empty.
    pub(crate) fn take(&self, into: &mut VecDeque<Letter>) {
        if !self.filled.load(Ordering::Acquire) {
            return;
        }
        let mut letters = self.letters.lock();
        std::mem::swap(&mut letters.queue, into);
        letters.handovers = 0;
        self.filled.store(false, Ordering::Release);
    }

    /// Its reader has ended: throws all letters away, those still to come, too, so that nobody waits for an answer.
    pub(crate) fn close(&self) {
        let mut letters = self.letters.lock();
        letters.closed = true;
        letters.queue.clear();
    }

    /// To be called after waking up and before [`Mailbox::take`].
    pub(crate) fn rest(&self) {
        self.waker.rest();
    }
}

impl AsFd for Mailbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn whoever_waits_for_a_reader_that_ended_hears_so_at_once() {
        let mailbox = Mailbox::new().unwrap();
        let (answer, answers) = mpsc::sync_channel(2);
        assert!(mailbox.post(Letter::Counters(answer.clone())));
        mailbox.close();
        assert!(!mailbox.post(Letter::Counters(answer)));
        assert!(matches!(
            answers.try_recv(),
            Err(mpsc::TryRecvError::Disconnected)
        ));
    }
}
