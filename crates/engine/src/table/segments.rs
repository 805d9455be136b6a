//! The segments of a table, and how they are split and merged.

use alloc::vec;
use alloc::vec::Vec;
use core::hash::Hash;

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use super::{Work, hash_of};

pub(super) type Segment<K, V> = HashTable<(K, V)>;

/// Segments lie in blocks, so that their directory grows without being copied as a whole.
const BLOCK: usize = 64;
/// The lowest bit of a hash that chooses the segment. Within a segment hashbrown uses bits from 0 on to choose a
/// bucket, and those from 57 on to tell entries apart.
const SHIFT: u32 = 20;

#[derive(Clone)]
pub(super) struct Segments<K, V> {
    blocks: Vec<Vec<Segment<K, V>>>,
    count: usize,
    pub(super) work: Work,
}

impl<K, V> Segments<K, V> {
    pub(super) const fn new() -> Self {
        Self {
            blocks: Vec::new(),
            count: 0,
            work: Work {
                moved: 0,
                splits: 0,
                merges: 0,
            },
        }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The segment of a hash, if there is any segment at all.
    pub(super) fn of(&self, hash: u64) -> Option<&Segment<K, V>> {
        let number = number(hash, self.count);
        self.blocks.get(number / BLOCK)?.get(number % BLOCK)
    }

    pub(super) fn of_mut(&mut self, hash: u64) -> Option<&mut Segment<K, V>> {
        let number = number(hash, self.count);
        self.blocks.get_mut(number / BLOCK)?.get_mut(number % BLOCK)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Segment<K, V>> {
        self.blocks.iter().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Segment<K, V>> {
        self.blocks.iter_mut().flatten()
    }

    pub(super) fn allocated(&self) -> usize {
        let blocks = self.blocks.capacity() * size_of::<Vec<Segment<K, V>>>();
        let directory: usize = self.blocks.iter().map(Vec::capacity).sum();
        let segments: usize = self.iter().map(HashTable::allocation_size).sum();
        blocks + directory * size_of::<Segment<K, V>>() + segments
    }

    pub(super) fn clear(&mut self) {
        self.blocks = Vec::new();
        self.count = 0;
    }

    fn push(&mut self, segment: Segment<K, V>) {
        match self.blocks.last_mut().filter(|block| block.len() < BLOCK) {
            Some(block) => block.push(segment),
            None => self.blocks.push(vec![segment]),
        }
        self.count += 1;
    }

    fn pop(&mut self) -> Option<Segment<K, V>> {
        let block = self.blocks.last_mut()?;
        let segment = block.pop()?;
        if block.is_empty() {
            self.blocks.pop();
            if self.blocks.len() < self.blocks.capacity() / 4 {
                self.blocks.shrink_to(self.blocks.len() * 2);
            }
        }
        self.count -= 1;
        Some(segment)
    }
}

impl<K: Copy + Hash, V> Segments<K, V> {
    /// Adds an entry whose key must be absent. There must be a segment.
    pub(super) fn insert(&mut self, key: K, value: V, hasher: &SipHasher13) {
        let hash = hash_of(hasher, &key);
        let mut moved = 0;
        if let Some(segment) = self.of_mut(hash) {
            if segment.len() == segment.capacity() {
                moved = segment.len() as u64;
            }
            segment.insert_unique(hash, (key, value), |entry| hash_of(hasher, &entry.0));
        }
        self.work.moved += moved;
    }

    /// Gives memory of the segment of a hash back if little of it is used.
    pub(super) fn shrink(&mut self, hash: u64, hasher: &SipHasher13) {
        if let Some(segment) = self.of_mut(hash)
            && segment.len() < segment.num_buckets() / 4
        {
            segment.shrink_to(segment.len(), |entry| hash_of(hasher, &entry.0));
            let moved = segment.len() as u64;
            self.work.moved += moved;
        }
    }

    /// Adds a segment, and divides the entries of the one whose turn it is between both.
    pub(super) fn split(&mut self, hasher: &SipHasher13) {
        let new = self.count;
        self.push(HashTable::new());
        let Some(old) = new.checked_ilog2().map(|level| new - (1 << level)) else {
            return;
        };
        let Some(segment) = self
            .blocks
            .get_mut(old / BLOCK)
            .and_then(|block| block.get_mut(old % BLOCK))
        else {
            return;
        };
        let all = segment.len();
        let going = segment.extract_if(|(key, _)| number(hash_of(hasher, key), new + 1) == new);
        let mut fresh = HashTable::with_capacity(all / 2);
        for entry in going {
            fresh.insert_unique(hash_of(hasher, &entry.0), entry, |entry| {
                hash_of(hasher, &entry.0)
            });
        }
        segment.shrink_to(segment.len(), |entry| hash_of(hasher, &entry.0));
        if let Some(place) = self.blocks.last_mut().and_then(|block| block.last_mut()) {
            *place = fresh;
        }
        self.work.moved += all as u64;
        self.work.splits += 1;
    }

    /// Takes the last segment away, and its entries back to the one that they were split from.
    pub(super) fn merge(&mut self, hasher: &SipHasher13) {
        let Some(last) = self.pop() else { return };
        for (key, value) in last {
            self.work.moved += 1;
            self.insert(key, value, hasher);
        }
        self.work.merges += 1;
    }
}

/// The segment of a hash among `count` segments.
fn number(hash: u64, count: usize) -> usize {
    let Some(level) = count.checked_ilog2() else {
        return 0;
    };
    let bits = (hash >> SHIFT) as usize;
    let number = bits & ((2 << level) - 1);
    if number < count {
        number
    } else {
        number & ((1 << level) - 1)
    }
}
