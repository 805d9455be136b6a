//! What has no connection: datagrams of UDP and echo requests between the same two ends.

use core::net::SocketAddr;
use core::time::Duration;

use wirewright_protocol::{Instant, PublicKey};
use wirewright_runtime::outside::Kind;

use super::quote::Quote;
use super::settings::Forwarding;
use crate::demux::{Tuple, TupleKey};

/// What a flow is found by. A ping has its identifier for a port, and a remote port of none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FlowKey {
    is_echo: bool,
    ends: TupleKey,
}

pub(crate) struct Flow {
    pub(crate) is_echo: bool,
    /// The address outside, and the peer's.
    pub(crate) ends: Tuple,
    pub(crate) peer: PublicKey,
    /// Of the peer's last packet.
    pub(crate) quote: Quote,
    answered: bool,
    last: Instant,
    /// When the table of deadlines looks at it.
    pub(crate) deadline: Option<Instant>,
}

impl Flow {
    pub(crate) fn new(is_echo: bool, ends: Tuple, peer: PublicKey, quote: Quote, now: Instant) -> Self {
        Self {
            is_echo,
            ends,
            peer,
            quote,
            answered: false,
            last: now,
            deadline: None,
        }
    }

    pub(crate) fn key(&self) -> FlowKey {
        FlowKey::new(self.is_echo, &self.ends)
    }

    pub(crate) fn kind(&self) -> Kind {
        if self.is_echo { Kind::Echo } else { Kind::Datagram }
    }

    /// The peer's address and port, or identifier.
    pub(crate) fn client(&self) -> SocketAddr {
        self.ends.remote
    }

    /// The peer sent something.
    pub(crate) fn asked(&mut self, quote: Quote, now: Instant) {
        self.quote = quote;
        self.last = now;
    }

    /// The outside sent something.
    pub(crate) fn answered(&mut self, now: Instant) {
        self.answered = true;
        self.last = now;
    }

    /// When it counts as gone unless something comes.
    pub(crate) fn until(&self, settings: &Forwarding) -> Instant {
        self.last + self.patience(settings)
    }

    fn patience(&self, settings: &Forwarding) -> Duration {
        match (self.is_echo, self.answered) {
            (true, _) => settings.echo_idle,
            (false, true) => settings.datagram_idle,
            (false, false) => settings.unanswered_idle,
        }
    }
}

impl FlowKey {
    pub(crate) fn new(is_echo: bool, ends: &Tuple) -> Self {
        Self {
            is_echo,
            ends: ends.key(),
        }
    }
}
