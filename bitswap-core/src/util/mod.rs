//! Small containers that know nothing of Bitswap.

#[allow(dead_code)] // Until both halves of the engine use it.
pub(crate) mod list;
#[allow(dead_code)] // Until both halves of the engine use it.
pub(crate) mod rows;
