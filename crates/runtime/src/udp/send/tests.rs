use std::net::SocketAddr;
use std::time::Duration;

use super::super::double::{Double, Sent};
use super::*;

const START: Instant = Instant::from_nanos(1);

fn path(last: u8) -> Endpoint {
    Endpoint::new(SocketAddr::from(([192, 0, 2, last], 51820)))
}

/// `count` datagrams of ten bytes on a path.
fn batch(path: Endpoint, count: usize) -> Batch {
    let mut batch = Batch::new(count, 64);
    for _ in 0..count {
        assert!(batch.push_datagram(path, 10, |bytes| bytes.fill(1)));
    }
    batch
}

fn is_train((_, len, segment): Sent) -> bool {
    len > segment
}

/// Sends a batch; gives why datagrams were not taken.
fn offer(link: &Double<'_>, batch: &Batch, sending: &mut Sending, now: Instant) -> Vec<Event> {
    send(std::slice::from_ref(link), batch, sending, now);
    sending.unsent.drain(..).map(|(_, cause)| cause).collect()
}

#[test]
fn a_destination_that_refuses_trains_gets_datagrams_singly_and_others_go_on_getting_trains() {
    for errno in [Errno::IO, Errno::INVAL, Errno::MSGSIZE] {
        let refuse = |sent: Sent| (sent.0 == path(1) && is_train(sent)).then_some(errno);
        let (link, mut sending) = (Double::new(&refuse), Sending::default());
        let mut offer = |to: Endpoint, now| offer(&link, &batch(to, 3), &mut sending, now);
        assert_eq!(offer(path(1), START), []);
        assert_eq!(link.taken(), [10, 10, 10], "{errno}");
        assert_eq!(offer(path(2), START), []);
        assert_eq!(link.taken(), [30], "{errno}");
        // It is not asked again, until it may have changed.
        assert_eq!(offer(path(1), START), []);
        assert_eq!(link.calls.borrow().len(), 3, "{errno}");
        offer(path(1), START + Duration::from_secs(60));
        assert_eq!(link.calls.borrow().len(), 3 + 4, "{errno}");
    }
}

#[test]
fn who_refuses_single_datagrams_too_is_not_taken_to_refuse_trains() {
    let gone = std::cell::Cell::new(true);
    let refuse = |_| gone.get().then_some(Errno::INVAL);
    let (link, mut sending) = (Double::new(&refuse), Sending::default());
    let outcome = offer(&link, &batch(path(1), 3), &mut sending, START);
    assert_eq!(outcome, [Event::SendError; 3]);
    gone.set(false);
    assert_eq!(offer(&link, &batch(path(1), 3), &mut sending, START), []);
    assert_eq!(link.taken(), [30]);
}

#[test]
fn an_error_that_is_not_about_trains_is_not_answered_with_single_datagrams() {
    let refuse = |_| Some(Errno::NETUNREACH);
    let (link, mut sending) = (Double::new(&refuse), Sending::default());
    let outcome = offer(&link, &batch(path(1), 3), &mut sending, START);
    assert_eq!(outcome, [Event::SendUnreachable; 3]);
    assert_eq!(link.calls.borrow().len(), 1);
}

#[test]
fn each_cause_is_told() {
    for (errno, cause) in [
        (Errno::MSGSIZE, Event::SendTooLong),
        (Errno::NETUNREACH, Event::SendUnreachable),
        (Errno::HOSTUNREACH, Event::SendUnreachable),
        (Errno::NETDOWN, Event::SendUnreachable),
        (Errno::ADDRNOTAVAIL, Event::SendUnreachable),
        (Errno::PERM, Event::SendForbidden),
        (Errno::ACCESS, Event::SendForbidden),
        (Errno::NOBUFS, Event::SendNoRoom),
        (Errno::NOMEM, Event::SendNoRoom),
        (Errno::CONNREFUSED, Event::SendError),
    ] {
        let refuse = |_| Some(errno);
        let (link, mut sending) = (Double::new(&refuse), Sending::default());
        for count in [1, 3] {
            let outcome = offer(&link, &batch(path(1), count), &mut sending, START);
            assert_eq!(outcome, vec![cause; count], "{errno}");
        }
    }
}

#[test]
fn what_was_not_sent_is_told_with_where_it_was_to_go() {
    let refuse = |(to, ..): Sent| (to == path(2)).then_some(Errno::PERM);
    let (link, mut sending) = (Double::new(&refuse), Sending::default());
    let mut three = Batch::new(3, 64);
    for last in [1, 2, 3] {
        three.push_datagram(path(last), 10, |bytes| bytes.fill(1));
    }
    send(std::slice::from_ref(&link), &three, &mut sending, START);
    let told: Vec<Endpoint> = sending.unsent.iter().map(|(datagram, _)| datagram.path).collect();
    assert_eq!(told, [path(2)]);
}

#[test]
fn a_source_that_is_gone_is_not_taken_for_a_refusal_of_trains() {
    let refuse = |(path, ..): Sent| path.source.map(|_| Errno::INVAL);
    let (link, mut sending) = (Double::new(&refuse), Sending::default());
    let from = Endpoint {
        source: Some([192, 0, 2, 77].into()),
        ..path(1)
    };
    assert_eq!(offer(&link, &batch(from, 3), &mut sending, START), []);
    assert_eq!(link.taken(), [30]);
}

#[test]
fn a_system_that_takes_nothing_more_is_not_asked_for_the_rest_of_a_batch() {
    let refuse = |_| Some(Errno::AGAIN);
    let (link, mut sending) = (Double::new(&refuse), Sending::default());
    let mut more = Batch::new(5, 64);
    for last in [1, 1, 2, 3, 4] {
        more.push_datagram(path(last), 10, |bytes| bytes.fill(1));
    }
    let outcome = offer(&link, &more, &mut sending, START);
    assert_eq!(outcome, [Event::SendNoRoom; 5]);
    assert_eq!(link.calls.borrow().len(), 1);
}

#[test]
fn what_has_no_socket_of_its_family_is_refused() {
    let refuse = |_| None;
    let (link, mut sending) = (Double::new(&refuse), Sending::default());
    let there = Endpoint::new("[2001:db8::1]:9".parse().unwrap());
    let outcome = offer(&link, &batch(there, 2), &mut sending, START);
    assert_eq!(outcome, [Event::SendUnreachable; 2]);
}
