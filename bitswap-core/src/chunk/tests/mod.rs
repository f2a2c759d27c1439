//! Imports, and downloads against a disk in memory: exact operations, injected failures, every crash
//! point.

mod crash;
mod download;
mod finalize;
mod harness;
mod hostile;
mod import;
mod map;
mod resume;
