//! Test doubles shared by the property tests, the simulator and the fuzzers.
//!
//! [`Checked`] wraps an engine and holds it to its contract after every step, from its own log of
//! inputs and outputs and never from the engine's state.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a checker ends a run with a panic"
)]

mod checked;
mod op;
mod rig;
mod shadow;
mod transcript;
mod wire_len;

pub use checked::Checked;
pub use op::{AnswerOp, LoadOp, Op, Opened, SessionOp, WantOp};
pub use rig::{PEERS, Rig};
pub use wire_len::wire_len;
