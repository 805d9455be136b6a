//! Why nothing more can be written.

#![allow(clippy::unwrap_used)]

mod common;

use common::{A4, B4, Pair};
use wirewright_netstack::{CloseReason, WriteError};

#[test]
fn a_connection_that_was_aborted_says_so_before_anything_was_polled() {
    let mut pair = Pair::new();
    let (client, _, _) = pair.connected(A4, B4);
    pair.a.stack.abort(client);
    let refused = pair.a.stack.write(client, b"more").unwrap_err();
    assert_eq!(refused, WriteError::Closed(CloseReason::Aborted));
    pair.poll();
    let refused = pair.a.stack.write(client, b"more").unwrap_err();
    assert_eq!(refused, WriteError::Closed(CloseReason::Aborted));
}

#[test]
fn a_connection_whose_sending_side_was_shut_down_says_that() {
    let mut pair = Pair::new();
    let (client, _, _) = pair.connected(A4, B4);
    pair.a.stack.shutdown(client);
    assert_eq!(pair.a.stack.write(client, b"more"), Err(WriteError::ShutDown));
}
