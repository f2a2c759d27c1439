//! Downloads against a disk in memory: exact operations, injected failures, every crash point.

mod crash;
mod download;
mod finalize;
mod harness;
mod map;
mod resume;
