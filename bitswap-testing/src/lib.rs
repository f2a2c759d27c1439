//! Test doubles shared by the property tests, the simulator and the fuzzers.
//!
//! [`Checked`] wraps an engine and holds it to its contract after every step, from its own log of
//! inputs and outputs and never from the engine's state.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod blocks;
mod call;
mod checked;
mod harness;
mod host;
mod model;
mod op;
mod store;
mod transcript;
mod wire_len;

pub use blocks::block;
pub use call::{Call, Interceptor, PassThrough, Reply};
pub use checked::Checked;
pub use harness::{Harness, PEERS, op_blocks};
pub use host::{AtOnce, Host};
pub use op::{LoadOp, LoadPart, MessageOp, Op, Opened, ResponseOp, SessionOp, WantOp, WantedAs};
pub use store::Store;
pub use wire_len::wire_len;
