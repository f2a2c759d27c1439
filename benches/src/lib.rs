//! What the benchmarks share: blocks, messages, two engines in memory, two nodes over loopback.
//!
//! Figures of one machine mean little on another, so every benchmark has its yardstick beside it
//! in the same run: the bare hash of the same bytes, or a bare stream that carries them.
//! `docs/benchmarks.md` has the commands and what was seen.

pub mod blocks;
pub mod engines;
#[cfg(feature = "nodes")]
pub mod nodes;
