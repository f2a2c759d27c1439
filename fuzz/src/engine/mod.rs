//! Engines under fuzz: how they are set up, the blocks that they know of, and a model of what local users
//! must see. The operations and the host are those of `bitswap-testing`.

mod blocks;
mod model;
mod setup;
mod users;

pub use blocks::{Mask, Peer, all_blocks, block, cid};
pub use model::Model;
pub use setup::Setup;
pub use users::Users;
