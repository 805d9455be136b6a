//! What each fuzz target does with its bytes: one function a target, which panics if a promise is broken.
//!
//! The programs in `fuzz/fuzz_targets` hand libFuzzer's bytes to these functions; the test of this crate hands
//! them the committed corpora, so that what a fuzzer once found is tried at every `make test`.

#![forbid(unsafe_code)]

mod batch;
mod config;
mod filter;
mod interface;
mod message;
mod offload;
mod packets;
mod script;
mod uapi;

pub use batch::batch;
pub use config::config;
pub use filter::filter;
pub use interface::interface;
pub use message::message;
pub use offload::{join, split};
pub use packets::packets;
pub use uapi::uapi;

/// What a target does with the bytes it is given.
pub type Body = fn(&[u8]);

/// Every target, by the name of its program and of its folder in `fuzz/corpus`.
pub const TARGETS: &[(&str, Body)] = &[
    ("batch", batch),
    ("config", config),
    ("filter", filter),
    ("interface", interface),
    ("join", join),
    ("message", message),
    ("packets", packets),
    ("split", split),
    ("uapi", uapi),
];
