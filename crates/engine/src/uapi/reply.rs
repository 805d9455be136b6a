//! The answer to a request.

use alloc::vec::Vec;
use core::fmt::{self, Write};

use wirewright_protocol::{PresharedKey, SecretKey};
use zeroize::Zeroizing;

use super::error::Errno;
use super::hex;
use crate::allowed_ips::Prefix;
use crate::counters::Counters;
use crate::filter::{Guard, Policy};
use crate::output::HandedOver;
use crate::peer::{PeerReport, PeerStatus};

/// What a client is told of the interface itself.
pub struct DeviceReport<'a> {
    /// Its private key.
    pub private_key: Option<&'a SecretKey>,
    /// Its UDP port; 0 for none.
    pub listen_port: u16,
    /// The mark of its datagrams; 0 for none.
    pub fwmark: u32,
}

/// An answer under way. It holds keys, so that its memory is wiped, outgrown memory too.
#[derive(Default)]
pub struct Reply(Zeroizing<Vec<u8>>);

impl Reply {
    /// An empty answer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What was written so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// What the interface is.
    pub fn device(&mut self, device: &DeviceReport<'_>) {
        if let Some(key) = device.private_key {
            self.key("private_key", key.as_bytes());
        }
        if device.listen_port != 0 {
            self.line("listen_port", device.listen_port);
        }
        if device.fwmark != 0 {
            self.line("fwmark", device.fwmark);
        }
    }

    /// What a peer is.
    pub fn peer(&mut self, report: &PeerReport, allowed_ips: impl Iterator<Item = Prefix>) {
        let status = &report.status;
        self.key("public_key", status.public_key.as_bytes());
        let none = PresharedKey::default();
        self.key(
            "preshared_key",
            report.preshared_key.as_ref().unwrap_or(&none).as_bytes(),
        );
        self.line("protocol_version", 1);
        if let Some(endpoint) = status.endpoint {
            self.line("endpoint", endpoint);
        }
        let handshake = status.last_handshake.unwrap_or_default();
        self.line("last_handshake_time_sec", handshake.seconds);
        self.line("last_handshake_time_nsec", handshake.nanos);
        self.line("tx_bytes", status.sent_bytes);
        self.line("rx_bytes", status.received_bytes);
        let keepalive = status.persistent_keepalive.unwrap_or_default();
        self.line("persistent_keepalive_interval", keepalive.as_secs());
        for prefix in allowed_ips {
            self.line("allowed_ip", prefix);
        }
    }

    /// What went wrong so far, how many packets came to another shard than their own, and how many bytes of packets wait for
    /// a session now.
    pub fn counters(&mut self, counters: &Counters, handed_over: HandedOver, staged_bytes: usize) {
        for (event, count) in counters.iter() {
            self.line(event.name(), count);
        }
        self.line("handed_over_datagrams", handed_over.datagrams);
        self.line("handed_over_packets", handed_over.packets);
        self.line("staged_bytes", staged_bytes);
    }

    /// Whether the interface is up and could not have its port; told with the counters, though it is none.
    pub fn silence(&mut self, is_silent: bool) {
        self.line("silent", u8::from(is_silent));
    }

    /// What the packet filter knows of the interface, if there is one.
    pub fn filter(&mut self, guard: Option<&Guard>) {
        self.line("filter", guard.is_some());
        for address in guard.map_or(&[][..], Guard::own) {
            self.line("filter_own", address);
        }
        for prefix in guard.map_or(&[][..], Guard::protected) {
            self.line("filter_protected", prefix);
        }
    }

    /// What a peer may start, and how many flows are remembered of it.
    pub fn filtered_peer(&mut self, status: &PeerStatus, policy: Option<&Policy>) {
        self.key("public_key", status.public_key.as_bytes());
        self.line("flows", status.flows);
        for rule in policy.map_or(&[][..], Policy::rules) {
            self.line("allow", rule);
        }
    }

    /// The end of an answer to a get (whose number is positive) or to a set (whose number is negative).
    pub fn end(&mut self, errno: Errno, to_set: bool) {
        let number = if to_set { -errno.0 } else { errno.0 };
        self.line("errno", number);
        self.push(b"\n");
    }

    fn line(&mut self, key: &str, value: impl fmt::Display) {
        // Writing to memory does not fail.
        let _ = writeln!(self, "{key}={value}");
    }

    fn key(&mut self, name: &str, key: &[u8; 32]) {
        self.push(name.as_bytes());
        self.push(b"=");
        let start = self.0.len();
        self.push(&[0; 64]);
        hex::write(key, self.0.get_mut(start..).unwrap_or(&mut []));
        self.push(b"\n");
    }

    fn push(&mut self, bytes: &[u8]) {
        if self.0.capacity() - self.0.len() < bytes.len() {
            let mut larger =
                Vec::with_capacity((2 * self.0.capacity()).max(self.0.len() + bytes.len()).max(4096));
            larger.extend_from_slice(&self.0);
            // What is outgrown is wiped here.
            self.0 = Zeroizing::new(larger);
        }
        self.0.extend_from_slice(bytes);
    }
}

impl Write for Reply {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// Only how long it is.
impl fmt::Debug for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Reply").field(&self.0.len()).finish()
    }
}
