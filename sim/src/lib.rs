//! A deterministic network simulator for the Bitswap engine.
//!
//! A [`World`] runs any number of engines and scripted peers in virtual time, which jumps to the
//! next arrival or deadline and nowhere else. Whatever happens follows from a seed, so a failing run
//! is replayed by its number.
//!
//! # Features
//!
//! None.

mod actor;
mod adversary;
mod attack;
mod baseline;
mod block_set;
pub mod chart;
mod counts;
pub mod crowd;
pub mod draw;
mod event;
mod fetch;
pub mod floors;
mod host;
mod link;
mod network;
mod node;
mod queue;
pub mod reference;
mod report;
mod rng;
mod scenario;
mod slow_reader;
mod store;
mod sweep;
pub mod told;
mod trace;
mod world;

pub use actor::{Actor, Context};
pub use adversary::{Mangling, PAUSES, PeerBehavior, Server};
pub use attack::{Attack, Attacked, Attacker, BYTES_PER_ATTACKER, Speed, Victim};
pub use baseline::Baseline;
pub use block_set::{BlockSet, altered};
pub use counts::{Counts, Delivered};
pub use fetch::{FetchId, Plan, Round};
pub use host::HostBehavior;
pub use link::Link;
pub use network::{Connection, Manners, Opening};
pub use node::Node;
pub use report::Report;
pub use scenario::{Nodes, RunResult, Scenario, rest};
pub use store::StoreBehavior;
pub use sweep::{FAULTS, Sweep, Swept, sweep};
pub use trace::seconds;
pub use world::World;
