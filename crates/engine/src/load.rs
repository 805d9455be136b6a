//! When handshakes must wait, and who may still have one.
//!
//! # Theory
//!
//! A handshake message costs Diffie–Hellman operations, a data message does not, so a flood of the former must not
//! take the time of the latter (the paper's section 5.3). Three fences stand one behind the other. mac1 is always
//! checked: who does not know our public key gets nothing. Once the queue passes a threshold, and for a second
//! after, the shard is *under load*: then mac2 is required, which proves that the source address can receive. And
//! what proved itself is bounded by a token bucket per source: 20 a second, a burst of 5, for each IPv4 address and
//! each IPv6 /64, since that is what one customer gets.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use wirewright_protocol::Instant;

use crate::limits::Limits;
use crate::sieve::Sieve;
use crate::table::Table;

/// How long the shard stays under load after the queue was last past the threshold.
const STICKY: Duration = Duration::from_secs(1);
/// One token.
const TOKEN: Duration = Duration::from_millis(1000 / 20);
/// A full bucket.
const BURST: Duration = Duration::from_millis(5 * 1000 / 20);

/// Sources whose empty buckets are remembered.
const EMPTY: usize = 16;

/// Whether the shard is under load.
#[derive(Default)]
pub(crate) struct Load {
    until: Option<Instant>,
}

impl Load {
    /// Notes the length of the queue and says whether the shard is under load.
    pub(crate) fn observe(&mut self, now: Instant, queued: usize, limits: &Limits) -> bool {
        if queued >= limits.under_load {
            self.until = Some(now + STICKY);
        }
        self.until.is_some_and(|until| now < until)
    }
}

/// A token bucket for each source.
pub(crate) struct RateLimiter {
    buckets: Table<u128, Bucket>,
    /// Buckets found empty, and until when they are, each at a place that its key chooses: a flood from one source is
    /// refused here.
    empty: [Option<(u128, Instant)>; EMPTY],
    /// When full buckets were last cleared away.
    swept: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Bucket {
    /// Tokens, as the time that it took them to gather.
    tokens: Duration,
    since: Instant,
}

impl RateLimiter {
    pub(crate) fn new(seed: u128) -> Self {
        Self {
            buckets: Table::new(seed),
            empty: [None; EMPTY],
            swept: None,
        }
    }

    /// Takes a token of `source`. False: there is none, or too many sources are known already.
    pub(crate) fn allow(&mut self, now: Instant, source: IpAddr, limits: &Limits) -> bool {
        let key = source_key(source);
        let empty = self.empty.get_mut(place(key));
        if let Some(Some((source, until))) = empty
            && *source == key
            && now < *until
        {
            return false;
        }
        if let Some(bucket) = self.buckets.get_mut(&key) {
            let tokens = (bucket.tokens + now.saturating_since(bucket.since)).min(BURST);
            let enough = tokens >= TOKEN;
            *bucket = Bucket {
                tokens: if enough { tokens - TOKEN } else { tokens },
                since: now,
            };
            if !enough && let Some(place) = empty {
                *place = Some((key, now + (TOKEN - tokens)));
            }
            return enough;
        }
        if self.buckets.len() >= limits.rate_limited_sources {
            self.sweep(now);
            if self.buckets.len() >= limits.rate_limited_sources {
                return false;
            }
        }
        self.buckets.insert(
            key,
            Bucket {
                tokens: BURST - TOKEN,
                since: now,
            },
        );
        true
    }

    /// Forgets sources whose bucket is full again: a new bucket would be the same. At most once in the time that
    /// an empty bucket takes to fill, so that the cost a message stays bounded.
    fn sweep(&mut self, now: Instant) {
        if self
            .swept
            .is_some_and(|swept| now.saturating_since(swept) < BURST)
        {
            return;
        }
        self.swept = Some(now);
        let full: alloc::vec::Vec<u128> = self
            .buckets
            .iter()
            .filter(|(_, bucket)| bucket.tokens + now.saturating_since(bucket.since) >= BURST)
            .map(|(key, _)| *key)
            .collect();
        for key in full {
            self.buckets.remove(&key);
        }
    }
}

/// Addresses from which peers' genuine initiations came, the latest ones.
///
/// Two tables instead of an order of use: when the younger is full it becomes the older, and what the older held is
/// forgotten. So a source that comes again before as many others have come is still known.
pub(crate) struct KnownSources {
    seed: u128,
    younger: Generation,
    older: Generation,
    /// The last one that was asked for and known: a flood may come from a peer's address, too.
    last: Option<SocketAddr>,
}

struct Generation {
    sieve: Sieve,
    sources: Table<SocketAddr, ()>,
}

impl Generation {
    fn new(seed: u128) -> Self {
        Self {
            sieve: Sieve::new(seed),
            sources: Table::new(seed),
        }
    }

