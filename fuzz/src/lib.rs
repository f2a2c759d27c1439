//! Fuzz targets.
//!
//! A target is a function from bytes to nothing that panics when a rule is broken. Here they are
//! plain functions, so that their corpora run on stable Rust with `cargo test -p bitswap-fuzz`, and
//! one input with `cargo run -p bitswap-fuzz -- TARGET FILE`. The package in `targets/` hands each
//! one to libFuzzer; `./fuzz/run` starts it.
//!
//! A target of a decoder takes the decoder as an argument, a target of the engine takes an
//! [`Interceptor`](bitswap_testing::Interceptor) that stands between the engine and its host. So a test can plant a fault and see the
//! target find it: `tests/planted_faults.rs` has one for each target.

pub mod dagpb_unixfs;
pub mod engine;
pub mod engine_ops;
pub mod frame;
pub mod hostile_frames;
mod input;
pub mod journal;
pub mod manifest;
pub mod message;
#[path = "../../bitswap-core/tests/differential/oracle.rs"]
mod oracle;
pub mod prefix_cid;
pub mod roundtrip;
pub mod seeds;
pub mod two_engines;

pub use input::Input;

/// A fuzz target: panics when the input shows a rule broken.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: [(&str, Target); 10] = [
    ("frame", frame::run),
    ("message", message::run),
    ("roundtrip", roundtrip::run),
    ("prefix_cid", prefix_cid::run),
    ("engine_ops", engine_ops::run),
    ("two_engines", two_engines::run),
    ("hostile_frames", hostile_frames::run),
    ("dagpb_unixfs", dagpb_unixfs::run),
    ("manifest", manifest::run),
    ("journal", journal::run),
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(other, _)| *other == name).map(|(_, target)| *target)
}
