use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;

use rustix::io::Errno;
use wirewright_protocol::Instant;

use super::super::send::{Sending, send};
use super::*;

const NOW: Instant = Instant::from_nanos(1);

fn bound(address: impl Into<IpAddr>) -> Bound {
    Bound::new(SocketAddr::new(address.into(), 0)).unwrap()
}

fn path_to(receiver: &Bound) -> Endpoint {
    Endpoint::new(receiver.socket.local_addr().unwrap())
}

/// The next train that comes, ten seconds at most.
fn received(socket: &Bound) -> Batch {
    let mut batches = [Batch::new(1, 65_536)];
    let mut fds = [PollFd::new(&socket.socket, PollFlags::IN)];
    let patience = Timespec {
        tv_sec: 10,
        tv_nsec: 0,
    };
    assert_eq!(poll(&mut fds, Some(&patience)).unwrap(), 1, "nothing came");
    assert_eq!(socket.receive(&mut batches).unwrap(), 1);
    let [batch] = batches;
    batch
}

#[test]
fn a_source_address_that_is_gone_does_not_keep_a_datagram_back() {
    let (from, to) = (bound(Ipv4Addr::UNSPECIFIED), bound(Ipv4Addr::LOCALHOST));
    let path = Endpoint {
        source: Some([192, 0, 2, 77].into()),
        ..path_to(&to)
    };
    let mut batch = Batch::new(1, 64);
    batch.push_datagram(path, 5, |bytes| bytes.copy_from_slice(b"hello"));
    let mut sending = Sending::default();
    send(&[from], &batch, &mut sending, NOW);
    assert!(sending.unsent.is_empty());
    assert_eq!(received(&to).packet(0), b"hello");
}

/// Without checksums the kernel cuts no trains (udp_send_skb() gives EINVAL), as with a device that cannot compute them.
#[cfg(target_os = "linux")]
fn forbid_trains(socket: &Bound, forbidden: bool) {
    let value = libc::c_int::from(forbidden);
    // SAFETY: the descriptor is open; pointer and length are those of an int that outlives the call.
    let outcome = unsafe {
        libc::setsockopt(
            socket.socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NO_CHECK,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    assert_eq!(outcome, 0);
}

#[cfg(target_os = "linux")]
#[test]
fn one_refusal_of_the_kernel_does_not_end_trains_for_everybody() {
    let from = bound(Ipv4Addr::UNSPECIFIED);
    let (first, second) = (bound([127, 0, 0, 2]), bound([127, 0, 0, 3]));
    let mut sending = Sending::default();
    let batch = |to: &Bound| {
        let mut batch = Batch::new(3, 64);
        for _ in 0..3 {
            batch.push_datagram(path_to(to), 10, |bytes| bytes.fill(7));
        }
        batch
    };
    forbid_trains(&from, true);
    let links = [from];
    send(&links, &batch(&first), &mut sending, NOW);
    assert!(sending.unsent.is_empty(), "they go one by one");
    for _ in 0..3 {
        assert_eq!(received(&first).packet(0), [7; 10]);
    }
    forbid_trains(&links[0], false);
    send(&links, &batch(&second), &mut sending, NOW);
    assert_eq!(
        received(&second).len(),
        3,
        "a train is cut on its way, or by who receives it"
    );
    assert_eq!(links[0].most(), 64);
}

#[cfg(target_os = "linux")]
#[test]
fn a_datagram_that_is_longer_than_the_device_takes_is_cut_on_its_way() {
    // With its headers it is longer than the 65,536 bytes of the loopback device.
    for address in [Ipv4Addr::LOCALHOST.into(), IpAddr::from(Ipv6Addr::LOCALHOST)] {
        if address.is_ipv6() && Bound::new(SocketAddr::new(address, 0)).is_err() {
            continue; // A machine without IPv6.
        }
        let (from, to) = (bound(address), bound(address));
        let length = if address.is_ipv6() { 65_500 } else { 65_507 };
        let mut batch = Batch::new(1, 65_536);
        batch.push_datagram(path_to(&to), length, |bytes| bytes.fill(3));
        let mut sending = Sending::default();
        send(&[from], &batch, &mut sending, NOW);
        assert!(sending.unsent.is_empty(), "{address}");
        assert_eq!(received(&to).packet(0).len(), length, "{address}");
    }
}

#[test]
fn an_icmp_message_to_an_earlier_datagram_is_an_error_that_passes() {
    let (from, to) = (bound(Ipv4Addr::LOCALHOST), bound(Ipv4Addr::LOCALHOST));
    // Only a connected socket is told on every system.
    from.socket.connect(to.socket.local_addr().unwrap()).unwrap();
    let address = to.socket.local_addr().unwrap();
    drop(to);
    from.socket.send(b"to nobody").unwrap();
    let mut fds = [PollFd::new(&from.socket, PollFlags::IN)];
    assert_eq!(poll(&mut fds, None).unwrap(), 1);
    let error = from.receive(&mut [Batch::new(1, 64)]).unwrap_err();
    assert_eq!(Errno::from_io_error(&error), Some(Errno::CONNREFUSED));
    // The next datagram arrives.
    let to = UdpSocket::bind(address).unwrap();
    to.send_to(b"hello", from.socket.local_addr().unwrap()).unwrap();
    assert_eq!(received(&from).packet(0), b"hello");
}
