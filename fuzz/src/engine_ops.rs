//! `engine_ops`: one engine under any operations, held to its contract after each; then honest
//! peers come, and every want must end.
//!
//! Input: the setup (4 bytes), then operations of 4 bytes each ([`Op::decode`]).

use bitswap_testing::{Harness, Interceptor, Op, PassThrough};

use crate::Input;
use crate::engine::{Peer, Setup, Users, all_blocks};

/// Operations of one input at most.
const OPS_MAX: usize = 400;

/// The operations of an input, as [`run`] does them, for people to read.
#[must_use]
pub fn describe(data: &[u8]) -> String {
    let (setup, ops) = read(data);
    let mut text = format!("{setup:?}\n");
    for op in ops {
        text += &format!("{op:?}\n");
    }
    text
}

/// Runs the target on our engine.
pub fn run(data: &[u8]) {
    check(data, &mut PassThrough);
}

/// Runs the target with something between the engine and its host. A hash of all outputs.
///
/// # Panics
///
/// When the engine breaks its contract, or a want does not end although honest peers have all
/// blocks.
pub fn check(data: &[u8], between: &mut dyn Interceptor<Peer>) -> u64 {
    let (Setup { config, seed, start }, ops) = read(data);
    let blocks = all_blocks().to_vec();
    let mut harness = Harness::with(config, seed, start, blocks, Users::behind(between));
    ops.iter().for_each(|op| harness.apply(op));
    harness.heal_among_honest_peers()
}

fn read(data: &[u8]) -> (Setup, Vec<Op>) {
    let mut input = Input::new(data);
    let setup = Setup::read(&mut input);
    (setup, Op::decode(input.take(OPS_MAX * Op::LEN)))
}
