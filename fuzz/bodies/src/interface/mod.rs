//! The receive path of an interface that has real peers and real sessions.
//!
//! The bytes are a script: peers write, time passes, the interface is configured, and batches of what was written
//! arrive: whole, changed, cut, from elsewhere, again, late, in any shard, or made up. The interface under test is
//! the *device*; its peers are engines too, so that what they write is genuine and gets behind the cipher.

mod ledger;
mod mail;
mod promises;
mod world;

use crate::script::Script;
use world::World;

/// Scripts end after so many steps, whatever is left of them.
const STEPS: usize = 200;

/// Plays a script.
///
/// # Panics
///
/// If a datagram is not accounted for, if something is delivered that no peer sent, or that was delivered before, if
/// an endpoint moves without an authentic message from there, if a bound is exceeded, or if a peer of the device does
/// not get through to it in the end.
pub fn interface(bytes: &[u8]) {
    let mut script = Script(bytes);
    let mut world = World::new(script.u8());
    for _ in 0..STEPS {
        if script.0.is_empty() {
            break;
        }
        let step = script.u8();
        let peer = usize::from(step >> 4) % World::PEERS;
        match step & 15 {
            0 | 1 => world.write(peer, script.u8()),
            2 => world.initiate(peer),
            3 => world.device_sends(peer, script.u8()),
            4 => world.device_initiates(peer),
            5 => world.carry_to_peers(),
            6 => world.handshakes(step & 16 != 0),
            7 => world.pass(script.u8()),
            8 => world.remove(peer),
            9 => world.add(peer, script.u8()),
            10 => world.change_private_key(script.u8()),
            _ => world.arrive(&mut script, step >> 4),
        }
        world.check_bounds();
    }
    world.everybody_gets_through();
}
