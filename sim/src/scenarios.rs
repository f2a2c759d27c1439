//! A few scenarios as tables and pictures, beside the least time that each could take.

use std::time::Duration;

use crate::write_picture;
use bitswap_sim::floors::least;
use bitswap_sim::{Link, Nodes, PeerBehavior, Report, Scenario, World};

/// Runs the scenarios worth a picture.
pub(crate) fn run(words: &[&str]) -> Result<bool, String> {
    for (scenario, floor) in shown() {
        let report = Report::new(scenario.name(), floor, &scenario.run(1));
        println!("{}", report.table());
        if let Some(directory) = words.first() {
            write_picture(directory, &report.file_name(), &report.svg())?;
        }
    }
    Ok(true)
}

/// Each with the least time that it could take: a round trip, and all bytes at the speed of all links, as in `floors`.
fn shown() -> Vec<(Scenario, Option<Duration>)> {
    const BYTES: u64 = 1000 * 16_384;
    const SPEED: u64 = 1_000_000;
    let speeds = [100_000, 200_000, 400_000, 800_000];
    let unequal = |name| {
        Scenario::new(name)
            .blocks(1000, 16_384)
            .seeders(4)
            .links(Link::latency_ms(20))
            .speeds(&speeds)
    };
    let all: u64 = speeds.iter().sum();
    // What the fastest one can bring in its three seconds, of which the first round trip brings nothing.
    let early = speeds[3] * (3000 - 40) / 1000;
    // What a connection cannot bring while it is gone, and for a round trip after that.
    let gone = 4 * SPEED * (300 + 40) / 1000;
    vec![
        (unequal("Four peers of speeds 1:2:4:8 share a file"), Some(least(BYTES, all, 40))),
        (
            unequal("The fastest of four peers leaves after 3 s").at_ms(3000, |world, nodes| {
                world.disconnect(nodes.fetchers[0], nodes.seeders[3]);
            }),
            Some(least(BYTES - early, all - speeds[3], 40)),
        ),
        (
            Scenario::new("Eight equal peers")
                .blocks(1000, 16_384)
                .seeders(8)
                .links(Link::latency_ms(20).bytes_per_second(SPEED)),
            Some(least(BYTES, 8 * SPEED, 40)),
        ),
        // No link has a limit, and the one that serves must be found: a round trip more.
        (
            Scenario::new("31 of 32 peers say HAVE and stay silent")
                .blocks(100, 8000)
                .seeders(1)
                .links(Link::latency_ms(20))
                .peers(31, PeerBehavior::HaveThenSilent),
            Some(Duration::from_millis(2 * 40)),
        ),
        // Some of the liars send good blocks too, so that nobody can say what all links bring.
        (
            Scenario::new("Two honest peers among liars of all kinds")
                .blocks(300, 8000)
                .seeders(2)
                .links(Link::latency_ms(20).bytes_per_second(SPEED))
                .peers(2, PeerBehavior::Flapper(Duration::from_millis(100)))
                .peers(2, PeerBehavior::Corruptor)
                .peers(2, PeerBehavior::Silent)
                .peers(2, PeerBehavior::Spammer)
                .peers(2, PeerBehavior::Duplicator),
            None,
        ),
        (
            Scenario::new("A connection dies every second and comes back")
                .blocks(1000, 16_384)
                .seeders(3)
                .links(Link::latency_ms(20).bytes_per_second(SPEED))
                .at_ms(1000, |world, nodes| drop_and_return(world, nodes, 0))
                .at_ms(2000, |world, nodes| drop_and_return(world, nodes, 1))
                .at_ms(3000, |world, nodes| drop_and_return(world, nodes, 2))
                .at_ms(4000, |world, nodes| drop_and_return(world, nodes, 0)),
            Some(least(BYTES + gone, 3 * SPEED, 40)),
        ),
    ]
}

fn drop_and_return(world: &mut World, nodes: &Nodes, seeder: usize) {
    let (a, b) = (nodes.fetchers[0], nodes.seeders[seeder]);
    world.disconnect(a, b);
    world.after(Duration::from_millis(300), move |world| {
        world.connect(a, b);
    });
}
