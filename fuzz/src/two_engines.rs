//! `two_engines`: two engines over streams that deliver, stall, cut and die as the input says; once
//! they are left alone, every want that the other can serve ends, and each knows exactly what the
//! other wants.
//!
//! Input: two seeds (2 bytes), then operations of 3 bytes each.

use std::time::Duration;

use bitswap_core::Version;
use bitswap_core::error::OpenError;
use bitswap_testing::{Interceptor, PassThrough};

use crate::Input;
use crate::engine::{Mask, Peer};

mod link;
mod side;

use link::Link;

/// Operations of one input at most.
const OPS_MAX: usize = 400;
/// How long two engines that are left alone may need: their links take no time, but a want may first
/// have to wait for the longest deadline or the next search.
const HEAL_MAX: Duration = Duration::from_secs(120);

/// How long a stream that failed is left alone at most. What it has to send is still missing until then.
const STREAMS_REST_MAX: Duration = Duration::from_secs(31);

/// Rounds of answers in that time.
const HEAL_ROUNDS_MAX: u32 = 3000;

/// Runs the target on our engine.
pub fn run(data: &[u8]) {
    check(data, &mut PassThrough);
}

/// Runs the target with something between the first engine and its host.
///
/// # Panics
///
/// When an engine breaks its contract, a want does not end although the other has the block, or
/// what one has recorded as sent is not what the other knows.
pub fn check(data: &[u8], between: &mut dyn Interceptor<Peer>) {
    let mut input = Input::new(data);
    let mut link = Link::new(input.array(), between);
    link.connect();
    for _ in 0..OPS_MAX {
        if input.is_empty() {
            break;
        }
        step(&mut link, input.array());
        link.drain();
    }
    heal(&mut link);
    link.check_wantlists();
}

fn step(link: &mut Link<'_>, [code, a, b]: [u8; 3]) {
    let side = usize::from(code & 1);
    let kind = usize::from(code >> 1 & 1);
    let some = usize::from(a) << (b % 8);
    match code >> 2 {
        0..=1 => link.lose(side),
        2..=3 => link.connect(),
        4 => link.reset(side, kind),
        5..=10 => link.want(side, Mask(a & b)),
        11..=12 => link.cancel(side, Mask(a & b)),
        13..=15 => link.store(side, Mask(a & b)),
        16..=20 => {
            let result = match a % 8 {
                0 => Err(OpenError::Timeout),
                1 => Ok(Version::V1_1),
                2 if b == 0 => Ok(Version::V1_0),
                3 if b == 0 => Err(OpenError::Unsupported),
                _ => Ok(Version::V1_2),
            };
            link.open(side, kind, result);
        }
        21..=30 => link.write(side, kind, some),
        31..=40 => link.deliver(side, kind, some),
        41..=46 => link.load(side),
        47..=49 => link.wait(Duration::from_micros(some as u64)),
        50..=53 => link.wait_until_due(),
        54 => link.round_trip(side, Duration::from_micros(some as u64)),
        _ => _ = link.calm(),
    }
}

fn heal(link: &mut Link<'_>) {
    if !link.is_whole() {
        link.lose(0);
    }
    link.connect();
    let start = link.now();
    for round in 0.. {
        // What no answer moves, time does.
        if link.calm() {
            let rested = !link.is_timed() || link.now().since(start) >= STREAMS_REST_MAX;
            if rested && link.servable_wants() == 0 {
                return;
            }
            link.wait_until_due();
        } else {
            link.wait(Duration::from_millis(1));
        }
        assert!(
            (link.now().since(start) < HEAL_MAX || link.servable_wants() == 0)
                && round < HEAL_ROUNDS_MAX,
            "{} wants wait for blocks that the other engine has",
            link.servable_wants()
        );
    }
}
