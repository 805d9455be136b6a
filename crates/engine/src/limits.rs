//! Every bound of an interface in one place.

use core::time::Duration;

/// Bounds that hold for each shard, unless said otherwise. Memory follows from them: see "Budgets" in
/// `ARCHITECTURE.md`.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Plaintext packets that wait for one peer's session (the kernel's `MAX_STAGED_PACKETS`).
    pub staged_packets_per_peer: usize,
    /// Bytes of plaintext that wait for sessions of all home peers together.
    pub staged_bytes: usize,
    /// Handshake messages that wait for their turn.
    pub handshake_queue: usize,
    /// From this many waiting handshake messages on, the shard is under load (an eighth of the queue, as in the
    /// kernel's `wg_receive_handshake_packet`).
    pub under_load: usize,
    /// Source addresses that the token buckets remember, of handshakes and of readings each.
    pub rate_limited_sources: usize,
    /// Addresses of genuine initiations that are remembered, so that a flood does not drown the next one.
    pub known_sources: usize,
    /// Under load, datagrams that must have come for each handshake message that is looked at; the rest is dropped
    /// unread. Here and below a data message counts once more for every 96 bytes in it, so a large one counts sixteen
    /// times.
    pub datagrams_per_check: u32,
    /// How many handshake messages may be looked at in a row before more datagrams must come.
    pub checks_at_once: u32,
    /// The same for messages from known sources whose own bucket is empty: somebody forges their address.
    pub datagrams_per_known_check: u32,
    /// Under load, datagrams that must have come for each cookie reply.
    pub datagrams_per_cookie: u32,
    /// The same for cookie replies to known sources whose own bucket is empty.
    pub datagrams_per_known_cookie: u32,
    /// How many cookie replies may be sent in a row before more datagrams must come.
    pub cookies_at_once: u32,
    /// Datagrams that must have come for each handshake message that is worked on, while more wait. A handshake
    /// costs as much as a hundred and fifty large data messages, so that this bounds handshakes to a small share of the
    /// time.
    pub datagrams_per_handshake: u32,
    /// Time that pays as much as a datagram, so that handshakes go on where hardly any data comes.
    pub time_per_datagram: Duration,
    /// Handshake messages worked on in one call while nothing else waits, and the most that datagrams can pay for in
    /// advance.
    pub handshakes_per_idle_poll: u32,
    /// Peers of the whole interface (the kernel's `MAX_PEERS_PER_DEVICE`).
    pub peers: usize,
    /// Allowed IPs of the whole interface.
    pub allowed_ips: usize,
    /// Flows of one peer that the packet filter remembers, half of them at most such that others began: as many as fit
    /// 4,096 places of a hash table.
    pub flows_per_peer: usize,
    /// Flows of all home peers together.
    pub flows: usize,
    /// Packets of one peer whose later fragments may follow the first.
    pub fragments_per_peer: usize,
    /// Rules of one peer.
    pub rules_per_peer: usize,
    /// Rules of all peers of the whole interface.
    pub rules: usize,
    /// Batches kept for reuse.
    pub pooled_batches: usize,
    /// Jobs that may be out at helpers at a time; further batches are dropped and counted.
    pub jobs_in_flight: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            staged_packets_per_peer: 128,
            staged_bytes: 16 << 20,
            handshake_queue: 4096,
            under_load: 4096 / 8,
            rate_limited_sources: 8192,
            known_sources: 1 << 16,
            datagrams_per_check: 512,
            checks_at_once: 16,
            datagrams_per_known_check: 256,
            datagrams_per_cookie: 2048,
            datagrams_per_known_cookie: 1024,
            cookies_at_once: 4,
            datagrams_per_handshake: 1 << 15,
            time_per_datagram: Duration::from_nanos(250),
            handshakes_per_idle_poll: 4,
            peers: 1 << 20,
            allowed_ips: 1 << 22,
            flows_per_peer: 4096 * 7 / 8,
            flows: 1 << 18,
            fragments_per_peer: 64,
            rules_per_peer: 1024,
            rules: 1 << 20,
            pooled_batches: 32,
            jobs_in_flight: 256,
        }
    }
}
