//! The rules of the workspace that a compiler does not check. CONTRIBUTING.md has them in prose.

mod behaviours;
mod dependencies;
mod errors;
mod fields;
mod ignored;
mod lengths;
mod manifests;
mod metrics;
mod modules;
mod process;
mod programs;
mod properties;
mod tree;
mod words;
