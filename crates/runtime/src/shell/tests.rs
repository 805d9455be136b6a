//! What a shell does when its parts fail, or its time comes.

use std::sync::mpsc::{Receiver, Sender, channel};

use wirewright_engine::Limits;

use super::*;

/// How long a test waits for what must happen at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// An interface with a deadline, that tells what it is told.
struct Teller {
    deadline: Option<Instant>,
    rang: Sender<Instant>,
    stopped: Sender<String>,
}

impl Interface for Teller {
    fn deliver(&mut self, _: Moment, _: &Batch, _: Owner<'_>) {}

    fn collect(&mut self, at: Moment, _: &mut Batch) -> bool {
        if self.deadline.take_if(|deadline| *deadline <= at.now).is_some() {
            let _ = self.rang.send(at.now);
        }
        false
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn notice(&mut self, _: Notice) {}

    fn stopped(&mut self, reason: &str) {
        let _ = self.stopped.send(reason.to_owned());
    }

    fn has_events(&self) -> bool {
        false
    }
}

fn start() -> (Shell<Teller>, Receiver<Instant>, Receiver<String>) {
    let ((rang, rings), (stopped, stops)) = (channel(), channel());
    let teller = Teller {
        deadline: None,
        rang,
        stopped,
    };
    let engine = Engine::new([OsRandom::new()], &Limits::default(), 1420);
    let sockets = UdpSockets::bind(Some([127, 0, 0, 1].into()), 0).unwrap();
    (Shell::start(engine, teller, sockets, None).unwrap(), rings, stops)
}

#[test]
fn a_thread_that_sleeps_wakes_at_the_deadline() {
    let (shell, rings, _stops) = start();
    for wait in [20, 0, 5].map(Duration::from_millis) {
        let deadline = shell
            .with(|at, state| {
                let deadline = at.now + wait;
                state.interface.deadline = Some(deadline);
                deadline
            })
            .unwrap();
        assert!(rings.recv_timeout(PATIENCE).unwrap() >= deadline);
    }
}

#[test]
fn a_socket_that_is_none_any_more_ends_the_tunnel_and_the_reason_says_so() {
    let (shell, _rings, stops) = start();
    // What other code does that closes a descriptor which is not its own, and opens another file.
    shell.with(|_, state| state.sockets.part_from_parent()).unwrap();
    let reason = stops.recv_timeout(PATIENCE).unwrap();
    assert!(reason.contains(&format!("UDP port {}", shell.port())), "{reason}");
    assert!(
        reason.contains("not a socket") || reason.contains("on non-socket"),
        "{reason}"
    );
    shell.close();
}

#[test]
fn a_port_is_free_once_the_shell_is_closed_though_it_still_exists() {
    let (shell, ..) = start();
    assert!(UdpSockets::bind(Some([127, 0, 0, 1].into()), shell.port()).is_err());
    shell.close();
    UdpSockets::bind(Some([127, 0, 0, 1].into()), shell.port()).unwrap();
}
