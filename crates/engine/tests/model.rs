//! Engines against a naive model of what an interface must do: peers, allowed IPs, sessions, replay, roaming and
//! staging, over a wire that loses, reorders, repeats and damages, while the configuration changes.
//!
//! `PROPTEST_CASES=5000 cargo test -p wirewright-engine --test model` tries more.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

#[path = "model/compare.rs"]
mod compare;
#[path = "model/interface.rs"]
mod interface;
#[path = "model/step.rs"]
mod step;
mod support;
#[path = "model/wire.rs"]
mod wire;
#[path = "model/world.rs"]
mod world;

use proptest::prelude::*;
use step::{Step, step};
use world::World;

/// As many as take a second or two; the environment may ask for more.
fn cases() -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|cases| cases.parse().ok()).unwrap_or(32)
}

fn play(shards: u8, connected: bool, steps: &[Step]) {
    let mut world = World::new(shards, connected);
    for step in steps {
        world.step(step);
    }
    world.settle();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn an_interface_with_one_shard_does_what_the_model_says(connected: bool, steps in proptest::collection::vec(step(), 1..150)) {
        play(1, connected, &steps);
    }

    #[test]
    fn an_interface_with_four_shards_does_what_the_model_says(connected: bool, steps in proptest::collection::vec(step(), 1..150)) {
        play(4, connected, &steps);
    }
}
