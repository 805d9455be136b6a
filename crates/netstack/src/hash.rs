//! A keyed hash, so that nobody who chooses ports and addresses can choose collisions.

use core::hash::BuildHasher;

use rand_core::Rng;
use siphasher::sip::SipHasher13;

#[derive(Clone)]
pub(crate) struct KeyedHash {
    keys: (u64, u64),
}

impl KeyedHash {
    pub(crate) fn new(rng: &mut impl Rng) -> Self {
        Self {
            keys: (rng.next_u64(), rng.next_u64()),
        }
    }
}

impl BuildHasher for KeyedHash {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.keys.0, self.keys.1)
    }
}
