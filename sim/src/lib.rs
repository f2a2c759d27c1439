//! A deterministic network simulator for the Bitswap engine.
//!
//! A [`World`] runs any number of engines and scripted peers in virtual time, which jumps to the
//! next arrival or deadline and nowhere else. Whatever happens follows from a seed, so a failing run
//! is replayed by its number.

mod actor;
mod adversary;
mod attack;
pub mod chart;
mod counts;
pub mod draw;
mod fetch;
mod happening;
mod host;
mod link;
mod naive;
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
mod trace;
mod universe;
mod world;

pub use actor::{Actor, Scene};
pub use adversary::{Conduct, Mangling, PAUSES, Server};
pub use attack::{Attack, Attacked, Attacker, BYTES_PER_ATTACKER, Speed, Victim};
pub use counts::{Counts, Delivered};
pub use fetch::{FetchId, Plan, Round};
pub use host::HostConduct;
pub use link::Link;
pub use naive::Naive;
pub use network::{Connection, Manners, Opening};
pub use node::Node;
pub use report::Report;
pub use rng::Rng;
pub use scenario::{Ending, Players, Scenario, rest};
pub use store::StoreConduct;
pub use sweep::{FAULTS, Sweep, Swept, sweep};
pub use trace::seconds;
pub use universe::{Universe, altered};
pub use world::World;
