//! Packets from the inside of a tunnel: what a peer may send once its messages authenticate.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wirewright_netstack::{Config, Instant, Netstack, PacketSink};
use wirewright_offload::coalesce::Coalescer;

use crate::script::Script;

/// Feeds a TCP/IP stack that listens, connects and has a datagram socket with packets of any content, as they are
/// and after joining segments, while time passes.
///
/// # Panics
///
/// If the stack does, or if it sends what is no IP packet.
pub fn packets(bytes: &[u8]) {
    let own = [
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1)),
    ];
    let addresses = own
        .iter()
        .map(|address| (*address, if address.is_ipv4() { 24 } else { 64 }))
        .collect();
    let mut netstack =
        Netstack::new(Config::new(addresses, 1420), [7; 32]).expect("the configuration is a good one");
    netstack.listen(None, 80, 16).expect("nobody listens yet");
    netstack.bind(None, 53).expect("nobody is bound yet");
    let mut now = Instant::from_nanos(1_000_000_000);
    let remote = (Ipv4Addr::new(10, 0, 0, 2), 443).into();
    netstack.connect(now, remote, None).expect("there is room");
    let mut coalescer = Coalescer::new(4, 65_535);
    let mut script = Script(bytes);
    while !script.0.is_empty() {
        let head = script.u8();
        let len = usize::from(script.u8()) * (1 + usize::from(head >> 6) * 16);
        let packet = script.bytes(len);
        if head & 1 == 0 {
            netstack.receive(now, packet);
        } else {
            coalescer.push(packet, |packet| netstack.receive(now, packet));
        }
        if head & 2 != 0 {
            coalescer.flush(|packet| netstack.receive(now, packet));
            netstack.poll(now, &mut Outside);
            while netstack.next_event().is_some() {}
        }
        now = Instant::from_nanos(now.as_nanos() + (u64::from(head) << 22));
    }
}

/// Where packets go, looked at as they leave.
struct Outside;

impl PacketSink for Outside {
    fn has_room(&self) -> bool {
        true
    }

    fn packet<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        let mut packet = vec![0; len];
        let result = fill(&mut packet);
        assert!(len <= 1420, "a packet is longer than the MTU");
        assert!(
            matches!(packet.first().map(|byte| byte >> 4), Some(4 | 6)),
            "what was sent is no IP packet"
        );
        result
    }
}
