//! The rules of the house that a compiler does not check. CONTRIBUTING.md has them in prose.

mod arrows;
mod behaviours;
mod errors;
mod fields;
mod ignored;
mod lengths;
mod manifests;
mod metrics;
mod process;
mod programs;
mod properties;
mod tree;
mod words;
