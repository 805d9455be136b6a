//! The bytes of one direction of a connection, in a ring in an anonymous mapping.
//!
//! Why a mapping and not `vec![0; n]`: an allocator recycles freed blocks of this size and must then zero them,
//! which touches every page; ten thousand idle connections would cost gigabytes. A fresh mapping costs address
//! space only. Huge pages are declined for the same reason: one byte would commit 2 MiB.

use std::io;

use memmap2::MmapMut;

pub(super) struct Ring {
    memory: MmapMut,
    /// Where the first byte stands.
    head: usize,
    len: usize,
}

impl Ring {
    /// A ring for `capacity` bytes, at least one. Fails if the system has no address space to give.
    pub(super) fn new(capacity: usize) -> io::Result<Self> {
        let memory = MmapMut::map_anon(capacity)?;
        #[cfg(target_os = "linux")]
        // An old kernel without huge pages refuses the advice, and then there is nothing to decline.
        let _ = memory.advise(memmap2::Advice::NoHugePage);
        Ok(Self {
            memory,
            head: 0,
            len: 0,
        })
    }

    pub(super) fn capacity(&self) -> usize {
        self.memory.len()
    }

    /// Bytes in it, from the first on without a hole.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Writes bytes at a place counted from the first byte on; what would stand beyond the capacity is left out.
    pub(super) fn put(&mut self, at: usize, bytes: &[u8]) {
        let room = self.capacity().saturating_sub(at);
        let (bytes, _) = bytes.split_at(bytes.len().min(room));
        let begin = (self.head + at) % self.capacity();
        let (front, rest) = bytes.split_at(bytes.len().min(self.capacity() - begin));
        if let Some(place) = self.memory.get_mut(begin..begin + front.len()) {
            place.copy_from_slice(front);
        }
        if let Some(place) = self.memory.get_mut(..rest.len()) {
            place.copy_from_slice(rest);
        }
    }

    /// So many bytes more, which were put behind the others, belong to them.
    pub(super) fn extend(&mut self, len: usize) {
        self.len = (self.len + len).min(self.capacity());
    }

    /// Copies bytes from a place counted from the first byte on, as many as `into` takes.
    pub(super) fn get(&self, at: usize, into: &mut [u8]) {
        let begin = (self.head + at) % self.capacity();
        let (front, rest) = into.split_at_mut(into.len().min(self.capacity() - begin));
        if let Some(bytes) = self.memory.get(begin..begin + front.len()) {
            front.copy_from_slice(bytes);
        }
        if let Some(bytes) = self.memory.get(..rest.len()) {
            rest.copy_from_slice(bytes);
        }
    }

    /// Forgets the first bytes.
    pub(super) fn forget(&mut self, len: usize) {
        let len = len.min(self.len);
        self.head = (self.head + len) % self.capacity();
        self.len -= len;
    }

    /// Begins at the front of the memory again, where it is touched already. Only for a ring with nothing in it.
    pub(super) fn rewind(&mut self) {
        if self.len == 0 {
            self.head = 0;
        }
    }

    /// Moves everything up to `kept`, counted from the first byte on, to a larger mapping. `false` if there is none.
    pub(super) fn grow(&mut self, capacity: usize, kept: usize) -> bool {
        let Ok(mut larger) = Self::new(capacity) else {
            return false;
        };
        let kept = kept.max(self.len).min(self.capacity());
        let Some(place) = larger.memory.get_mut(..kept) else {
            return false;
        };
        self.get(0, place);
        larger.len = self.len;
        *self = larger;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in_across_the_end_of_the_memory_and_a_move() {
        let mut ring = Ring::new(10).unwrap();
        let mut next_in = 0_u8;
        let mut next_out = 0_u8;
        for round in 0..50 {
            let room = 10 - ring.len();
            let bytes: Vec<u8> = (0..room as u8).map(|index| next_in.wrapping_add(index)).collect();
            // The last ones first, as if they had overtaken the others.
            ring.put(ring.len() + room / 2, &bytes[room / 2..]);
            ring.put(ring.len(), &bytes[..room / 2]);
            ring.extend(room);
            next_in = next_in.wrapping_add(room as u8);
            let mut out = vec![0; 1 + round % 9];
            ring.get(0, &mut out);
            ring.forget(out.len());
            for byte in out {
                assert_eq!(byte, next_out);
                next_out = next_out.wrapping_add(1);
            }
        }
        let left = ring.len();
        assert!(ring.grow(20, left));
        let mut out = vec![0; left];
        ring.get(0, &mut out);
        assert_eq!((out[0], ring.len(), ring.capacity()), (next_out, left, 20));
    }
}
