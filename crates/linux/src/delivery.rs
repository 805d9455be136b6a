//! From batches into the TUN, joined where it belongs together.
//!
//! # Theory
//!
//! A kernel may accept the offloads when it is asked and refuse joined packets all the same: some answer `EINVAL` to each
//! of them. Bulk TCP would not get through at all then, since what is sent again is joined again. So joined packets that
//! are refused for that are written once more, one by one. If the kernel takes them so, joining was the cause, and packets of
//! their kind are joined no more. Nothing tells beforehand but a packet, and a trial one would go to somebody.

use std::io::{self, IoSlice};

use rustix::io::Errno;
use wirewright_engine::Batch;
use wirewright_offload::gather::{Gather, Group, Kinds, MAX_PACKETS};
use wirewright_offload::virtio::{Header, Kind};

/// Parts of a super-packet that any kernel with the offload takes (`UDP_MAX_SEGMENTS`, once 64): that more are refused
/// says nothing of fewer.
const SURE: usize = 64;

/// Plans and writes for one queue.
pub(crate) struct Delivery {
    gather: Gather,
}

/// What became of a batch, but for what was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Packets that the interface refused: it is down, or has no memory.
    pub(crate) refused: u64,
    /// Kinds of packets that are not joined any more.
    pub(crate) given_up: u64,
}

impl Delivery {
    pub(crate) fn new(kinds: Kinds) -> Self {
        Self {
            gather: Gather::new(kinds),
        }
    }

