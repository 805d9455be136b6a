//! The memory of one connection: an anonymous mapping, and smoltcp's socket that borrows it.
//!
//! Why a mapping and not `vec![0; n]`: an allocator recycles freed blocks of this size and must then zero them,
//! which touches every page; ten thousand idle connections would cost gigabytes. A fresh mapping costs address
//! space only. Huge pages are declined for the same reason: one byte would commit 2 MiB.

use std::io;

use memmap2::MmapMut;
use self_cell::{MutBorrow, self_cell};
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer};

self_cell!(
    struct Borrowing {
        owner: MutBorrow<MmapMut>,
        #[not_covariant]
        dependent: SocketSet,
    }
);

/// A socket set with one TCP socket, and the buffers it uses.
pub(crate) struct SocketWithBuffers {
    cell: Borrowing,
    handle: SocketHandle,
}

impl SocketWithBuffers {
    /// Buffers of `receive` and `transmit` bytes. Fails if the system has no address space to give.
    pub(crate) fn new(receive: usize, transmit: usize) -> io::Result<Self> {
        let memory = MmapMut::map_anon(receive + transmit)?;
        #[cfg(target_os = "linux")]
        // An old kernel without huge pages refuses the advice, and then there is nothing to decline.
        let _ = memory.advise(memmap2::Advice::NoHugePage);
        let mut handle = SocketHandle::default();
        let cell = Borrowing::new(MutBorrow::new(memory), |memory| {
            let bytes: &mut [u8] = memory.borrow_mut();
            let (receive, transmit) = bytes.split_at_mut(receive);
            let socket = Socket::new(SocketBuffer::new(receive), SocketBuffer::new(transmit));
            let mut set = SocketSet::new(Vec::with_capacity(1));
            handle = set.add(socket);
            set
        });
        Ok(Self { cell, handle })
    }

    /// The set, for an interface.
    pub(crate) fn with_set<R>(&mut self, f: impl FnOnce(&mut SocketSet<'_>) -> R) -> R {
        self.cell.with_dependent_mut(|_, set| f(set))
    }

    /// The socket itself.
    pub(crate) fn with<R>(&mut self, f: impl FnOnce(&mut Socket<'_>) -> R) -> R {
        let handle = self.handle;
        self.cell.with_dependent_mut(|_, set| f(set.get_mut(handle)))
    }
}
