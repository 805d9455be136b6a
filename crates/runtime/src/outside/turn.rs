//! What comes of letting a socket do something.

use std::io;

use rustix::io::Errno;

use super::orders::Failure;

/// What one turn of a socket came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It waits for the system, or for an order.
    Done,
    /// There is more, for which the reports had no room.
    More,
    /// It is of no use any more.
    Over(Failure),
}

/// What an error of the system means for who wanted to reach something.
pub(super) fn failure(error: &io::Error) -> Failure {
    match Errno::from_io_error(error) {
        Some(Errno::CONNREFUSED) => Failure::Refused,
        Some(Errno::CONNRESET | Errno::PIPE) => Failure::Reset,
        Some(Errno::NETUNREACH | Errno::NETDOWN | Errno::AFNOSUPPORT) => Failure::NetworkUnreachable,
        Some(Errno::ACCESS | Errno::PERM) => Failure::Prohibited,
        Some(Errno::TIMEDOUT) => Failure::TimedOut,
        Some(
            Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::ADDRNOTAVAIL | Errno::AGAIN,
        ) => Failure::Exhausted,
        _ => Failure::HostUnreachable,
    }
}
