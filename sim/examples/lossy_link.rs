//! A world with a lossy link: what it costs when connections break and bytes are altered on the way.
//!
//! A run is its seed: with the same seed it is the same to the microsecond, on every machine.
//!
//! Run it: `cargo run -p bitswap-sim --example lossy_link`, or with a seed.

use std::error::Error;
use std::time::Duration;

use bitswap_core::{Config, SessionOptions, Timestamp};
use bitswap_sim::{BlockSet, Link, Opening, Plan, World};

/// How long 200 blocks take and how many bytes arrive for them, when of a million messages so many break their
/// connection and as many have altered blocks.
fn fetch(seed: u64, faults: u32) -> Result<(Duration, u64), Box<dyn Error>> {
    let mut world = World::new(seed, BlockSet::equal(200, 16 << 10), Opening::RoundTrip);
    let link = Link { jitter: Duration::from_millis(5), ..Link::latency_ms(20) };
    world.every_link(link.bytes_per_second(1_000_000));
    world.spoil(faults, faults);
    let (client, server) = (world.host(Config::default()), world.host(Config::default()));
    world.stock(server, 0..200);
    world.connect(client, server);
    let cids = world.block_set().cids();
    let fetch = world.fetch(client, Plan::all_at_once(&cids), SessionOptions::default());
    // A connection that breaks is made anew after a second, as a node does it.
    for second in 1..300 {
        world.at(Timestamp::ZERO + Duration::from_secs(second), move |world| {
            if world.connections(client, server).is_empty() {
                world.connect(client, server);
            }
        });
    }
    world.run_fetches(Timestamp::ZERO + Duration::from_secs(300));
    let took = world.took(fetch).ok_or_else(|| world.explain(fetch))?;
    Ok((took, world.counts(client).block_bytes_received))
}

fn main() -> Result<(), Box<dyn Error>> {
    let seed = std::env::args().nth(1).map_or(Ok(1), |seed| seed.parse())?;
    for faults in [0, 1_000, 10_000, 100_000] {
        let (took, bytes) = fetch(seed, faults)?;
        println!("{faults:>6} faults in a million: {took:>9.3?}, {bytes} bytes for {}", 200 << 14);
        if (took, bytes) != fetch(seed, faults)? {
            return Err("two runs of one seed differ".into());
        }
    }
    Ok(())
}
