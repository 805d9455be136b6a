//! When which connection wants to be looked at.

use std::collections::BTreeSet;

use wirewright_protocol::Instant;

use crate::slots::Handle;

/// At most one deadline a handle. Its owner remembers its own deadline and hands it back to change it.
#[derive(Default)]
pub(crate) struct Deadlines(BTreeSet<(Instant, Handle)>);

impl Deadlines {
    /// Replaces the `current` deadline of a handle.
    pub(crate) fn set(&mut self, handle: Handle, current: &mut Option<Instant>, wanted: Option<Instant>) {
        if *current == wanted {
            return;
        }
        if let Some(at) = current.take() {
            self.0.remove(&(at, handle));
        }
        if let Some(at) = wanted {
            self.0.insert((at, handle));
            *current = Some(at);
        }
    }

    pub(crate) fn earliest(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes the earliest handle whose deadline is not after `now`. Its owner's deadline is none from here on.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Handle> {
        if self.earliest()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, handle)| handle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::Slots;

    #[test]
    fn a_handle_has_one_deadline_and_comes_due_once() {
        let at = Instant::from_nanos;
        let handle = Slots::new(1).insert(()).unwrap();
        let (mut deadlines, mut own) = (Deadlines::default(), None);
        deadlines.set(handle, &mut own, Some(at(50)));
        deadlines.set(handle, &mut own, Some(at(20)));
        assert_eq!(deadlines.earliest(), Some(at(20)));
        assert_eq!(deadlines.take_due(at(19)), None);
        assert_eq!(deadlines.take_due(at(20)), Some(handle));
        assert_eq!(deadlines.take_due(at(100)), None);
    }
}
