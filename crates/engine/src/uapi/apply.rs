//! Carrying a request out.

use alloc::vec::Vec;

use rand_core::CryptoRng;
use wirewright_protocol::PublicKey;

use super::changes::{Changes, PeerChange};
use crate::control::{ConfigureError, Control};
use crate::filter::Policy;

impl Control {
    /// Carries out all changes but those that are the shell's (`listen_port`, `fwmark`).
    ///
    /// Like the kernel it says nothing of a peer with the interface's own key, nor of one that is to be updated only or
    /// removed and is not there.
    ///
    /// # Errors
    /// [`ConfigureError::TooManyPeers`], [`ConfigureError::TooManyAllowedIps`] and [`ConfigureError::TooManyRules`]; nothing
    /// has changed then.
    pub fn apply(&mut self, changes: Changes, rng: &mut impl CryptoRng) -> Result<(), ConfigureError> {
        self.check(&changes)?;
        if let Some(key) = changes.private_key
            && key.as_ref() != self.private_key()
        {
            // The key that is there already ends no session (the kernel's wg_set_device), so that `syncconf` is harmless.
            self.set_private_key(key, rng);
        }
        if changes.replace_peers {
            let all: Vec<PublicKey> = self.peers().map(|(key, _)| *key).collect();
            for key in all {
                self.remove_peer(&key);
            }
        }
        if let Some(guard) = changes.filter {
            self.set_guard(guard);
        }
        for change in changes.peers {
            self.apply_to_peer(change);
        }
        Ok(())
    }

    fn apply_to_peer(&mut self, mut change: PeerChange) {
        let key = change.public_key;
        change.config.policy = change.rules.map(Policy::new);
        if change.remove {
            self.remove_peer(&key);
            return;
        }
        if change.update_only && self.peer(&key).is_none() {
            return;
        }
        // There is room; only a peer with our own key is refused.
        if self.set_peer_where_there_is_room(key, change.config).is_ok() {
            for prefix in change.disallowed_ips {
                self.disallow(&key, prefix);
            }
        }
    }

    /// Whether everything will fit, judged from above: removals that the request also asks for are not counted.
    fn check(&self, changes: &Changes) -> Result<(), ConfigureError> {
        let (mut peers, mut allowed_ips) = if changes.replace_peers {
            (0, 0)
        } else {
            self.in_use()
        };
        let (mut replaced, mut rules) = (Vec::new(), 0);
        for change in changes.peers.iter().filter(|change| !change.remove) {
            let known = self.peer(&change.public_key).filter(|_| !changes.replace_peers);
            peers += usize::from(known.is_none() && !change.update_only);
            allowed_ips += change.config.allowed_ips.len();
            replaced.extend(known.filter(|_| change.config.replace_allowed_ips));
            if let Some(of_peer) = &change.rules {
                self.check_rules(of_peer.len(), rules)?;
                rules += of_peer.len();
            }
        }
        // A peer may be named twice, but loses what it has once.
        replaced.sort_unstable_by_key(|peer| (peer.shard, peer.slot));
        replaced.dedup();
        let replaced: usize = replaced
            .into_iter()
            .map(|peer| self.allowed_ips(peer).count())
            .sum();
        self.check_room(peers, allowed_ips.saturating_sub(replaced))
    }
}
