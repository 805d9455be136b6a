//! Notices that wait for the user: of each peer the newest, so that nobody's is lost, and there are no more than peers
//! (those that were removed since the user last looked included).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use wirewright_engine::Notice;
use wirewright_protocol::PublicKey;

#[derive(Default)]
pub(crate) struct Notices {
    newest: BTreeMap<PublicKey, Notice>,
    /// Whose turn it is, oldest first; each once.
    order: VecDeque<PublicKey>,
}

impl Notices {
    /// Takes one. Where a peer is heard from is not told: it may change with each packet, and nobody waits for it.
    pub(crate) fn push(&mut self, notice: Notice) {
        let key = match notice {
            Notice::HandshakeCompleted(key) | Notice::HandshakeGaveUp(key) => key,
            Notice::EndpointChanged(_) => return,
        };
        match self.newest.entry(key) {
            Entry::Occupied(mut waiting) => {
                waiting.insert(notice);
            }
            Entry::Vacant(free) => {
                free.insert(notice);
                self.order.push_back(key);
            }
        }
    }

    /// The newest notice of the peer that has waited longest.
    pub(crate) fn pop(&mut self) -> Option<Notice> {
        let key = self.order.pop_front()?;
        self.newest.remove(&key)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> PublicKey {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        PublicKey::from_bytes(bytes)
    }

    fn drained(notices: &mut Notices) -> Vec<Notice> {
        core::iter::from_fn(|| notices.pop()).collect()
    }

    #[test]
    fn a_peer_that_speaks_often_pushes_out_nobody() {
        let mut notices = Notices::default();
        notices.push(Notice::HandshakeCompleted(key(1)));
        for _ in 0..100_000 {
            notices.push(Notice::EndpointChanged(key(2)));
            notices.push(Notice::HandshakeCompleted(key(2)));
        }
        assert_eq!(
            drained(&mut notices),
            [1, 2].map(|number| Notice::HandshakeCompleted(key(number)))
        );
    }

    #[test]
    fn every_peer_of_many_is_told_of_in_the_order_of_the_first_news() {
        let mut notices = Notices::default();
        let all = 0..50_000;
        for number in all.clone() {
            notices.push(Notice::HandshakeCompleted(key(number)));
        }
        let told: Vec<Notice> = all
            .map(|number| Notice::HandshakeCompleted(key(number)))
            .collect();
        assert!(drained(&mut notices) == told);
    }

    #[test]
    fn the_newest_notice_of_a_peer_counts() {
        let mut notices = Notices::default();
        notices.push(Notice::HandshakeGaveUp(key(1)));
        notices.push(Notice::HandshakeCompleted(key(1)));
        notices.push(Notice::HandshakeCompleted(key(2)));
        notices.push(Notice::HandshakeGaveUp(key(2)));
        let newest = [
            Notice::HandshakeCompleted(key(1)),
            Notice::HandshakeGaveUp(key(2)),
        ];
        assert_eq!(drained(&mut notices), newest);
        assert!(notices.is_empty());
    }

    #[test]
    fn a_change_of_endpoint_wakes_nobody() {
        let mut notices = Notices::default();
        notices.push(Notice::EndpointChanged(key(1)));
        assert!(notices.is_empty());
        assert_eq!(notices.pop(), None);
    }
}
