//! Test doubles shared by the property tests, the simulator and the fuzzers.
//!
//! [`Checked`] wraps an engine and holds it to its contract after every step, from its own log of
//! inputs and outputs and never from the engine's state.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod checked;
mod harness;
mod model;
mod op;
mod transcript;
mod wire_len;

pub use checked::Checked;
pub use harness::{Harness, PEERS};
pub use op::{AnswerOp, LoadOp, Op, Opened, SessionOp, WantOp};
pub use wire_len::wire_len;
