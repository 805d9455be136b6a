//! Sockets of the host on its loopback.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

struct Host {
    outside: Outside,
    orders: Orders,
    reports: Reports,
}

impl Host {
    fn new(places: usize) -> Self {
        Self {
            outside: Outside::new(places).unwrap(),
            orders: Orders::default(),
            reports: Reports::new(256 << 10),
        }
    }

    fn open(&mut self, name: u64, kind: Kind, remote: SocketAddr) {
        self.orders.push(Order::Open {
            name,
            kind,
            remote,
            own: true,
        });
        self.perform();
    }

    fn perform(&mut self) {
        let mut table = self.outside.table().lock();
        table.perform(&mut self.orders, &mut self.reports);
    }

    /// Looks until something is told that `wanted` takes; returns all that was told.
    fn until(&mut self, mut wanted: impl FnMut(u64, Report) -> bool) -> Vec<(u64, Report, Vec<u8>)> {
        let (end, mut told) = (Instant::now() + PATIENCE, vec![]);
        loop {
            self.outside.table().lock().look(&mut self.reports);
            let new: Vec<_> = self
                .reports
                .iter()
                .map(|(name, report, bytes)| (name, report, bytes.to_vec()))
                .collect();
            self.reports.clear();
            let found = new.iter().any(|(name, report, _)| wanted(*name, *report));
            told.extend(new);
            if found {
                return told;
            }
            assert!(Instant::now() < end, "only {told:?}");
            std::thread::yield_now();
        }
    }

    /// Reads from a stream until so many bytes came.
    fn read(&mut self, name: u64, len: usize) -> Vec<u8> {
        let mut all = vec![];
        while all.len() < len {
            let told = self.until(|whose, report| whose == name && matches!(report, Report::Received(_)));
            all.extend(told.into_iter().flat_map(|(.., bytes)| bytes));
        }
        all
    }

    fn connected(&mut self, name: u64) -> TcpStream {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        self.open(name, Kind::Stream, listener.local_addr().unwrap());
        self.until(|whose, report| (whose, report) == (name, Report::Opened));
        listener.accept().unwrap().0
    }
}

#[test]
fn a_stream_is_read_only_as_far_as_it_may_be_and_each_direction_ends_by_itself() {
    let mut host = Host::new(4);
    let mut remote = host.connected(1);
    remote.write_all(b"hello world").unwrap();
    host.orders.push(Order::Read { name: 1, more: 5 });
    host.perform();
    assert_eq!(host.read(1, 5), b"hello");
    host.orders.push(Order::Read { name: 1, more: 100 });
    host.orders.send_some(1, 3, |room| {
        room.copy_from_slice(b"yes");
        3
    });
    host.orders.push(Order::Finish { name: 1 });
    host.perform();
    assert_eq!(host.read(1, 6), b" world");
    let mut answer = vec![];
    remote.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"yes");
    remote.write_all(b"!").unwrap();
    drop(remote);
    let told = host.until(|_, report| report == Report::Ended);
    assert!(told.iter().any(|(.., bytes)| bytes == b"!"), "{told:?}");
}

#[test]
fn what_the_remote_side_does_not_take_waits_and_is_told_when_it_went() {
    let mut host = Host::new(4);
    let mut remote = host.connected(1);
    let bytes: Vec<u8> = (0..8 << 20).map(|at: usize| (at % 251) as u8).collect();
    host.orders.send_some(1, bytes.len(), |room| {
        room.copy_from_slice(&bytes);
        room.len()
    });
    host.orders.push(Order::Finish { name: 1 });
    host.perform();
    let reader = std::thread::spawn(move || {
        let mut all = vec![];
        remote.read_to_end(&mut all).unwrap();
        all
    });
    let mut sent = 0;
    for (_, report, _) in host.reports.iter() {
        if let Report::Sent(len) = report {
            sent += len;
        }
    }
    assert!(sent < bytes.len(), "loopback took everything at once");
    host.reports.clear();
    while sent < bytes.len() {
        for (_, report, _) in host.until(|_, report| matches!(report, Report::Sent(_))) {
            if let Report::Sent(len) = report {
                sent += len;
            }
        }
    }
    assert!(reader.join().unwrap() == bytes);
}

