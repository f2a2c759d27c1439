//! The reference implementation's own benchmarks, run on our engine in virtual time.
//!
//! Its network model delivers whole messages after a one-way latency, plus their size divided by the
//! bandwidth where there is one; opening a stream costs nothing. Every message is counted, also the
//! cancels that leave after the last block has come; the time is that of the last block.
//! Beside it is the least time that it could take on the links of the run: see `floor.rs` for what counts.

pub mod cases;
mod floor;
mod run;
mod summary;

pub use cases::{CASES, Case};
pub use run::{Outcome, run, run_baseline, run_verbose, run_watched};
pub use summary::{Summary, beside_floors, table};
