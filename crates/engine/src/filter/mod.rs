//! The packet filter: what each peer may start, and who may reach it.
//!
//! # Theory
//!
//! An interface has a filter or none. With one, everything is denied but:
//!
//! - what a peer *starts* towards something that one of its [`Rule`]s opens;
//! - what belongs to a *flow* that was allowed, in both directions, and ICMP errors about it;
//! - what the host sends from one of its *own* addresses inside the tunnel ([`Guard`]), and the answers;
//! - what another peer was allowed to start towards this one.
//!
//! The addresses of peers are *protected*: a rule opens one only if its network lies inside a protected prefix, so that
//! a rule for the whole world does not open the neighbours. The host's own addresses are open to any rule that contains them.
//!
//! **Where it stands.** A peer's packets are judged as they leave the tunnel, after the allowed source check, and packets for
//! it as they enter, before a session is asked for. Both happen in the peer's home shard, which has its flows; nothing is
//! shared but the rules, which stand in the directory. What one peer sends to another passes twice: where it comes from, by the
//! sender's rules, and where it goes to. There the sender's rules are asked again unless a flow is known, so that no
//! shard must tell another what it allowed, and nobody gets through by an address that is not his.
//!
//! **Flows** are kept a peer, bounded, and end by their timeouts: each has an instant from which on
//! it counts as gone, and a sweep at the peer's deadline takes those away. If rules change, flows that are allowed no longer
//! are gone at once.
//!
//! A connection that is under way while its flow is unknown, as after a restart, is taken up by whoever may start it: a
//! filter that did otherwise would cut what it allows.
//!
//! **Fragments** that are not the first have no ports. They follow their first one, which is remembered for a while; one that
//! comes before it is dropped. A first fragment must hold the whole header of its protocol, and none may overlap it
//! (RFC 1858, RFC 3128).

mod flows;
mod fragments;
mod headers;
mod ledger;
mod rules;

pub(crate) use ledger::{Direction, Ledger, Limit, Start};
pub use rules::{Guard, Policy, Protocol, Rule, RuleError};
