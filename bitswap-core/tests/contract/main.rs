//! The engine's contract, clause by clause, as the crate's front page has it. (The eighth, memory,
//! is measured by `memory.rs` beside this file, in a process of its own.)
//!
//! Each test says which line it guards: broken there, it fails.

#[path = "../pair/mod.rs"]
mod pair;
#[path = "../random/mod.rs"]
mod random;

mod answers;
mod any_order;
mod clamped_time;
mod deterministic;
mod ends_once;
mod infallible;
mod keep_alive;
mod timer;
