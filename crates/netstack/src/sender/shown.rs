//! Acknowledgements, and ends of streams, that only smoltcp sees.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpProtocol, IpRepr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber};

use crate::demux::Tuple;

/// An acknowledgement in the remote side's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) sequence: u32,
    pub(crate) ack_number: u32,
    /// The field, not scaled.
    pub(crate) window: u16,
    /// It also ends the stream.
    pub(crate) fin: bool,
}

/// Room for one with IPv6.
pub(crate) const SHOWN_LEN: usize = 60;

impl Shown {
    /// The acknowledgement as a packet without checksums, which smoltcp is told not to verify.
    pub(crate) fn write<'a>(&self, tuple: &Tuple, buffer: &'a mut [u8; SHOWN_LEN]) -> &'a [u8] {
        let (from, to) = (tuple.remote.ip().into(), tuple.local.ip().into());
        #[allow(clippy::cast_possible_wrap)] // smoltcp keeps a number without a sign in an i32
        let number = |value: u32| TcpSeqNumber(value as i32);
        let segment = TcpRepr {
            src_port: tuple.remote.port(),
            dst_port: tuple.local.port(),
            control: if self.fin {
                TcpControl::Fin
            } else {
                TcpControl::None
            },
            seq_number: number(self.sequence),
            ack_number: Some(number(self.ack_number)),
            window_len: self.window,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: &[],
        };
        let unchecked = ChecksumCapabilities::ignored();
        let ip = IpRepr::new(from, to, IpProtocol::Tcp, segment.buffer_len(), 64);
        let (packet, _) = buffer.split_at_mut(ip.buffer_len().min(SHOWN_LEN));
        ip.emit(&mut *packet, &unchecked);
        if let Some(rest) = packet.get_mut(ip.header_len()..) {
            segment.emit(&mut TcpPacket::new_unchecked(rest), &from, &to, &unchecked);
        }
        packet
    }
}
