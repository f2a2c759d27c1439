//! Real Bitswap peers, written by others, as values that a Rust test starts, drives and stops.
//!
//! * [`Kubo`]: the current Kubo daemon, driven through its own command line.
//! * [`KuboOld`]: Kubo 0.22, an old release that many nodes still resemble.
//! * [`Helia`]: the JavaScript implementation, on Node.
//!
//! Each peer lives in a fresh temporary directory, talks to loopback only, finds nobody by itself, and
//! is killed when its value is dropped. Every command has a deadline, so a peer that hangs is a failed
//! test and not a stuck one. What a peer printed comes back in the error.
//!
//! With the feature `peers`, the module `us` starts our own node beside them.
//!
//! `interop/run` installs the peers into the build folder and runs the tests that need them; nothing
//! here downloads anything. The tests are behind the feature `peers`, so a plain `cargo test` of the
//! workspace needs none of them.

mod add;
pub mod content;
pub mod dag;
mod error;
mod helia;
mod installed;
mod kubo;
mod kubo_config;
mod kubo_old;
mod process;
mod requests;
#[cfg(feature = "peers")]
pub mod us;

pub use add::{AddOptions, Profile};
pub use error::PeerError;
pub use helia::{Helia, HeliaOptions, HeliaStat};
pub use kubo::{BitswapStat, Kubo};
pub use kubo_config::{KuboOptions, Listen};
pub use kubo_old::{Identity, KuboOld, KuboOldOptions};
