//! Packets that travel together: cutting them apart, and joining them, each beside a way that is as naive as can be.

mod join;
mod naive;
mod split;

pub use join::join;
pub use split::split;
