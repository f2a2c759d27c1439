//! Bitswap for a libp2p swarm.

mod behaviour;
mod blockstore;
mod config;
mod event;
mod executor;
mod handler;
mod lanes;
mod mailbox;
mod progress;
mod protocol;
#[cfg(test)]
mod tests;
mod traffic;

pub use behaviour::{Behaviour, Keep, PeerInfo, Stats};
pub use blockstore::{Blockstore, MemoryStore, StoreError};
pub use config::Config;
pub use event::{Event, PutId};
pub use executor::{Executor, Job};
pub use traffic::Traffic;
