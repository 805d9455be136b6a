//! How many may be carried at once: of all peers, and of each, so that none takes all places.

use std::collections::HashMap;

use rand_core::Rng;
use wirewright_protocol::PublicKey;

use crate::hash::KeyedHash;

pub(crate) struct Places {
    most: usize,
    most_of_peer: usize,
    taken: usize,
    by_peer: HashMap<PublicKey, usize, KeyedHash>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// All peers together have as many as there are.
    All,
    /// This peer has as many as one may have.
    Peer,
}

impl Places {
    pub(crate) fn new(most: usize, most_of_peer: usize, rng: &mut impl Rng) -> Self {
        Self {
            most,
            most_of_peer,
            taken: 0,
            by_peer: HashMap::with_hasher(KeyedHash::new(rng)),
        }
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken
    }

    pub(crate) fn take(&mut self, peer: PublicKey) -> Result<(), Full> {
        let own = self.by_peer.get(&peer).copied().unwrap_or(0);
        if own >= self.most_of_peer {
            return Err(Full::Peer);
        }
        if self.taken >= self.most {
            return Err(Full::All);
        }
        self.by_peer.insert(peer, own + 1);
        self.taken += 1;
        Ok(())
    }

    pub(crate) fn give_back(&mut self, peer: PublicKey) {
        let Some(own) = self.by_peer.get_mut(&peer) else {
            return;
        };
        *own -= 1;
        self.taken -= 1;
        if *own == 0 {
            self.by_peer.remove(&peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn a_peer_takes_no_more_than_its_own_and_all_no_more_than_there_are() {
        let mut places = Places::new(5, 3, &mut ChaCha20Rng::from_seed([1; 32]));
        let [greedy, other] = [PublicKey::from_bytes([1; 32]), PublicKey::from_bytes([2; 32])];
        for _ in 0..3 {
            assert_eq!(places.take(greedy), Ok(()));
        }
        assert_eq!(places.take(greedy), Err(Full::Peer));
        assert_eq!(places.take(other), Ok(()));
        assert_eq!(places.take(other), Ok(()));
        assert_eq!(places.take(other), Err(Full::All));
        places.give_back(greedy);
        assert_eq!(places.take(other), Ok(()));
        assert_eq!(places.taken(), 5);
        for peer in [greedy, greedy, other, other, other, other] {
            places.give_back(peer);
        }
        assert_eq!((places.taken(), places.by_peer.len()), (0, 0));
    }
}
