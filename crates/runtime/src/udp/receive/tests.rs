use std::cell::Cell;
use std::time::Duration;

use rustix::io::Errno;

use super::super::double::Double;
use super::*;

const START: Instant = Instant::from_nanos(1);

fn nothing_refused(_: super::super::double::Sent) -> Option<Errno> {
    None
}

fn link(arrivals: impl IntoIterator<Item = Result<usize, Errno>>) -> Double<'static> {
    let link = Double::new(&nothing_refused);
    link.arrivals.borrow_mut().extend(arrivals);
    link
}

fn batches() -> [Batch; 2] {
    [Batch::new(1, 64), Batch::new(1, 64)]
}

#[test]
fn errors_that_pass_are_counted_and_datagrams_behind_them_arrive() {
    for errno in [
        Errno::CONNREFUSED,
        Errno::NETDOWN,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::HOSTUNREACH,
        Errno::PERM,
    ] {
        let (link, mut receiving) = (link([Err(errno), Ok(1)]), Receiving::default());
        let mut round = || {
            receive(
                std::slice::from_ref(&link),
                &mut batches(),
                &mut receiving,
                || START,
            )
        };
        let error = Received {
            batches: 0,
            errors: 1,
        };
        let datagram = Received {
            batches: 1,
            errors: 0,
        };
        assert_eq!(round().unwrap(), error, "{errno}");
        assert_eq!(round().unwrap(), datagram, "{errno}");
        assert_eq!(round().unwrap(), Received::default(), "{errno}");
    }
}

#[test]
fn an_interrupted_call_is_no_error() {
    let (link, mut receiving) = (link([Err(Errno::INTR)]), Receiving::default());
    let outcome = receive(&[link], &mut batches(), &mut receiving, || START).unwrap();
    assert_eq!(outcome, Received::default());
}

#[test]
fn what_cannot_pass_is_told_at_once() {
    for errno in [Errno::BADF, Errno::NOTSOCK, Errno::FAULT] {
        let (link, mut receiving) = (link([Err(errno)]), Receiving::default());
        let error = receive(&[link], &mut batches(), &mut receiving, || START).unwrap_err();
        assert_eq!(Errno::from_io_error(&error), Some(errno));
    }
}

#[test]
fn a_socket_that_goes_on_failing_is_tried_less_and_less() {
    let endless = std::iter::repeat_n(Err(Errno::NETDOWN), 10_000);
    let (link, mut receiving) = (link(endless), Receiving::default());
    let links = [link];
    let mut now = START;
    // A thread that sleeps only as long as it is told, for a minute.
    while now < START + Duration::from_secs(60) {
        let outcome = receive(&links, &mut batches(), &mut receiving, || now).unwrap();
        assert_eq!(outcome.errors, 1);
        match receiving.deadline() {
            Some(deadline) => {
                assert!(!receiving.is_awake(0), "it must not be waited for");
                assert!(deadline > now && deadline <= now + Rest::LONGEST);
                now = deadline;
            }
            None => now = now + Duration::from_nanos(1),
        }
    }
    let tries = *links[0].receptions.borrow();
    assert!((60..80).contains(&tries), "{tries} tries");
}

#[test]
fn a_socket_at_rest_is_not_read_and_wakes_up_by_itself() {
    let failures = std::iter::repeat_n(Err(Errno::NETDOWN), Rest::TRIES as usize + 1);
    let (link, mut receiving) = (link(failures.chain([Ok(1)])), Receiving::default());
    let links = [link];
    let now = Cell::new(START);
    let round = |receiving: &mut Receiving| {
        receive(&links, &mut batches(), receiving, || now.get()).unwrap();
        *links[0].receptions.borrow()
    };
    for tries in 1..=Rest::TRIES as usize + 1 {
        assert!(receiving.deadline().is_none());
        assert_eq!(round(&mut receiving), tries);
    }
    let deadline = receiving.deadline().unwrap();
    assert_eq!(round(&mut receiving), Rest::TRIES as usize + 1);
    now.set(deadline);
    assert_eq!(round(&mut receiving), Rest::TRIES as usize + 2);
    assert!(receiving.is_awake(0), "a datagram came");
}

#[test]
fn a_socket_at_rest_does_not_keep_the_other_from_receiving() {
    let failing = link(std::iter::repeat_n(Err(Errno::NETDOWN), 100));
    let links = [failing, link(std::iter::repeat_n(Ok(1), 20))];
    let mut receiving = Receiving::default();
    let mut filled = 0;
    for _ in 0..20 {
        filled += receive(&links, &mut batches(), &mut receiving, || START)
            .unwrap()
            .batches;
    }
    assert_eq!(filled, 20);
    assert!(receiving.is_awake(1));
    assert_eq!(*links[0].receptions.borrow(), Rest::TRIES as usize + 1);
}

#[test]
fn the_clock_is_not_read_while_nothing_fails() {
    let (link, mut receiving) = (link([Ok(1), Ok(2)]), Receiving::default());
    let no_clock = || -> Instant { panic!("the clock was read") };
    for _ in 0..2 {
        receive(
            std::slice::from_ref(&link),
            &mut batches(),
            &mut receiving,
            no_clock,
        )
        .unwrap();
    }
}
