//! Situations in which block exchange has gone wrong before.

use std::time::Duration;

use bitswap_core::{Config, SessionOptions, Timestamp};
use bitswap_sim::{
    Conduct, HostConduct, Link, Opening, Plan, Scenario, StoreConduct, Universe, World, rest,
};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Disconnect and reconnect within one round trip, at every moment of a fetch.
#[test]
fn a_quick_reconnect_at_any_moment_loses_no_want() {
    for at in 0..60 {
        let mut ending = Scenario::new("a connection dies and another one is there at once")
            .blocks(10, 8000)
            .seeders(1)
            .at_ms(at, |world, players| {
                let (a, b) = (players.fetchers[0], players.seeders[0]);
                let old = world.connections(a, b)[0];
                world.kill(old);
                world.connect(a, b);
            })
            .run(at);
        assert!(ending.took() <= MS(at + 120), "at {at} ms: {:?}", ending.took());
        ending.rests();
    }
}

#[test]
fn ten_throttled_clients_of_one_server_all_end() {
    let options = SessionOptions { window_bytes: 40_000, ..SessionOptions::default() };
    let mut ending = Scenario::new("ten slow clients, one server")
        .blocks(50, 8000)
        .fetchers(10)
        .seeders(1)
        .links(Link::latency_ms(30).bytes_per_second(50_000))
        .options(options)
        .hosted(HostConduct { keeps_blocks: true, disk: Some(40_000), ..HostConduct::default() })
        .run(2);
    // 400 kB at 40 kB/s.
    assert!(ending.took() <= MS(14_000), "{:?}", ending.took());
    ending.rests();
}

#[test]
fn a_want_that_is_cancelled_at_any_moment_dangles_nowhere() {
    for at in 0..80 {
        let mut ending = Scenario::new("all wants are cancelled")
            .blocks(20, 500)
            .seeders(3)
            .stocked(|seeder, block| (seeder + block) % 3 == 0)
            .links(Link { jitter: MS(15), ..Link::latency_ms(10) })
            .at_ms(at, |world, players| {
                let cids = world.universe().cids();
                let fetch = world.fetches_of(players.fetchers[0])[0];
                world.cancel(fetch, &cids);
            })
            .run(at);
        ending.rests();
    }
}

#[test]
fn a_block_lost_with_one_of_two_connections_is_sent_again() {
    for at in 30..70 {
        let mut ending = Scenario::new("the connection in use dies, the other one stays")
            .blocks(30, 8000)
            .seeders(1)
            .links(Link::latency_ms(10).bytes_per_second(10_000_000))
            .at_ms(0, |world, players| {
                world.connect(players.fetchers[0], players.seeders[0]);
            })
            .at_ms(at, |world, players| {
                let (a, b) = (players.fetchers[0], players.seeders[0]);
                let used = world.connections(a, b)[0];
                world.kill(used);
            })
            .run(at);
        assert!(ending.took() <= MS(at + 200), "at {at} ms: {:?}", ending.took());
        ending.rests();
    }
}

#[test]
fn one_of_two_connections_closing_is_not_the_peer_leaving() {
    let ending = Scenario::new("an unused second connection closes")
        .blocks(100, 8000)
        .seeders(1)
        .fetched_by(Plan::one_at_a_time)
        .at_ms(100, |world, players| {
            world.connect(players.fetchers[0], players.seeders[0]);
        })
        .at_ms(500, |world, players| {
            let spare = world.connections(players.fetchers[0], players.seeders[0])[1];
            world.kill(spare);
        })
        .run(1);
    let alone = Scenario::new("one connection")
        .blocks(100, 8000)
        .seeders(1)
        .fetched_by(Plan::one_at_a_time)
        .run(1);
    assert_eq!(ending.took(), alone.took());
}

#[test]
fn nothing_is_left_when_a_fetch_is_complete() {
    let mut ending = Scenario::new("a fetch from many")
        .blocks(300, 2000)
        .seeders(8)
        .stocked(|seeder, block| block % 8 == seeder || block % 3 == 0)
        .run(1);
    assert_eq!(ending.blocks(), 300);
    ending.rests();
    for node in ending.world.hosts() {
        let stats = ending.world.engine(node).stats();
        assert_eq!((stats.ledger, stats.response_bytes), (0, 0), "{node}");
    }
}