    /// Gives the packets of a batch to `write`, in pieces.
    pub(crate) fn deliver(
        &mut self,
        batch: &Batch,
        write: impl Fn(&[IoSlice<'_>]) -> io::Result<()>,
    ) -> Outcome {
        self.gather.plan(batch.len(), |index| batch.packet(index));
        let mut outcome = Outcome::default();
        let mut kinds = self.gather.kinds();
        for group in self.gather.groups() {
            if group.count() > 1 && is_joined(kinds, group) {
                match self.write_joined(batch, group, &write) {
                    Ok(()) => continue,
                    Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => (),
                    Err(_) => {
                        outcome.refused += group.count() as u64;
                        continue;
                    }
                }
                let refused = self.write_singly(batch, group, &write);
                outcome.refused += refused;
                if refused < group.count() as u64 && group.count() <= SURE {
                    give_up(&mut kinds, group);
                    outcome.given_up += 1;
                }
            } else {
                outcome.refused += self.write_singly(batch, group, &write);
            }
        }
        if outcome.given_up > 0 {
            self.gather.join_only(kinds);
        }
        outcome
    }

    fn write_joined(
        &self,
        batch: &Batch,
        group: &Group,
        write: impl Fn(&[IoSlice<'_>]) -> io::Result<()>,
    ) -> io::Result<()> {
        let headers = group.headers();
        let virtio = group.virtio().write(headers.len() as u16);
        let mut pieces = [IoSlice::new(&[]); 2 + MAX_PACKETS];
        let packets = self.gather.packets(group).map(|index| batch.packet(index));
        let payloads = packets.map(|packet| packet.get(headers.len()..).unwrap_or(&[]));
        let all = [&virtio[..], headers].into_iter().chain(payloads);
        for (piece, bytes) in pieces.iter_mut().zip(all) {
            *piece = IoSlice::new(bytes);
        }
        write(pieces.get(..2 + group.count()).unwrap_or(&pieces))
    }

    /// Returns how many were refused.
    fn write_singly(
        &self,
        batch: &Batch,
        group: &Group,
        write: impl Fn(&[IoSlice<'_>]) -> io::Result<()>,
    ) -> u64 {
        let virtio = Header::default().write(0);
        let packets = self.gather.packets(group).map(|index| batch.packet(index));
        let written = packets.map(|packet| write(&[IoSlice::new(&virtio), IoSlice::new(packet)]));
        written.filter(Result::is_err).count() as u64
    }
}

fn is_joined(kinds: Kinds, group: &Group) -> bool {
    match group.virtio().segments {
        Some((Kind::Udp, _)) => kinds.udp,
        Some((Kind::Tcp4 | Kind::Tcp6, _)) => kinds.tcp,
        None => false,
    }
}

fn give_up(kinds: &mut Kinds, group: &Group) {
    match group.virtio().segments {
        Some((Kind::Udp, _)) => kinds.udp = false,
        Some((Kind::Tcp4 | Kind::Tcp6, _)) => kinds.tcp = false,
        None => (),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use wirewright_offload::checksum::Sum;
    use wirewright_offload::virtio::HEADER_LEN;

    use super::*;

    const ALL: Kinds = Kinds { tcp: true, udp: true };

    /// A datagram of IPv4 from port 1 to port 2.
    fn datagram(number: u8) -> Vec<u8> {
        datagram_from(1, number)
    }

    fn datagram_from(port: u8, number: u8) -> Vec<u8> {
        let mut packet = vec![0; 28 + 100];
        (packet[0], packet[3], packet[8], packet[9]) = (0x45, 128, 64, 17);
        // Identifications mean nothing where nothing is to be cut.
        packet[6] = 0x40;
        packet[12..20].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
        (packet[21], packet[23], packet[25], packet[28]) = (port, 2, 108, number);
        let header = Sum::new().bytes(&packet[..20]).fold();
        packet[10..12].copy_from_slice(&(!header).to_be_bytes());
        let pseudo = [10, 0, 0, 1, 10, 0, 0, 2, 0, 17, 0, 108];
        let sum = Sum::new().bytes(&pseudo).bytes(&packet[20..]).fold();
        packet[26..28].copy_from_slice(&(!sum).to_be_bytes());
        packet
    }

    /// A segment of TCP, 88 bytes long, that others follow.
    fn segment(number: u8) -> Vec<u8> {
        let mut packet = datagram(number);
        packet[9] = 6;
        packet[20..40].fill(0);
        packet[27] = number * 88;
        (packet[32], packet[33]) = (0x50, 0x10);
        packet[10..12].fill(0);
        let header = Sum::new().bytes(&packet[..20]).fold();
        packet[10..12].copy_from_slice(&(!header).to_be_bytes());
        let pseudo = [10, 0, 0, 1, 10, 0, 0, 2, 0, 6, 0, 108];
        let sum = Sum::new().bytes(&pseudo).bytes(&packet[20..]).fold();
        packet[36..38].copy_from_slice(&(!sum).to_be_bytes());
        packet
    }

    fn batch(count: u8) -> Batch {
        batch_of(&(0..count).map(datagram).collect::<Vec<_>>())
    }

    fn batch_of(packets: &[Vec<u8>]) -> Batch {
        let mut batch = Batch::new(packets.len(), 256);
        for packet in packets {
            assert!(batch.push_plaintext(packet.len(), |bytes| bytes.copy_from_slice(packet)));
        }
        batch
    }

    /// A queue that answers with an error to some writes, and keeps the others.
    struct Kernel<F> {
        refuses: F,
        tried: RefCell<usize>,
        taken: RefCell<Vec<Vec<u8>>>,
    }

    impl<F: Fn(Option<Kind>) -> Option<i32>> Kernel<F> {
        fn new(refuses: F) -> Self {
            Self {
                refuses,
                tried: RefCell::default(),
                taken: RefCell::default(),
            }
        }

        fn write(&self, pieces: &[IoSlice<'_>]) -> io::Result<()> {
            *self.tried.borrow_mut() += 1;
            let header: [u8; HEADER_LEN] = (*pieces[0]).try_into().unwrap();
            let segments = Header::parse(&header).unwrap().segments;
            match (self.refuses)(segments.map(|(kind, _)| kind)) {
                Some(error) => Err(io::Error::from_raw_os_error(error)),
                None => {
                    let bytes = pieces[1..].iter().flat_map(|piece| piece.to_vec());
                    self.taken.borrow_mut().push(bytes.collect());
                    Ok(())
                }
            }
        }

        /// How often the delivery of a batch called it.
        fn calls(&self, delivery: &mut Delivery, count: u8) -> (usize, Outcome) {
            self.calls_for(delivery, &batch(count))
        }

        fn calls_for(&self, delivery: &mut Delivery, batch: &Batch) -> (usize, Outcome) {
            *self.tried.borrow_mut() = 0;
            let outcome = delivery.deliver(batch, |pieces| self.write(pieces));
            (*self.tried.borrow(), outcome)
        }
    }

    fn outcome(refused: u64, given_up: u64) -> Outcome {
        Outcome { refused, given_up }
    }

    #[test]
    fn a_kernel_that_refuses_joined_packets_gets_them_one_by_one_from_then_on() {
        let kernel = Kernel::new(|kind| kind.map(|_| libc::EINVAL));
        let mut delivery = Delivery::new(ALL);
        assert_eq!(kernel.calls(&mut delivery, 5), (1 + 5, outcome(0, 1)));
        let expected: Vec<Vec<u8>> = (0..5).map(datagram).collect();
        assert_eq!(*kernel.taken.borrow(), expected);
        assert_eq!(kernel.calls(&mut delivery, 5), (5, outcome(0, 0)));
    }

    #[test]
    fn what_is_refused_once_is_not_tried_again_in_the_same_batch() {
        let kernel = Kernel::new(|kind| kind.map(|_| libc::EINVAL));
        let flows = [1, 3].map(|port| (0..3).map(move |number| datagram_from(port, number)));
        let batch = batch_of(&flows.into_iter().flatten().collect::<Vec<_>>());
        let calls = kernel.calls_for(&mut Delivery::new(ALL), &batch);
        assert_eq!(calls, (1 + 3 + 3, outcome(0, 1)));
    }

    #[test]
    fn a_kind_that_is_refused_says_nothing_of_the_other() {
        let segments = batch_of(&(0..2).map(segment).collect::<Vec<_>>());
        let datagrams = batch(2);
        for refused in [Kind::Udp, Kind::Tcp4] {
            let kernel = Kernel::new(|kind| (kind == Some(refused)).then_some(libc::EINVAL));
            let (first, other) = match refused {
                Kind::Udp => (&datagrams, &segments),
                Kind::Tcp4 | Kind::Tcp6 => (&segments, &datagrams),
            };
            let mut delivery = Delivery::new(ALL);
            assert_eq!(kernel.calls_for(&mut delivery, first), (1 + 2, outcome(0, 1)));
            assert_eq!(kernel.calls_for(&mut delivery, other), (1, outcome(0, 0)));
            assert_eq!(kernel.calls_for(&mut delivery, first), (2, outcome(0, 0)));
        }
    }

    #[test]
    fn a_kernel_that_refuses_everything_is_tried_with_joined_packets_again() {
        let kernel = Kernel::new(|_| Some(libc::EINVAL));
        let mut delivery = Delivery::new(ALL);
        assert_eq!(kernel.calls(&mut delivery, 5), (1 + 5, outcome(5, 0)));
        let kernel = Kernel::new(|_| None);
        assert_eq!(kernel.calls(&mut delivery, 5), (1, outcome(0, 0)));
    }

    #[test]
    fn other_errors_say_nothing_of_joining() {
        let kernel = Kernel::new(|kind| kind.map(|_| libc::EIO));
        let mut delivery = Delivery::new(ALL);
        for _ in 0..2 {
            assert_eq!(kernel.calls(&mut delivery, 5), (1, outcome(5, 0)));
        }
    }

    #[test]
    fn a_super_packet_of_too_many_parts_says_nothing_of_one_of_fewer() {
        let kernel = Kernel::new(|kind| kind.map(|_| libc::EINVAL));
        let mut delivery = Delivery::new(ALL);
        assert_eq!(kernel.calls(&mut delivery, 65), (1 + 65, outcome(0, 0)));
        assert_eq!(kernel.calls(&mut delivery, 64), (1 + 64, outcome(0, 1)));
    }
}
