//! Trees against a folder in memory: exact entries, injected failures, every crash point.

mod crash;
mod disk;
mod download;
mod harness;
mod hostile;
mod transcripts;
mod walk;
