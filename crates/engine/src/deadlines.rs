//! When each slot next wants to be called: an indexed heap with exactly one entry a slot.
//!
//! # Theory
//!
//! A 4-ary min-heap ordered by (deadline, slot), and for each slot its place in the heap. Re-arming a timer,
//! the commonest operation by far, moves one entry instead of leaving a stale one behind, so the heap never
//! holds more entries than there are slots. Four children share a cache line (16 bytes an entry) and halve the
//! depth of a binary heap; a timer that is pushed into the future only sinks, and rarely far.
//!
//! The place of a slot is kept in [`Pages`], so that slots may be sparse: a page of the index goes with the last deadline
//! in it.

use alloc::vec::Vec;

use wirewright_protocol::Instant;

use crate::pages::{Number, Pages};

const ARITY: usize = 4;
/// Below this many entries the heap keeps its memory.
const SMALL: usize = 64;

/// Deadlines by slot.
#[derive(Clone, Debug)]
pub struct Deadlines {
    heap: Vec<Entry>,
    /// Slot to place in `heap`.
    places: Pages<Number>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    at: Instant,
    slot: u32,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self::new()
    }
}

impl Deadlines {
    /// No deadlines.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            heap: Vec::new(),
            places: Pages::new(),
        }
    }

    /// Sets the deadline of `slot`, or removes it. O(log n).
    pub fn set(&mut self, slot: u32, deadline: Option<Instant>) {
        match (self.place(slot), deadline) {
            (Some(place), Some(at)) => {
                self.heap[place].at = at;
                self.restore(place);
            }
            (Some(place), None) => self.remove(place),
            (None, Some(at)) => self.insert(Entry { at, slot }),
            (None, None) => {}
        }
    }

    /// The deadline of `slot`.
    #[must_use]
    pub fn get(&self, slot: u32) -> Option<Instant> {
        self.place(slot).map(|place| self.heap[place].at)
    }

    /// The earliest deadline of all.
    #[must_use]
    pub fn peek(&self) -> Option<Instant> {
        self.heap.first().map(|entry| entry.at)
    }

    /// Removes the earliest deadline if it is not after `now`, and tells whose it was; equal deadlines come in
    /// the order of their slots.
    pub fn pop_due(&mut self, now: Instant) -> Option<u32> {
        let first = *self.heap.first()?;
        if first.at > now {
            return None;
        }
        self.remove(0);
        Some(first.slot)
    }

    /// Number of slots that have a deadline.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether no slot has a deadline.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Bytes of heap memory held. O(n).
    #[must_use]
    pub fn allocated(&self) -> usize {
        self.heap.capacity() * size_of::<Entry>() + self.places.allocated()
    }

    fn place(&self, slot: u32) -> Option<usize> {
        self.places.get(slot).map(|place| place.get() as usize)
    }

    fn insert(&mut self, entry: Entry) {
        self.heap.push(entry);
        self.rise(self.heap.len() - 1);
    }

    fn remove(&mut self, place: usize) {
        let removed = self.heap.swap_remove(place);
        self.places.remove(removed.slot);
        if place < self.heap.len() {
            self.restore(place);
        }
        if self.heap.capacity() > SMALL && self.heap.len() < self.heap.capacity() / 4 {
            self.heap.shrink_to(self.heap.capacity() / 2);
        }
    }

    /// Moves the entry at `place` to where its deadline belongs.
    fn restore(&mut self, place: usize) {
        let risen = self.rise(place);
        if risen == place {
            self.sink(place);
        }
    }

    fn rise(&mut self, mut place: usize) -> usize {
        let entry = self.heap[place];
        while place > 0 {
            let parent = (place - 1) / ARITY;
            if self.heap[parent] < entry {
                break;
            }
            self.put(place, self.heap[parent]);
            place = parent;
        }
        self.put(place, entry);
        place
    }

    fn sink(&mut self, mut place: usize) {
        let entry = self.heap[place];
        loop {
            let first = place * ARITY + 1;
            let last = (first + ARITY).min(self.heap.len());
            let Some(least) = (first..last).min_by_key(|&child| self.heap[child]) else {
                break;
            };
            if entry < self.heap[least] {
                break;
            }
            self.put(place, self.heap[least]);
            place = least;
        }
        self.put(place, entry);
    }

    fn put(&mut self, place: usize, entry: Entry) {
        self.heap[place] = entry;
        // A place is below the number of slots, which are u32.
        self.places.insert(entry.slot, Number::new(place as u32));
    }
}
