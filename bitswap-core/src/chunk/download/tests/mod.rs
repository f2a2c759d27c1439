//! Downloads against a disk in memory: exact operations, injected failures, every crash
//! point.

mod commit;
mod crash;
mod download;
pub(in crate::chunk) mod harness;
mod hostile;
mod proof;
mod resume;
mod transcripts;
