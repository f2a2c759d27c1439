//! Bitswap as one pure value.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod block;
mod bucket;
pub mod chunk;
mod client;
mod config;
mod engine;
pub mod error;
mod hash;
mod index;
mod key;
mod lane;
pub mod limits;
pub mod message;
mod output;
mod peer;
mod per_peer;
mod prefix;
mod rng;
mod rows;
mod server;
mod stats;
#[cfg(feature = "testing")]
pub mod testing;
mod time;
mod varint;

pub use block::Block;
pub use client::{PeerSet, SessionOptions, WhenMissing};
pub use config::Config;
pub use engine::Engine;
pub use limits::Limits;
pub use message::{Entry, Message, Presence, Version, WantKind, Wantlist};
pub use output::{
    BlockInfo, Event, Hint, Lane, Load, LoadAnswer, LoadId, Loaded, Lookup, LookupId, Outgoing,
    Output, PeerDid, PeerReport, Rates, SendId, SessionId, Support, Want, WantFailure, What,
};
pub use prefix::{Prefix, cid_from_bytes};
pub use rng::Rng;
pub use stats::{Fetched, PeerStats, Served, SessionStats, Stats, TimerReason};
pub use time::Timestamp;
