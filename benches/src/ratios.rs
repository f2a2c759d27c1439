//! Each measure as a ratio to its yardstick, both taken in turn in the same run.
//!
//! `ratios [ROUNDS] [LEAST]`: fails when the engines with 256 KiB blocks fall below LEAST of the
//! bare hash.

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bitswap_benches::blocks::blocks;
use bitswap_benches::engines::{Carrier, Pair};
use bitswap_core::Block;
use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let rounds = args.next().map_or(Ok(15), |rounds| rounds.parse());
    let least = args.next().map_or(Ok(0.0), |least| least.parse());
    let (Ok(rounds), Ok(least)) = (rounds, least) else {
        eprintln!("ratios [ROUNDS] [LEAST]");
        return ExitCode::from(2);
    };
    let small = Case { len: 1 << 10, count: 8192 }.measure(rounds);
    let large = Case { len: 256 << 10, count: 128 }.measure(rounds);
    #[cfg(feature = "nodes")]
    bitswap_benches::nodes::print_ratios(rounds);
    if large < least {
        eprintln!(
            "engines with blocks of 256 KiB run at {large:.3} of the bare hash, below {least}"
        );
        return ExitCode::FAILURE;
    }
    println!("smallest of both: {:.3}", small.min(large));
    ExitCode::SUCCESS
}

struct Case {
    len: usize,
    count: usize,
}

impl Case {
    /// Prints the case's lines. The ratio of engines that hand over values.
    fn measure(&self, rounds: usize) -> f64 {
        let blocks = blocks(self.count, self.len);
        let cids: Vec<Cid> = blocks.iter().map(|block| *block.cid()).collect();
        let (mut bare, mut values, mut wire) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds.max(1) {
            bare.push(hash(&blocks));
            values.push(fetch(&blocks, &cids, Carrier::Values));
            wire.push(fetch(&blocks, &cids, Carrier::Wire));
        }
        println!("{} blocks of {} KiB, best of {rounds}", self.count, self.len >> 10);
        let bare = best(bare);
        self.line("bare hash", bare, bare);
        self.line("engines, messages as values", best(values.clone()), bare);
        self.line("engines, messages on the wire", best(wire), bare);
        bare.as_secs_f64() / best(values).as_secs_f64()
    }

    fn line(&self, name: &str, time: Duration, bare: Duration) {
        let seconds = time.as_secs_f64();
        println!(
            "  {name:<32} {:>7.0} MiB/s {:>9.0} blocks/s  {:.3} of the bare hash, {:.2} us a block beside it",
            (self.len * self.count) as f64 / seconds / f64::from(1 << 20),
            self.count as f64 / seconds,
            bare.as_secs_f64() / seconds,
            (seconds - bare.as_secs_f64()) / self.count as f64 * 1e6,
        );
    }
}

fn hash(blocks: &[Block]) -> Duration {
    let start = Instant::now();
    blocks.iter().for_each(|block| _ = black_box(Code::Sha2_256.digest(block.data())));
    start.elapsed()
}

fn fetch(blocks: &[Block], cids: &[Cid], carrier: Carrier) -> Duration {
    let mut pair = Pair::new(blocks, carrier);
    let start = Instant::now();
    black_box(pair.fetch(cids));
    start.elapsed()
}

/// What disturbs a measure only makes it longer.
fn best(times: Vec<Duration>) -> Duration {
    times.into_iter().min().unwrap_or_default()
}
