//! Packets of a batch that are at home in other shards.

use alloc::vec::Vec;

use rand_core::CryptoRng;

use super::Shard;
use crate::batch::Batch;
use crate::output::{HandedOver, Handover, Output};

impl<R: CryptoRng> Shard<R> {
    /// Hands over the packets that are at home in other shards: the batch as a whole if all of them are at home in
    /// the same one, else copies of them. Returns what is left for this shard. `home` is asked once a packet, since
    /// it may have to look an address up.
    pub(super) fn hand_over_foreign(
        &mut self,
        batch: Batch,
        output: &mut Output,
        home: impl Fn(&Self, &[u8]) -> u8,
        kind: impl Fn(Batch) -> Handover,
        count: impl FnOnce(&mut HandedOver, u64),
    ) -> Option<Batch> {
        let mut homes = core::mem::take(&mut self.scratch.homes);
        homes.extend(batch.packets().map(|(_, packet)| home(self, packet)));
        let foreign = homes.iter().filter(|home| **home != self.id).count() as u64;
        count(&mut self.handed_over, foreign);
        let left = match homes.split_first() {
            None => None,
            Some((first, rest)) if rest.iter().any(|other| other != first) => {
                Some(self.hand_over_some(batch, &homes, output, kind))
            }
            Some((first, _)) if *first == self.id => Some(batch),
            Some((first, _)) => {
                output.handovers.push((*first, kind(batch)));
                None
            }
        };
        homes.clear();
        self.scratch.homes = homes;
        left
    }

    /// Copies foreign packets out of a batch, which keeps the others. `homes` has a shard for each packet.
    fn hand_over_some(
        &mut self,
        mut batch: Batch,
        homes: &[u8],
        output: &mut Output,
        kind: impl Fn(Batch) -> Handover,
    ) -> Batch {
        let mut foreign: Vec<(u8, Batch)> = Vec::new();
        let mut homes = homes.iter().copied();
        for index in 0..batch.len() {
            let Some(slot) = batch.slot(index).copied().filter(|slot| slot.len > 0) else {
                continue;
            };
            let Some(shard) = homes.next().filter(|shard| *shard != self.id) else {
                continue;
            };
            let packet = batch.packet(index);
            let moved = foreign
                .iter_mut()
                .rfind(|(to, _)| *to == shard)
                .is_some_and(|(_, to)| to.push_slot(&slot, packet));
            if !moved {
                let mut to = self.batch_for(slot.start as usize + packet.len());
                to.push_slot(&slot, packet);
                foreign.push((shard, to));
            }
            batch.drop_packet(index);
        }
        output
            .handovers
            .extend(foreign.into_iter().map(|(shard, batch)| (shard, kind(batch))));
        batch
    }

    /// An empty batch, of ordinary slots if `len` bytes fit one, else of a single one.
    fn batch_for(&mut self, len: usize) -> Batch {
        if len <= Batch::stride_for(self.mtu) {
            self.batch()
        } else {
            Batch::new(1, len)
        }
    }
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;
    use crate::engine::Engine;
    use crate::limits::Limits;
    use crate::peer::Endpoint;

    fn shards(count: u8) -> Vec<Shard<ChaCha20Rng>> {
        let rngs = (0..count).map(|shard| ChaCha20Rng::from_seed([shard; 32]));
        Engine::new(rngs, &Limits::default(), 1420).into_parts().1
    }

    /// A batch of datagrams, the first byte of which says where they are at home; 255 for a slot without any.
    fn batch(homes: &[u8]) -> Batch {
        let mut batch = Batch::new(homes.len(), 64);
        for (index, home) in homes.iter().enumerate() {
            batch.push_datagram(Endpoint::UNSPECIFIED, 2, |bytes| {
                bytes.copy_from_slice(&[*home, index as u8])
            });
            if *home == 255 {
                batch.drop_packet(index);
            }
        }
        batch
    }

    fn packets(batch: &Batch) -> Vec<[u8; 2]> {
        batch
            .packets()
            .map(|(_, packet)| packet.try_into().unwrap())
            .collect()
    }

    #[test]
    fn a_packets_home_is_asked_for_once() {
        for homes in [&[0, 0, 0][..], &[2, 2, 2], &[0, 1, 2, 1, 0]] {
            for shard in &mut shards(4) {
                let asked = Cell::new(0);
                let home = |_: &Shard<ChaCha20Rng>, packet: &[u8]| {
                    asked.set(asked.get() + 1);
                    packet[0]
                };
                shard.hand_over_foreign(
                    batch(homes),
                    &mut Output::default(),
                    home,
                    Handover::Send,
                    |_, _| (),
                );
                assert_eq!(asked.get(), homes.len(), "{homes:?} in shard {}", shard.id);
            }
        }
    }

    #[test]
    fn packets_of_several_shards_go_where_they_are_at_home() {
        let mut output = Output::default();
        let shard = &mut shards(4)[1];
        let mixed = batch(&[1, 255, 3, 0, 255, 1, 3, 1]);
        let count = |counts: &mut HandedOver, foreign| counts.packets += foreign;
        let left = shard.hand_over_foreign(mixed, &mut output, |_, packet| packet[0], Handover::Send, count);
        assert_eq!(shard.handed_over().packets, 3);
        assert_eq!(packets(&left.unwrap()), [[1, 0], [1, 5], [1, 7]]);
        let handed: Vec<(u8, Vec<[u8; 2]>)> = output
            .handovers
            .iter()
            .map(|(to, handover)| match handover {
                Handover::Send(batch) => (*to, packets(batch)),
                _ => panic!("another kind"),
            })
            .collect();
        assert_eq!(
            handed,
            [(3, alloc::vec![[3, 2], [3, 6]]), (0, alloc::vec![[0, 3]])]
        );
    }

    #[test]
    fn a_batch_of_one_shard_goes_whole() {
        let mut output = Output::default();
        let shard = &mut shards(4)[1];
        let foreign = shard.hand_over_foreign(
            batch(&[3, 3]),
            &mut output,
            |_, packet| packet[0],
            Handover::Send,
            |_, _| (),
        );
        assert!(foreign.is_none());
        assert!(matches!(&output.handovers[..], [(3, Handover::Send(batch))] if batch.len() == 2));
        let own = shard.hand_over_foreign(
            batch(&[1, 1]),
            &mut output,
            |_, packet| packet[0],
            Handover::Send,
            |_, _| (),
        );
        assert_eq!(packets(&own.unwrap()).len(), 2);
    }
}
