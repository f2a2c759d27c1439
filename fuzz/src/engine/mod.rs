//! Engines under fuzz: their inputs as values, what stands between them and their host, a small
//! world of blocks and peers, and a model of what local users must see.

mod call;
mod model;
mod op;
mod requests;
mod setup;
mod universe;
mod world;

pub use call::{Between, Call, Reply, Untouched, apply};
pub use model::Model;
pub use op::{Mask, Op};
pub use setup::Setup;
pub use universe::{BLOCKS, Peer, block, blocks, cid};
pub use world::World;
