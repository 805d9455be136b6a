//! A hash table that grows and shrinks step by step.
//!
//! # Theory
//!
//! A table that rehashes all its entries at once stops everything for as long as that takes. This one is *linear
//! hashing* (Litwin, 1980): entries lie in small *segments*, each a hashbrown table of its own, and whenever there
//! are more than [`TARGET`] entries a segment on average, one segment is split in two; when there are fewer than a
//! quarter of that, the last split is undone. So the number of segments follows the number of entries one by one,
//! and an operation never touches more than two segments besides the one of its own key.
//!
//! **Which segment.** With N segments, where 2^L <= N < 2^(L+1), those numbered below N - 2^L and those from 2^L on
//! are already split at level L + 1, the others not yet. A key's segment is given by L + 1 bits of its hash if
//! there is such a segment, else by L of them. The next to be split is number N - 2^L, whose entries are divided
//! between it and the new number N.
//!
//! **How large a segment gets.** Shortly before its turn a segment expects twice the target, 64 entries. The hash
//! is random to whoever does not know the seed, so sizes are binomial, and 200 is out of reach. That bounds the
//! work of an operation, and it bounds the memory taken or given back at once, too: two generations of one large
//! table, the usual way, need no fewer moves, and at 10^6 entries setting up the younger one and giving back the
//! older one took milliseconds at a time (see `docs/notes/allowed-ips.md`).
//!
//! The hash is SipHash-1-3 under a seed of the caller's, because keys (public keys, receiver indices, source
//! addresses) are chosen by others, who could otherwise make them collide.

mod segments;

use core::fmt;
use core::hash::{Hash, Hasher};

use siphasher::sip::SipHasher13;

use segments::Segments;

/// Entries a segment, on average, above which a segment is split.
pub const TARGET: usize = 32;
/// Entries a segment, on average, below which the last split is undone. Far enough from the target that a table
/// which has just grown must lose most of its entries before it shrinks.
const LEAST: usize = TARGET / 4;

/// A hash table whose work per operation is bounded.
#[derive(Clone)]
pub struct Table<K, V> {
    segments: Segments<K, V>,
    len: usize,
    hasher: SipHasher13,
}

/// What a table has done besides what it was asked to do, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Entries moved: from segment to segment, or because a segment grew or shrank.
    pub moved: u64,
    /// Segments split.
    pub splits: u64,
    /// Splits undone.
    pub merges: u64,
}

impl<K: Copy + Eq + Hash, V> Table<K, V> {
    /// An empty table, which allocates nothing. The seed must be random and secret.
    #[must_use]
    pub fn new(seed: u128) -> Self {
        Self {
            segments: Segments::new(),
            len: 0,
            hasher: SipHasher13::new_with_key(&seed.to_le_bytes()),
        }
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        let hash = hash_of(&self.hasher, key);
        let (_, value) = self.segments.of(hash)?.find(hash, |entry| entry.0 == *key)?;
        Some(value)
    }

    /// The value of `key`, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let hash = hash_of(&self.hasher, key);
        let (_, value) = self
            .segments
            .of_mut(hash)?
            .find_mut(hash, |entry| entry.0 == *key)?;
        Some(value)
    }

    /// Whether `key` has a value.
    #[must_use]
    pub fn contains(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Sets the value of `key` and returns the one that it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if let Some(present) = self.get_mut(&key) {
            return Some(core::mem::replace(present, value));
        }
        if self.len >= self.segments.count() * TARGET {
            self.segments.split(&self.hasher);
        }
        self.segments.insert(key, value, &self.hasher);
        self.len += 1;
        None
    }

    /// Removes `key` and returns the value that it had.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let hash = hash_of(&self.hasher, key);
        let entry = self
            .segments
            .of_mut(hash)?
            .find_entry(hash, |entry| entry.0 == *key)
            .ok()?;
        let ((_, value), _) = entry.remove();
        self.len -= 1;
        if self.len == 0 {
            self.segments.clear();
        } else {
            self.segments.shrink(hash, &self.hasher);
            if self.segments.count() > 1 && self.len < self.segments.count() * LEAST {
                self.segments.merge(&self.hasher);
            }
        }
        Some(value)
    }

    /// Removes all entries and gives all memory back. O(n).
    pub fn clear(&mut self) {
        self.segments.clear();
        self.len = 0;
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All entries, in no useful order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.segments.iter().flatten().map(|(key, value)| (key, value))
    }

    /// All entries, their values to be changed, in no useful order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.segments
            .iter_mut()
            .flatten()
            .map(|(key, value)| (&*key, value))
    }

    /// Entries for which memory is held. O(n).
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.segments.iter().map(|segment| segment.capacity()).sum()
    }

    /// Bytes of heap memory held. O(n).
    #[must_use]
    pub fn allocated(&self) -> usize {
        self.segments.allocated()
    }

    /// What the table has done so far besides what it was asked to do.
    #[must_use]
    pub fn work(&self) -> Work {
        self.segments.work
    }
}

impl<K, V> fmt::Debug for Table<K, V> {
    /// Sizes only: entries may be many, and the seed is secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut form = formatter.debug_struct("Table");
        form.field("len", &self.len)
            .field("work", &self.segments.work)
            .finish_non_exhaustive()
    }
}

fn hash_of<K: Hash>(hasher: &SipHasher13, key: &K) -> u64 {
    let mut hasher = *hasher;
    key.hash(&mut hasher);
    hasher.finish()
}
