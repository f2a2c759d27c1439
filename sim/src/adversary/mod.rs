//! Scripted peers that serve blocks, more or less honestly, and that attack.
//!
//! A [`PeerBehavior`] is what a peer does, with its parameters; a [`Server`] is a peer that does it. How
//! wants are answered is in `answer`, what is asked of others unprompted in `ask`, bytes that no engine
//! would write in `frames`, and what is done to connections in `presence`.

mod answer;
mod ask;
mod behavior;
mod frames;
mod presence;
mod server;
mod wire;

pub use behavior::{Mangling, PAUSES, PeerBehavior};
pub use server::Server;