    fn contains(&self, source: &SocketAddr) -> bool {
        self.sieve.may_contain(source) && self.sources.contains(source)
    }
}

impl KnownSources {
    pub(crate) fn new(seed: u128) -> Self {
        Self {
            seed,
            younger: Generation::new(seed),
            older: Generation::new(seed),
            last: None,
        }
    }

    pub(crate) fn note(&mut self, source: SocketAddr, limits: &Limits) {
        if self.younger.contains(&source) {
            return;
        }
        if self.younger.sources.len() >= limits.known_sources / 2 {
            self.older = core::mem::replace(&mut self.younger, Generation::new(self.seed));
            self.last = None;
        }
        self.younger.sieve.note(&source);
        self.younger.sources.insert(source, ());
    }

    pub(crate) fn contains(&mut self, source: &SocketAddr) -> bool {
        if self.last.as_ref() == Some(source) {
            return true;
        }
        let known = self.younger.contains(source) || self.older.contains(source);
        if known {
            self.last = Some(*source);
        }
        known
    }
}

/// The place of a source among those whose buckets are empty. Who chooses sources that share one gains nothing.
fn place(key: u128) -> usize {
    let mixed = ((key >> 64) as u64 ^ key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> (u64::BITS - EMPTY.ilog2())) as usize
}

/// An IPv4 address or an IPv6 /64, in ranges that do not meet.
fn source_key(source: IpAddr) -> u128 {
    match source.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_bits()) | 1 << 32,
        IpAddr::V6(address) => address.to_bits() >> 64 << 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Instant {
        Instant::from_nanos(milliseconds * 1_000_000)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_source_has_a_burst_of_five_and_then_twenty_a_second() {
        let (mut limiter, limits) = (RateLimiter::new(1), Limits::default());
        let source = address("192.0.2.1");
        assert_eq!(
            (0..10).filter(|_| limiter.allow(at(0), source, &limits)).count(),
            5
        );
        assert_eq!(
            (0..1000)
                .filter(|step| limiter.allow(at(*step), source, &limits))
                .count(),
            19
        );
        assert_eq!(
            (0..10)
                .filter(|_| limiter.allow(at(5000), source, &limits))
                .count(),
            5
        );
    }

    #[test]
    fn ipv6_sources_of_one_subnet_share_a_bucket() {
        let (mut limiter, limits) = (RateLimiter::new(1), Limits::default());
        for host in 1..=5 {
            assert!(limiter.allow(at(0), address(&std::format!("2001:db8::{host}")), &limits));
        }
        assert!(!limiter.allow(at(0), address("2001:db8::6"), &limits));
        assert!(limiter.allow(at(0), address("2001:db8:0:1::6"), &limits));
    }

    #[test]
    fn more_sources_than_the_limit_are_refused_until_old_ones_can_be_forgotten() {
        let limits = Limits {
            rate_limited_sources: 4,
            ..Limits::default()
        };
        let mut limiter = RateLimiter::new(1);
        for host in 0..4_u8 {
            assert!(limiter.allow(at(0), [10, 0, 0, host].into(), &limits));
        }
        assert!(!limiter.allow(at(1), address("10.0.0.9"), &limits));
        assert!(limiter.allow(at(1000), address("10.0.0.9"), &limits));
    }

    #[test]
    fn as_many_sources_are_known_as_half_the_limit_and_never_more_than_the_limit() {
        let limits = Limits {
            known_sources: 8,
            ..Limits::default()
        };
        let source = |port: u16| SocketAddr::new(address("192.0.2.1"), port);
        let mut known = KnownSources::new(1);
        for port in 0..100 {
            known.note(source(port), &limits);
            assert!((port.saturating_sub(3)..=port).all(|recent| known.contains(&source(recent))));
            assert!((0..=port).filter(|port| known.contains(&source(*port))).count() <= 8);
        }
    }

    #[test]
    fn load_lasts_a_second_longer_than_the_queue() {
        let (mut load, limits) = (Load::default(), Limits::default());
        assert!(!load.observe(at(0), limits.under_load - 1, &limits));
        assert!(load.observe(at(1), limits.under_load, &limits));
        assert!(load.observe(at(1000), 0, &limits));
        assert!(!load.observe(at(1001), 0, &limits));
    }
}
