//! What an operator may want to know, as lines on the standard error.
//!
//! # Theory
//!
//! The parts without I/O return notices; the shards' threads post them to a box of bounded size and go on, and only the
//! control thread writes. It writes a line only if the standard error takes it at once, so that nobody waits for whoever
//! reads the log. A bucket for each level bounds the lines of a second, and errors have their own. What was left out, for
//! whichever of these reasons, is counted, and told with the next line.
//!
//! No line holds a key: peers are named by eight characters of their public one, and requests by their line.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wirewright_engine::Notice;
use wirewright_protocol::{Instant, PublicKey};
use wirewright_runtime::{Waker, clock};

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Nothing.
    Silent,
    /// What was refused or failed.
    Error,
    /// Also what happens: handshakes, sockets, the interface's state.
    Verbose,
}

/// Notices that wait for the control thread.
const WAITING: usize = 256;
/// Lines of a level that may come at once, and the nanoseconds that pay for another.
const BURST: u64 = 50;
const INTERVAL: u64 = 100_000_000;

/// Writes the lines; it belongs to the control thread.
pub(crate) struct Journal<S = StandardError> {
    sink: S,
    interface: String,
    level: LogLevel,
    errors: Bucket,
    others: Bucket,
    notices: Receiver<Notice>,
    left_out: Arc<AtomicU64>,
}

/// Posts notices; each shard's thread has one.
#[derive(Clone)]
pub(crate) struct Reporter {
    /// `None` if nobody wants to know.
    notices: Option<SyncSender<Notice>>,
    left_out: Arc<AtomicU64>,
    waker: Arc<Waker>,
}

/// Where lines go.
pub(crate) trait Sink {
    /// Writes a line if it is taken at once; else false.
    fn write(&mut self, line: &str) -> bool;
}

/// A journal, and what posts to it and wakes its thread.
pub(crate) fn journal(interface: &str, level: LogLevel, waker: Arc<Waker>) -> (Journal, Reporter) {
    with_sink(StandardError, interface, level, waker)
}

fn with_sink<S>(sink: S, interface: &str, level: LogLevel, waker: Arc<Waker>) -> (Journal<S>, Reporter) {
    let (sender, notices) = mpsc::sync_channel(WAITING);
    let left_out = Arc::new(AtomicU64::new(0));
    let reporter = Reporter {
        notices: (level == LogLevel::Verbose).then_some(sender),
        left_out: left_out.clone(),
        waker,
    };
    let journal = Journal {
        sink,
        interface: interface.to_owned(),
        level,
        errors: Bucket::default(),
        others: Bucket::default(),
        notices,
        left_out,
    };
    (journal, reporter)
}

impl Reporter {
    /// Posts the notices of a round, and empties the list.
    pub(crate) fn post(&self, notices: &mut Vec<Notice>) {
        if notices.is_empty() {
            return;
        }
        let Some(sender) = &self.notices else {
            return notices.clear();
        };
        for notice in notices.drain(..) {
            if sender.try_send(notice).is_err() {
                self.left_out.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.waker.wake();
    }
}

impl<S: Sink> Journal<S> {
    /// Tells of something that was refused or failed.
    pub(crate) fn error(&mut self, what: impl fmt::Display) {
        self.line(clock::now().now, LogLevel::Error, what);
    }

    /// Tells of something that happened.
    pub(crate) fn verbose(&mut self, what: impl fmt::Display) {
        self.line(clock::now().now, LogLevel::Verbose, what);
    }

    /// Tells what was posted.
    pub(crate) fn collect(&mut self) {
        // As many as fit the box: whoever posts meanwhile wakes again.
        for _ in 0..WAITING {
            let Ok(notice) = self.notices.try_recv() else {
                return;
            };
            self.verbose(Told(notice));
        }
    }

    fn line(&mut self, now: Instant, level: LogLevel, what: impl fmt::Display) {
        if self.level < level {
            return;
        }
        let bucket = if level == LogLevel::Error {
            &mut self.errors
        } else {
            &mut self.others
        };
        if !bucket.take(now) || !self.write(&what) {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn write(&mut self, what: &dyn fmt::Display) -> bool {
        let left_out = self.left_out.load(Ordering::Relaxed);
        let interface = &self.interface;
        if left_out > 0 {
            if !self.sink.write(&format!(
                "wirewright-tun: {interface}: {left_out} lines were left out\n"
            )) {
                return false;
            }
            self.left_out.fetch_sub(left_out, Ordering::Relaxed);
        }
        self.sink.write(&format!("wirewright-tun: {interface}: {what}\n"))
    }
}

/// A notice in words.
struct Told(Notice);

impl fmt::Display for Told {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (peer, what) = match &self.0 {
            Notice::HandshakeCompleted(peer) => (peer, "handshake completed"),
            Notice::HandshakeGaveUp(peer) => (
                peer,
                "no answer to any handshake; given up until there is data for it",
            ),
            Notice::EndpointChanged(peer) => (peer, "heard from another address"),
        };
        write!(formatter, "peer {}: {what}", Short(peer))
    }
}

/// A public key as wireguard-go shortens it.
struct Short<'a>(&'a PublicKey);

impl fmt::Display for Short<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let part = |range| text.get(range).unwrap_or("");
        write!(formatter, "{}…{}", part(0..4), part(39..43))
    }
}

