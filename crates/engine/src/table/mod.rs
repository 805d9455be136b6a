//! A hash table that grows and shrinks step by step.
//!
//! # Theory
//!
//! A table that rehashes all its entries at once stops everything for as long as that takes. This one holds up
//! to two *generations*. When the current generation runs out of room, or has far too much of it, a new one is
//! allocated and the former becomes the *retiring* one. Each insertion and removal from then on first visits
//! [`STEP`] buckets of the retiring generation, in order, and moves what it finds there, at most [`STEP`]
//! entries. New entries go to the current generation only; lookups ask the current one, then the retiring one.
//! An empty retiring generation is freed at once, even if it was not visited to its end.
//!
//! **Why the current generation cannot fill up before the retiring one is empty.** Let the retiring generation
//! have B buckets and L entries at the turn. It is empty after at most B/STEP steps, in which at most B/STEP new
//! entries arrive, so room for L + B/STEP is enough: the new generation is made for max(3L/2, L) + B/STEP + 1.
//! Removals leave tombstones that take up room, but each tombstone was an entry and is counted as such.
//!
//! **Why it does not thrash.** A generation retires for want of room at 7/8 of its buckets (entries and
//! tombstones), or for excess below 1/8. A successor starts between 1/4 and 3/4, apart from the smallest ones,
//! so that there is a number of operations proportional to its size between two turns.
//!
//! **What is not constant.** Allocating a generation sets one control byte for each bucket (hashbrown's
//! `0xff` for empty), a `memset` of 1/41 of the memory of a table with 32-byte keys and 8-byte values; the
//! entries themselves are not touched. See `docs/notes/allowed-ips.md` for what that costs at 10^6 entries.
//!
//! The hash is SipHash-1-3 under a seed of the caller's, because keys (public keys, receiver indices, source
//! addresses) are chosen by others, who could otherwise make them collide.

mod generation;

use core::fmt;
use core::hash::{Hash, Hasher};

use siphasher::sip::SipHasher13;

use generation::Generation;

/// Buckets of the retiring generation that one insertion or removal visits: the bound of its work.
pub const STEP: usize = 16;

/// A hash table whose work per operation is bounded.
#[derive(Clone)]
pub struct Table<K, V> {
    current: Generation<K, V>,
    retiring: Generation<K, V>,
    /// The first bucket of `retiring` that was not visited yet.
    cursor: usize,
    hasher: SipHasher13,
    work: Work,
}

/// What a table has done besides what it was asked to do, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Entries moved from a retiring generation to its successor.
    pub moved: u64,
    /// Buckets of retiring generations visited.
    pub visited: u64,
    /// Generations allocated.
    pub generations: u64,
}

impl<K: Copy + Eq + Hash, V> Table<K, V> {
    /// An empty table, which allocates nothing. The seed must be random and secret.
    #[must_use]
    pub fn new(seed: u128) -> Self {
        Self {
            current: Generation::default(),
            retiring: Generation::default(),
            cursor: 0,
            hasher: SipHasher13::new_with_key(&seed.to_le_bytes()),
            work: Work::default(),
        }
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        let hash = self.hash(key);
        self.current
            .get(hash, key)
            .or_else(|| self.retiring.get(hash, key))
    }

    /// The value of `key`, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let hash = self.hash(key);
        // Not `or_else`: the borrow checker would keep the first borrow for the second.
        match self.current.get_mut(hash, key) {
            Some(value) => Some(value),
            None => self.retiring.get_mut(hash, key),
        }
    }

    /// Whether `key` has a value.
    #[must_use]
    pub fn contains(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Sets the value of `key` and returns the one that it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.step();
        if let Some(present) = self.get_mut(&key) {
            return Some(core::mem::replace(present, value));
        }
        if self.current.is_full() {
            self.turn();
        }
        let hash = self.hash(&key);
        self.current.insert(hash, key, value, &self.hasher);
        None
    }

    /// Removes `key` and returns the value that it had.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.step();
        let hash = self.hash(key);
        let removed = self
            .current
            .remove(hash, key)
            .or_else(|| self.retiring.remove(hash, key))?;
        if self.retiring.is_empty() {
            self.retire();
            if self.is_empty() {
                self.current = Generation::default();
            } else if self.current.is_sparse() {
                self.turn();
            }
        }
        Some(removed)
    }

    /// Goes on with a migration as an insertion would; true while there is more to do. For idle moments: a
    /// table that is neither written to nor stepped keeps both generations.
    pub fn step(&mut self) -> bool {
        if self.retiring.is_unallocated() {
            return false;
        }
        let end = (self.cursor + STEP).min(self.retiring.buckets());
        for bucket in self.cursor..end {
            if let Some((key, value)) = self.retiring.take(bucket) {
                self.current
                    .insert(hash_of(&self.hasher, &key), key, value, &self.hasher);
                self.work.moved += 1;
            }
        }
        self.work.visited += (end - self.cursor) as u64;
        self.cursor = end;
        if self.retiring.is_empty() {
            self.retire();
        }
        !self.retiring.is_unallocated()
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.current.len() + self.retiring.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entries for which memory is held, in both generations.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.current.capacity() + self.retiring.capacity()
    }

    /// Bytes of heap memory held, in both generations.
    #[must_use]
    pub fn allocated(&self) -> usize {
        self.current.allocated() + self.retiring.allocated()
    }

    /// What the table has done so far besides what it was asked to do.
    #[must_use]
    pub fn work(&self) -> Work {
        self.work
    }

    /// All entries, in no useful order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.current.iter().chain(self.retiring.iter())
    }

    /// All entries, their values to be changed, in no useful order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.current.iter_mut().chain(self.retiring.iter_mut())
    }

    /// Removes all entries and frees their memory. O(n) if values have a destructor.
    pub fn clear(&mut self) {
        self.current = Generation::default();
        self.retire();
    }

    /// Starts a migration.
    fn turn(&mut self) {
        let (entries, buckets) = (self.current.len(), self.current.buckets());
        let room = entries + entries / 2 + buckets / STEP + 1;
        debug_assert!(
            self.retiring.is_empty(),
            "a generation turns only when the former one is empty"
        );
        self.retiring = core::mem::replace(&mut self.current, Generation::with_room(room));
        self.cursor = 0;
        self.work.generations += 1;
        if self.retiring.is_empty() {
            self.retire();
        }
    }

    /// Frees the retiring generation.
    fn retire(&mut self) {
        self.retiring = Generation::default();
        self.cursor = 0;
    }

    fn hash(&self, key: &K) -> u64 {
        hash_of(&self.hasher, key)
    }
}

impl<K, V> fmt::Debug for Table<K, V> {
    /// Sizes only: entries may be many, and the seed is secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Table")
            .field("len", &(self.current.len() + self.retiring.len()))
            .field("retiring", &self.retiring.len())
            .field("work", &self.work)
            .finish_non_exhaustive()
    }
}

fn hash_of<K: Hash>(hasher: &SipHasher13, key: &K) -> u64 {
    let mut hasher = *hasher;
    key.hash(&mut hasher);
    hasher.finish()
}