#[test]
fn who_refuses_and_who_breaks_off_is_told() {
    let mut host = Host::new(4);
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap();
    host.open(1, Kind::Stream, nobody);
    host.until(|name, report| (name, report) == (1, Report::Failed(Failure::Refused)));
    let remote = host.connected(2);
    socket2::SockRef::from(&remote)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(remote);
    host.until(|name, report| (name, report) == (2, Report::Failed(Failure::Reset)));
    let mut remote = host.connected(3);
    host.orders.push(Order::Close { name: 3, abort: true });
    host.perform();
    let error = remote.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn the_hosts_own_addresses_are_not_reached_unless_that_was_said() {
    let mut host = Host::new(4);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let remote = listener.local_addr().unwrap();
    for kind in [Kind::Stream, Kind::Datagram, Kind::Echo] {
        host.orders.push(Order::Open {
            name: 1,
            kind,
            remote,
            own: false,
        });
        host.perform();
        assert_eq!(host.reports.of(1), [Report::Failed(Failure::Own)]);
        host.reports.clear();
    }
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "somebody connected");
}

#[test]
fn datagrams_go_and_come_and_that_nobody_listens_is_told_with_the_code() {
    for loopback in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let mut host = Host::new(4);
        let remote = UdpSocket::bind((loopback, 0)).unwrap();
        host.open(1, Kind::Datagram, remote.local_addr().unwrap());
        host.orders.send(1, 64, |bytes| bytes.extend(b"one"));
        host.orders.send(1, 63, |_| ());
        host.perform();
        let mut buffer = [0; 10];
        let (len, client) = remote.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"one");
        assert_eq!(remote.recv_from(&mut buffer).unwrap(), (0, client));
        remote.send_to(b"answer", client).unwrap();
        assert_eq!(host.read(1, 6), b"answer");
        drop(remote);
        host.orders.send(1, 64, |bytes| bytes.extend(b"two"));
        host.perform();
        let expected = if loopback.is_ipv4() { (3, 3) } else { (1, 4) };
        let told = host.until(|_, report| matches!(report, Report::Complained(_)));
        let complaints: Vec<_> = told
            .iter()
            .filter_map(|(_, report, _)| match report {
                Report::Complained(complaint) => Some(*complaint),
                _ => None,
            })
            .collect();
        assert_eq!((complaints[0].kind, complaints[0].code), expected);
        assert_eq!(complaints[0].offender, Some(loopback));
    }
}

#[test]
fn streams_that_have_much_to_tell_do_not_keep_a_datagram_waiting() {
    let mut host = Host::new(20);
    let mut remotes = vec![];
    for name in 1..=8 {
        let mut remote = host.connected(name);
        remote.set_nonblocking(true).unwrap();
        let mut filled = 0;
        while let Ok(len) = remote.write(&[7; 65_536]) {
            filled += len;
        }
        assert!(filled > 1 << 20, "loopback holds only {filled} bytes");
        remotes.push(remote);
        host.orders.push(Order::Read {
            name,
            more: usize::MAX / 2,
        });
    }
    host.perform();
    let remote = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    host.open(9, Kind::Datagram, remote.local_addr().unwrap());
    host.orders.send(9, 64, |bytes| bytes.extend(b"hello"));
    host.perform();
    let (_, client) = remote.recv_from(&mut [0; 10]).unwrap();
    remote.send_to(b"answer", client).unwrap();
    // A round has room for a turn of two streams.
    let mut before = 0;
    host.until(|name, report| {
        if let Report::Received(len) = report {
            before += len;
        }
        (name, report) == (9, Report::Received(6))
    });
    assert!(before < 2 << 20, "{before} bytes of streams came first");
}

#[test]
fn there_are_no_more_sockets_than_places() {
    let mut host = Host::new(1);
    let remote = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap();
    host.open(1, Kind::Datagram, remote);
    host.open(2, Kind::Datagram, remote);
    assert_eq!(host.reports.of(2), [Report::Failed(Failure::Exhausted)]);
    host.orders.push(Order::Close {
        name: 1,
        abort: false,
    });
    host.reports.clear();
    host.open(3, Kind::Datagram, remote);
    assert!(host.reports.of(3).is_empty());
}

#[test]
fn a_name_that_was_closed_means_nothing_even_where_another_has_its_number() {
    let mut host = Host::new(4);
    let _first = host.connected(1);
    host.orders.push(Order::Close {
        name: 1,
        abort: false,
    });
    host.perform();
    let next = 1 | 1 << 32;
    let mut remote = host.connected(next);
    host.orders.push(Order::Read { name: 1, more: 100 });
    host.orders.push(Order::Finish { name: 1 });
    host.orders.push(Order::Close { name: 1, abort: true });
    host.perform();
    remote.write_all(b"here").unwrap();
    host.orders.push(Order::Read {
        name: next,
        more: 100,
    });
    host.perform();
    assert_eq!(host.read(next, 4), b"here");
}
