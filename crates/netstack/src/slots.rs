//! Numbered places for things that come and go, and the names that refer to them.
//!
//! A name is a place and the generation of its occupant, so that a stale name finds nothing instead of the next
//! occupant.

/// A place and the generation of what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Handle {
    pub(crate) slot: u32,
    generation: u32,
}

impl Handle {
    pub(crate) const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }

    #[allow(clippy::cast_possible_truncation)] // the two halves
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self {
            slot: bits as u32,
            generation: (bits >> 32) as u32,
        }
    }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub(crate) Handle);

        impl $name {
            /// The name as a number, for a caller that cannot hold it otherwise.
            #[must_use]
            pub const fn to_bits(self) -> u64 {
                self.0.to_bits()
            }

            /// The reverse of [`Self::to_bits`]. A number that never was a name refers to nothing.
            #[must_use]
            pub const fn from_bits(bits: u64) -> Self {
                Self(Handle::from_bits(bits))
            }
        }
    )*};
}

names! {
    /// Names a TCP connection until it is released.
    ConnectionId,
    /// Names a listening TCP socket until it is closed.
    ListenerId,
    /// Names a datagram socket until it is closed.
    SocketId,
}

/// Names one echo request. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PingId(pub(crate) u64);

impl PingId {
    /// The name as a number.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The reverse of [`Self::to_bits`]. A number that never was a name refers to nothing.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

pub(crate) struct Slots<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
    limit: usize,
}

struct Entry<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slots<T> {
    /// At most `limit` values at once.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            limit: limit.min(u32::MAX as usize),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.limit
    }

    /// `None` if there is no place left.
    pub(crate) fn insert(&mut self, value: T) -> Option<Handle> {
        if self.is_full() {
            return None;
        }
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                let slot = u32::try_from(self.entries.len()).ok()?;
                self.entries.push(Entry {
                    generation: 0,
                    value: None,
                });
                slot
            }
        };
        let entry = self.entries.get_mut(slot as usize)?;
        entry.value = Some(value);
        Some(Handle {
            slot,
            generation: entry.generation,
        })
    }

    pub(crate) fn get(&self, handle: Handle) -> Option<&T> {
        let entry = self.entries.get(handle.slot as usize)?;
        entry
            .value
            .as_ref()
            .filter(|_| entry.generation == handle.generation)
    }

    pub(crate) fn get_mut(&mut self, handle: Handle) -> Option<&mut T> {
        let entry = self.entries.get_mut(handle.slot as usize)?;
        entry
            .value
            .as_mut()
            .filter(|_| entry.generation == handle.generation)
    }

    pub(crate) fn remove(&mut self, handle: Handle) -> Option<T> {
        let entry = self.entries.get_mut(handle.slot as usize)?;
        if entry.generation != handle.generation {
            return None;
        }
        let value = entry.value.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(handle.slot);
        Some(value)
    }

    /// All occupied places. For rare operations only: it looks at every place.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Handle, &T)> {
        (0..).zip(&self.entries).filter_map(|(slot, entry)| {
            let value = entry.value.as_ref()?;
            Some((
                Handle {
                    slot,
                    generation: entry.generation,
                },
                value,
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_name_finds_nothing() {
        let mut slots = Slots::new(2);
        let first = slots.insert('a').unwrap();
        assert_eq!(slots.remove(first), Some('a'));
        let second = slots.insert('b').unwrap();
        assert_eq!(first.slot, second.slot);
        assert_eq!(slots.get(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.get(second), Some(&'b'));
    }

    #[test]
    fn no_more_than_the_limit_fit() {
        let mut slots = Slots::new(1);
        let only = slots.insert(1).unwrap();
        assert_eq!(slots.insert(2), None);
        slots.remove(only);
        assert!(slots.insert(3).is_some());
    }

    #[test]
    fn a_name_survives_the_way_through_a_number() {
        let id = ConnectionId(Handle {
            slot: 7,
            generation: u32::MAX,
        });
        assert_eq!(ConnectionId::from_bits(id.to_bits()), id);
    }
}
