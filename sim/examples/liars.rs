//! A scenario, told like a sentence: peers that promise blocks and never send them, beside one that does.
//!
//! Run it: `cargo run -p bitswap-sim --example liars`, or with a seed.

use std::error::Error;

use bitswap_sim::{Link, PeerBehavior, Plan, Scenario};

fn main() -> Result<(), Box<dyn Error>> {
    let seed = std::env::args().nth(1).map_or(Ok(1), |seed| seed.parse())?;
    for liars in [0, 1, 3, 9] {
        let mut result = Scenario::new("one peer has the blocks, the others only say so")
            .blocks(100, 16 << 10)
            .links(Link::latency_ms(20).bytes_per_second(1_000_000))
            .seeders(1)
            .peers(liars, PeerBehavior::HaveThenSilent)
            .fetched_by(Plan::all_at_once)
            .run(seed);
        println!("{liars} liars: {} blocks in {:.3?}", result.blocks(), result.took());
        // Panics when an engine keeps a want of another, or a timer.
        result.rests();
    }
    Ok(())
}
