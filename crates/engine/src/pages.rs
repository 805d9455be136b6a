//! A sparse array: elements lie in pages, and a page without elements holds no memory.
//!
//! # Theory
//!
//! Peers keep their slots for life, so when most of many peers go, those that stay may have any slots, the highest
//! among them. In one vector such a peer would hold the memory of all slots below, and a vector that grows copies
//! everything at once. Here growing adds a page, and copies at most the directory of pages, which is smaller by the
//! size of a page; and a page goes with its last element.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::num::NonZeroU32;

/// Elements of a page.
const PAGE: usize = 64;
/// Below this many pages the directory keeps its memory.
const SMALL: usize = 64;

/// Elements by number, most of which may be missing.
#[derive(Clone, Debug)]
pub(crate) struct Pages<T> {
    pages: Vec<Option<Box<Page<T>>>>,
}

#[derive(Clone, Debug)]
struct Page<T> {
    used: usize,
    places: [Option<T>; PAGE],
}

/// A number below 2^32 - 1, of which `None` takes no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number(NonZeroU32);

impl Number {
    pub(crate) fn new(number: u32) -> Self {
        Self(NonZeroU32::MIN.saturating_add(number))
    }

    pub(crate) fn get(self) -> u32 {
        self.0.get() - 1
    }
}

impl<T> Pages<T> {
    /// No elements; allocates nothing.
    pub(crate) const fn new() -> Self {
        Self { pages: Vec::new() }
    }

    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        let (page, place) = split(number);
        self.pages.get(page)?.as_ref()?.places.get(place)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let (page, place) = split(number);
        self.pages
            .get_mut(page)?
            .as_mut()?
            .places
            .get_mut(place)?
            .as_mut()
    }

    /// Sets an element and returns the one that was there.
    pub(crate) fn insert(&mut self, number: u32, element: T) -> Option<T> {
        let (page, place) = split(number);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        let page = self.pages.get_mut(page)?.get_or_insert_with(|| {
            Box::new(Page {
                used: 0,
                places: [const { None }; PAGE],
            })
        });
        let before = page.places.get_mut(place)?.replace(element);
        page.used += usize::from(before.is_none());
        before
    }

    /// Removes an element and returns it.
    pub(crate) fn remove(&mut self, number: u32) -> Option<T> {
        let (at, place) = split(number);
        let page = self.pages.get_mut(at)?;
        let full = page.as_mut()?;
        let element = full.places.get_mut(place)?.take()?;
        full.used -= 1;
        if full.used == 0 {
            *page = None;
            self.trim();
        }
        Some(element)
    }

    /// All elements, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages
            .iter()
            .flatten()
            .flat_map(|page| page.places.iter().flatten())
    }

    /// All elements' numbers are below this.
    pub(crate) fn bound(&self) -> u32 {
        (self.pages.len() * PAGE) as u32
    }

    /// Bytes of heap memory held. O(n).
    pub(crate) fn allocated(&self) -> usize {
        let pages = self.pages.iter().flatten().count() * size_of::<Page<T>>();
        pages + self.pages.capacity() * size_of::<Option<Box<Page<T>>>>()
    }

    fn trim(&mut self) {
        while self.pages.last().is_some_and(Option::is_none) {
            self.pages.pop();
        }
        if self.pages.is_empty() {
            self.pages = Vec::new();
        } else if self.pages.capacity() > SMALL && self.pages.len() < self.pages.capacity() / 4 {
            self.pages.shrink_to(self.pages.len() * 2);
        }
    }
}

fn split(number: u32) -> (usize, usize) {
    (number as usize / PAGE, number as usize % PAGE)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_element_of_many_holds_little_memory_wherever_it_lies() {
        for stays in [0, 12_345, 99_999] {
            let mut pages = Pages::new();
            for number in 0..100_000_u32 {
                pages.insert(number, number);
            }
            for number in (0..100_000).filter(|number| *number != stays) {
                assert_eq!(pages.remove(number), Some(number));
            }
            assert_eq!(pages.iter().copied().collect::<Vec<u32>>(), [stays]);
            assert!(
                pages.allocated() < 100_000 / 64 * 8 * 2 + 1000,
                "{}",
                pages.allocated()
            );
            pages.remove(stays);
            assert_eq!(pages.allocated(), 0);
        }
    }

    proptest! {
        #[test]
        fn it_behaves_as_an_ordered_map(steps in proptest::collection::vec((0..400_u32, any::<Option<u8>>()), 1..300)) {
            let (mut pages, mut model) = (Pages::new(), BTreeMap::new());
            for (number, element) in steps {
                let (before, expected) = match element {
                    Some(element) => (pages.insert(number, element), model.insert(number, element)),
                    None => (pages.remove(number), model.remove(&number)),
                };
                prop_assert_eq!(before, expected);
                prop_assert_eq!(pages.get(number), model.get(&number));
                prop_assert!(pages.iter().eq(model.values()));
                prop_assert!(model.keys().all(|number| *number < pages.bound()));
            }
        }
    }
}
