//! One generation of a table: a hashbrown table that is never allowed to resize itself.

use core::hash::Hash;

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use super::hash_of;

/// Up to this many buckets a generation is never too sparse.
const SMALL: usize = 16;

#[derive(Clone)]
pub(super) struct Generation<K, V> {
    entries: HashTable<(K, V)>,
}

impl<K, V> Default for Generation<K, V> {
    fn default() -> Self {
        Self {
            entries: HashTable::new(),
        }
    }
}

impl<K, V> Generation<K, V> {
    /// Takes `room` entries before it is full.
    pub(super) fn with_room(room: usize) -> Self {
        Self {
            entries: HashTable::with_capacity(room),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn is_unallocated(&self) -> bool {
        self.entries.allocation_size() == 0
    }

    /// Whether one more entry might make hashbrown resize: its capacity counts entries and what may still be
    /// added, so that tombstones are left out.
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() == self.entries.capacity()
    }

    pub(super) fn is_sparse(&self) -> bool {
        self.buckets() > SMALL && self.entries.len() < self.buckets() / 8
    }

    pub(super) fn buckets(&self) -> usize {
        self.entries.num_buckets()
    }

    pub(super) fn capacity(&self) -> usize {
        self.entries.capacity()
    }

    pub(super) fn allocated(&self) -> usize {
        self.entries.allocation_size()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.entries.iter_mut().map(|(key, value)| (&*key, value))
    }
}

impl<K: Copy + Eq + Hash, V> Generation<K, V> {
    pub(super) fn get(&self, hash: u64, key: &K) -> Option<&V> {
        self.entries
            .find(hash, |entry| entry.0 == *key)
            .map(|entry| &entry.1)
    }

    pub(super) fn get_mut(&mut self, hash: u64, key: &K) -> Option<&mut V> {
        self.entries
            .find_mut(hash, |entry| entry.0 == *key)
            .map(|entry| &mut entry.1)
    }

    /// The key must be absent.
    pub(super) fn insert(&mut self, hash: u64, key: K, value: V, hasher: &SipHasher13) {
        debug_assert!(
            !self.is_full(),
            "a generation is replaced before it would resize itself"
        );
        self.entries
            .insert_unique(hash, (key, value), |entry| hash_of(hasher, &entry.0));
    }

    pub(super) fn remove(&mut self, hash: u64, key: &K) -> Option<V> {
        let entry = self.entries.find_entry(hash, |entry| entry.0 == *key).ok()?;
        Some(entry.remove().0.1)
    }

    /// Removes what lies in one bucket.
    pub(super) fn take(&mut self, bucket: usize) -> Option<(K, V)> {
        let entry = self.entries.get_bucket_entry(bucket).ok()?;
        Some(entry.remove().0)
    }
}
