//! The rules of the workspace that a compiler does not check. CONTRIBUTING.md has them in prose.

mod behaviours;
mod book;
mod dependencies;
mod errors;
mod fields;
mod ignored;
mod lengths;
mod manifests;
mod metrics;
mod modules;
mod packages;
mod process;
mod programs;
mod properties;
mod tree;
mod twins;
mod words;
