//! A line between two interfaces that delays, loses, reorders and swallows: weather for a network of the lab.
//!
//! The kernel of a development machine may lack netem. This forwards whole frames between two interfaces of a namespace of
//! its own, in one thread, and does to each what [`Weather`] says. Whoever wants losses to be of packets, not of
//! super-packets, sets `gso_max_segs 1` on the interfaces that send into it.

mod line;
mod port;

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wirewright_protocol::Instant;
use wirewright_runtime::clock;

use line::Line;
pub use line::{Counters, Weather};
use port::{Buffers, FRAMES, Port};

/// After the first frame came, others may join it for so long: to wake up for each would cost more than to carry it.
const GATHERING: Duration = Duration::from_micros(50);

/// Forwards frames between the interfaces `left` and `right` until `stop` is readable or its other end is closed. Calls
/// `ready` once it does. Returns what became of the frames that came from the left, and from the right.
///
/// # Errors
/// What the operating system says: there is no such interface, or packet sockets are not permitted.
pub fn run(
    left: &str,
    right: &str,
    weather: Weather,
    stop: BorrowedFd<'_>,
    ready: impl FnOnce(),
) -> io::Result<[Counters; 2]> {
    let ports = [Port::open(left)?, Port::open(right)?];
    let mut lines = [Line::new(weather, 0), Line::new(weather, 1)];
    let mut buffers = Buffers::new();
    let mut leaving = Vec::with_capacity(FRAMES);
    ready();
    loop {
        let deadline = lines.iter().filter_map(Line::deadline).min();
        let readable = wait(stop, &ports, deadline)?;
        if readable[0] {
            return Ok(lines.map(|line| line.counters));
        }
        if readable[1] || readable[2] {
            std::thread::sleep(GATHERING);
        }
        let now = clock::now().now;
        let [first, second] = &ports;
        for (line, from, to, readable) in [(0, first, second, readable[1]), (1, second, first, readable[2])] {
            let Some(line) = lines.get_mut(line) else { continue };
            if readable && buffers.read(from, |frame| line.take(frame, now)).is_err() {
                line.counters.refused += 1;
            }
            forward(line, to, now, &mut leaving);
        }
    }
}

/// Sends what is due.
fn forward(line: &mut Line, to: &Port, now: Instant, leaving: &mut Vec<Vec<u8>>) {
    loop {
        leaving.extend(std::iter::from_fn(|| line.next(now)).take(FRAMES));
        if leaving.is_empty() {
            return;
        }
        let sent = port::send(to, leaving);
        // The one at which the kernel stopped would stop it again.
        let refused = usize::from(sent < leaving.len());
        line.counters.forwarded += sent as u64;
        line.counters.refused += refused as u64;
        for frame in leaving.drain(..sent + refused) {
            line.done(frame);
        }
    }
}

/// Waits for something to do: whether to stop, and which ports are readable.
fn wait(stop: BorrowedFd<'_>, ports: &[Port; 2], deadline: Option<Instant>) -> io::Result<[bool; 3]> {
    let timeout = deadline.map(|deadline| {
        let wait = deadline.saturating_since(clock::now().now);
        Timespec {
            tv_sec: wait.as_secs() as i64,
            tv_nsec: wait.subsec_nanos().into(),
        }
    });
    let mut fds = [
        PollFd::from_borrowed_fd(stop, PollFlags::IN),
        PollFd::new(&ports[0], PollFlags::IN),
        PollFd::new(&ports[1], PollFlags::IN),
    ];
    match poll(&mut fds, timeout.as_ref()) {
        Ok(_) => Ok(fds.map(|fd| !fd.revents().is_empty())),
        Err(rustix::io::Errno::INTR) => Ok([false; 3]),
        Err(error) => Err(error.into()),
    }
}
