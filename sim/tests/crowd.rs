//! Many that fetch the same from few, where every node sends at one speed at most.

use std::time::Duration;

use bitswap_sim::crowd::{Crowd, crowds, grid, svg, table};
use bitswap_sim::{HostBehavior, Link, Plan, Scenario};

#[test]
fn a_leech_alone_takes_its_floor_and_a_round_trip_for_the_stream() {
    let measured = Crowd { seeders: 1, leeches: 1 }.run(1..2);
    let (floor, took) = (measured.crowd.floor(), measured.took.unwrap());
    assert!(took > floor && took < floor * 5 / 4, "{measured}");
    assert_eq!((measured.copies, measured.duplicates, measured.entries), (100, 0, [100, 0, 0]));
}

#[test]
fn a_seeder_that_sends_to_two_sends_no_faster() {
    let one = Crowd { seeders: 1, leeches: 1 }.run(1..2).took.unwrap();
    let two = Crowd { seeders: 1, leeches: 2 }.run(1..2).took.unwrap();
    assert!(two > one * 5 / 4, "{two:?}, alone {one:?}");
}

/// Where each is sent what another one has sent as well, a crowd takes the longer the larger it is.
#[test]
fn a_crowd_serves_itself_and_little_of_it_comes_twice() {
    for (leeches, floors, copies, duplicates) in
        [(4, 2.3, 220, 20), (8, 3.1, 320, 50), (16, 3.9, 420, 60)]
    {
        let measured = Crowd { seeders: 1, leeches }.run(1..4);
        let most = measured.crowd.floor().mul_f64(floors);
        assert!(measured.took.is_some_and(|took| took <= most), "{measured}");
        assert!(measured.copies <= copies, "{measured}");
        assert!(measured.duplicates <= duplicates, "{measured}");
    }
}

/// Members say HAVE of what they have, and some of them take long to send it.
#[test]
fn slow_members_of_a_crowd_do_not_keep_the_others_from_the_source() {
    let scenario = Scenario::new("three fetch from one, and send 20 KB/s")
        .blocks(64, 64 << 10)
        .links(Link::latency_ms(20))
        .uplinks(10_000_000)
        .seeders(1)
        .fetchers(3)
        .fetched_by(|cids| Plan::of_size(cids, 64 << 10))
        .hosted(HostBehavior { keeps_blocks: true, ..HostBehavior::default() })
        .at_ms(0, |world, nodes| {
            nodes.fetchers.iter().for_each(|leech| world.uplink(*leech, 20_000));
            // Two of them have a half each, which they do not look for at home.
            world.stock(nodes.fetchers[1], 0..32);
            world.stock(nodes.fetchers[2], 32..64);
        });
    for seed in 1..6 {
        let took = scenario.run(seed).took();
        // The seeder sends three copies in 1.26 s.
        assert!(took <= Duration::from_millis(1600), "seed {seed}: {took:?}");
    }
}

#[test]
fn a_grid_is_told_as_a_table_and_as_a_picture() {
    assert_eq!((crowds().len(), grid().len()), (5, 25));
    let small =
        [(1, 1), (1, 2), (2, 1)].map(|(seeders, leeches)| Crowd { seeders, leeches }.run(1..2));
    let table = table(&small);
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 6, "{table}");
    assert_eq!(rows[1].matches('x').count(), 2, "{table}");
    assert_eq!(rows[2].matches('x').count(), 1, "{table}");
    assert!(svg(&small).contains("2 seeders"));
}
