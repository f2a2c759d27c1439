//! Bitswap as one pure value.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod block;
pub mod chunk;
pub mod error;
pub mod message;
pub mod prefix;
pub mod rng;
pub mod time;

pub use block::Block;
pub use message::{Entry, Message, Presence, Version, WantKind, Wantlist};
pub use prefix::Prefix;
pub use time::Timestamp;