#[test]
fn links_under_a_millisecond_cause_no_duplicates() {
    for seed in 0..10 {
        let ending = Scenario::new("a fast local network")
            .blocks(500, 16_000)
            .seeders(4)
            .links(Link {
                latency: Duration::from_micros(50),
                jitter: Duration::from_micros(400),
                bandwidth: Some(100_000_000),
                buffer: 65_536,
            })
            .run(seed);
        assert!(ending.duplicate_per_mille() <= 5, "{} ‰", ending.duplicate_per_mille());
    }
}

/// A peer said DONT_HAVE; the want was cancelled; the peer gets the block; it is wanted again.
#[test]
fn a_dont_have_from_before_is_not_held_against_a_peer() {
    let universe = Universe::equal(1, 8000);
    let mut world = World::new(1, universe.clone(), Opening::RoundTrip);
    world.every_link(Link::latency_ms(10));
    let (fetcher, other) = (world.host(Config::default()), world.host(Config::default()));
    world.connect(fetcher, other);
    let fetch =
        world.fetch(fetcher, Plan::all_at_once(&universe.cids()), SessionOptions::default());
    world.run_until(Timestamp::ZERO + MS(1000));
    world.cancel(fetch, &universe.cids());
    world.run_until(Timestamp::ZERO + MS(2000));
    world.put(other, 0);
    let again =
        world.fetch(fetcher, Plan::all_at_once(&universe.cids()), SessionOptions::default());
    world.run_fetches(Timestamp::ZERO + MS(20_000));
    assert!(world.took(again).expect("it ends") <= MS(70), "{:?}", world.took(again));
    rest(&mut world);
}

#[test]
fn a_store_that_fails_and_recovers_is_asked_again() {
    let mut ending = Scenario::new("the only store fails for a while")
        .blocks(20, 8000)
        .seeders(1)
        .at_ms(0, |world, players| {
            let broken = StoreConduct { fails_per_mille: 1000, ..StoreConduct::default() };
            world.store(players.seeders[0], broken);
        })
        .at_ms(5000, |world, players| {
            world.store(players.seeders[0], StoreConduct::default());
        })
        .run(1);
    assert!(ending.took() <= MS(60_000), "{:?}", ending.took());
    ending.rests();
}

#[test]
fn a_corruptor_delivers_nothing_and_stops_nobody() {
    let mut ending = Scenario::new("most peers send altered blocks")
        .blocks(50, 8000)
        .seeders(1)
        .peers(4, Conduct::Corruptor)
        .run(1);
    assert_eq!(ending.blocks(), 50);
    assert_eq!(ending.world.counts(ending.players.fetchers[0]).blocks_delivered(), 50);
    ending.rests();
}

#[test]
fn churning_peers_leave_nothing_behind() {
    let universe = Universe::equal(50, 1000);
    let mut world = World::new(1, universe.clone(), Opening::RoundTrip);
    world.every_link(Link::latency_ms(5));
    let server = world.host(Config::default());
    world.stock(server, 0..25);
    let fresh = world.engine(server).stats().held_bytes;
    for round in 0..200 {
        let peer = world.host(Config::default());
        world.connect(server, peer);
        let fetch =
            world.fetch(peer, Plan::all_at_once(&universe.cids()), SessionOptions::default());
        world.run_until(world.now() + MS(round % 60));
        world.disconnect(server, peer);
        world.close(fetch);
    }
    world.run_until(world.now() + MS(10_000));
    let stats = world.engine(server).stats();
    assert_eq!((stats.peers, stats.ledger, stats.held_bytes), (0, 0, fresh));
}

#[test]
fn a_connection_is_not_cut_after_the_world_has_healed() {
    bitswap_sim::sweep(&bitswap_sim::Sweep::new(190_212_608_573_569));
}
