use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use wirewright_runtime::clock;

use super::*;
use crate::udp::{UdpConfig, UdpOffloads, bind};

const NOW: Instant = Instant::from_nanos(1);
/// Documentation's: no machine has it.
const NOT_OURS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 77));

fn error(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

fn path(source: Option<IpAddr>) -> Endpoint {
    let mut path = Endpoint::new(SocketAddr::from(([127, 0, 0, 1], 9)));
    path.source = source;
    path
}

/// A sender that offers one train of three datagrams.
fn with_train(source: Option<IpAddr>) -> Sender {
    let mut sender = Sender::new();
    sender.queue.push(Train {
        path: path(source),
        hop_limit: None,
        segment: 100,
        first: 0,
        count: 3,
        doubt: Doubt::Nothing,
    });
    sender
}

/// The messages of a sender: how many datagrams each, and from where.
fn offered(sender: &Sender) -> Vec<(usize, Option<IpAddr>)> {
    sender
        .queue
        .iter()
        .map(|train| (train.count, train.path.source))
        .collect()
}

/// What a sender believes: that trains to the destination are refused, and that the source is gone.
fn believed(sender: &mut Sender) -> (bool, bool) {
    let destination = path(None).remote.ip();
    (
        sender.no_trains.foresee(destination, NOW),
        sender.no_source.foresee(NOT_OURS, NOW),
    )
}

#[test]
fn a_train_that_goes_without_its_source_says_that_the_source_is_gone() {
    let mut sender = with_train(Some(NOT_OURS));
    assert!(sender.adapt(0, &error(libc::EINVAL)));
    assert_eq!(offered(&sender), [(3, None)]);
    assert_eq!(believed(&mut sender), (false, false), "nothing is known yet");
    sender.learn(NOW, 0);
    assert_eq!(believed(&mut sender), (false, true));
}

#[test]
fn datagrams_that_go_singly_with_their_source_say_that_trains_are_refused() {
    for code in [libc::EINVAL, libc::EIO, libc::EMSGSIZE] {
        let mut sender = with_train(Some(NOT_OURS));
        while sender.queue.len() == 1 {
            assert!(sender.adapt(0, &error(code)));
        }
        assert_eq!(offered(&sender), [(1, Some(NOT_OURS)); 3]);
        sender.learn(NOW, 0);
        assert_eq!(believed(&mut sender), (true, false));
    }
}

#[test]
fn what_is_refused_in_every_way_says_nothing_of_trains_or_sources() {
    let mut sender = with_train(Some(NOT_OURS));
    let attempts = (0..).take_while(|_| sender.adapt(0, &error(libc::EINVAL)));
    assert_eq!(
        attempts.count(),
        3,
        "without a source, singly, singly without a source"
    );
    assert_eq!(believed(&mut sender), (false, false));
}

#[test]
fn a_lack_of_memory_or_a_filter_says_nothing_of_a_source() {
    for code in [libc::ENOBUFS, libc::ENOMEM, libc::EPERM] {
        let mut sender = with_train(Some(NOT_OURS));
        assert!(!sender.adapt(0, &error(code)));
        assert_eq!(offered(&sender), [(3, Some(NOT_OURS))]);
    }
}

#[test]
fn an_error_that_is_about_neither_is_not_tried_again() {
    let mut sender = with_train(None);
    assert!(!sender.adapt(0, &error(libc::ENETUNREACH)));
    assert_eq!(offered(&sender), [(3, None)]);
}

#[test]
fn datagrams_leave_from_elsewhere_where_their_source_is_gone_and_go_on_in_trains() {
    let config = UdpConfig {
        port: 0,
        mark: 0,
        offloads: UdpOffloads {
            send: true,
            receive: true,
        },
    };
    let (sockets, ..) = bind(config, 1).unwrap();
    let there = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut to = Endpoint::new(there.local_addr().unwrap());
    to.source = Some(NOT_OURS);
    let mut batch = Batch::new(4, 64);
    (0..4).for_each(|number| assert!(batch.push_datagram(to, 40, |bytes| bytes.fill(number))));
    let mut sender = Sender::new();
    let now = clock::now().now;
    assert_eq!(sender.send(now, &sockets[0], &[batch]).count(), 0);
    let mut bytes = [0; 64];
    for number in 0..4 {
        assert_eq!(there.recv(&mut bytes).unwrap(), 40);
        assert_eq!(bytes[..40], [number; 40]);
    }
    assert!(sender.no_source.foresee(NOT_OURS, now));
    assert!(!sender.no_trains.foresee(to.remote.ip(), now));
}