/// Bounds how often something happens.
struct Bucket {
    left: u64,
    /// Up to when time was counted.
    counted: Option<Instant>,
}

impl Default for Bucket {
    fn default() -> Self {
        Self {
            left: BURST,
            counted: None,
        }
    }
}

impl Bucket {
    fn take(&mut self, now: Instant) -> bool {
        let counted = *self.counted.get_or_insert(now);
        let nanos = now.as_nanos().saturating_sub(counted.as_nanos());
        let earned = nanos / INTERVAL;
        self.counted = Some(Instant::from_nanos(counted.as_nanos() + earned * INTERVAL));
        self.left = self.left.saturating_add(earned).min(BURST);
        let taken = self.left > 0;
        self.left -= u64::from(taken);
        taken
    }
}

/// The process's standard error.
pub(crate) struct StandardError;

impl Sink for StandardError {
    fn write(&mut self, line: &str) -> bool {
        let stderr = io::stderr();
        // A pipe that is writable takes a page, and a line is shorter; others take what they can.
        let mut fds = [PollFd::new(&stderr, PollFlags::OUT)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let is_ready = poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0);
        is_ready && rustix::io::write(&stderr, line.as_bytes()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps lines as long as it is told to.
    #[derive(Default)]
    struct Kept {
        lines: Vec<String>,
        is_full: bool,
    }

    impl Sink for Kept {
        fn write(&mut self, line: &str) -> bool {
            if !self.is_full {
                self.lines.push(line.to_owned());
            }
            !self.is_full
        }
    }

    fn kept(level: LogLevel) -> (Journal<Kept>, Reporter) {
        let waker = Arc::new(Waker::new().unwrap());
        with_sink(Kept::default(), "wg7", level, waker)
    }

    fn at(second: u64) -> Instant {
        Instant::from_nanos(second * 1_000_000_000)
    }

    #[test]
    fn each_level_tells_what_it_is_for() {
        for (level, count) in [
            (LogLevel::Silent, 0),
            (LogLevel::Error, 1),
            (LogLevel::Verbose, 2),
        ] {
            let (mut journal, _) = kept(level);
            journal.error("a");
            journal.verbose("b");
            assert_eq!(journal.sink.lines.len(), count);
        }
    }

    #[test]
    fn lines_are_bounded_by_the_second_and_those_left_out_are_counted() {
        let (mut journal, _) = kept(LogLevel::Verbose);
        for number in 0..100 {
            journal.line(at(1), LogLevel::Verbose, number);
        }
        assert_eq!(journal.sink.lines.len() as u64, BURST);
        // Errors have their own.
        journal.line(at(1), LogLevel::Error, "an error");
        let [.., left_out, error] = &journal.sink.lines[..] else {
            panic!("two lines")
        };
        assert_eq!(left_out, "wirewright-tun: wg7: 50 lines were left out\n");
        assert_eq!(error, "wirewright-tun: wg7: an error\n");
        journal.sink.lines.clear();
        for number in 0..100 {
            journal.line(at(3), LogLevel::Verbose, number);
        }
        assert_eq!(journal.sink.lines.len(), 20);
    }

    #[test]
    fn a_reader_that_stalls_is_not_waited_for() {
        let (mut journal, _) = kept(LogLevel::Error);
        journal.sink.is_full = true;
        journal.line(at(1), LogLevel::Error, "a");
        journal.line(at(1), LogLevel::Error, "b");
        journal.sink.is_full = false;
        journal.line(at(1), LogLevel::Error, "c");
        assert_eq!(
            journal.sink.lines,
            [
                "wirewright-tun: wg7: 2 lines were left out\n",
                "wirewright-tun: wg7: c\n"
            ]
        );
    }

    #[test]
    fn notices_are_posted_to_a_box_of_bounded_size_and_shorten_keys() {
        let (mut journal, reporter) = kept(LogLevel::Verbose);
        let peer = PublicKey::from_bytes([7; 32]);
        let mut notices = vec![Notice::HandshakeCompleted(peer); WAITING + 5];
        reporter.post(&mut notices);
        assert!(notices.is_empty());
        assert_eq!(journal.left_out.load(Ordering::Relaxed), 5);
        journal.collect();
        assert_eq!(
            journal.sink.lines[..2],
            [
                "wirewright-tun: wg7: 5 lines were left out\n",
                "wirewright-tun: wg7: peer BwcH…HBwc: handshake completed\n"
            ]
        );
    }

    #[test]
    fn who_does_not_want_notices_collects_none() {
        let (mut journal, reporter) = kept(LogLevel::Error);
        let mut notices = vec![Notice::HandshakeGaveUp(PublicKey::from_bytes([7; 32]))];
        reporter.post(&mut notices);
        journal.collect();
        assert!(notices.is_empty() && journal.sink.lines.is_empty());
    }
}
