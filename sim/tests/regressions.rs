//! Situations in which block exchange has gone wrong before.

use std::time::Duration;

use bitswap_core::{Config, SessionOptions, Timestamp};
use bitswap_sim::{
    BlockSet, HostBehavior, Link, Opening, PeerBehavior, Plan, Scenario, StoreBehavior, World, rest,
};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Disconnect and reconnect within one round trip, at every moment of a fetch.
#[test]
fn a_quick_reconnect_at_any_moment_loses_no_want() {
    for at in 0..60 {
        let mut result = Scenario::new("a connection dies and another one is there at once")
            .blocks(10, 8000)
            .seeders(1)
            .at_ms(at, |world, nodes| {
                let (a, b) = (nodes.fetchers[0], nodes.seeders[0]);
                let old = world.connections(a, b)[0];
                world.kill(old);
                world.connect(a, b);
            })
            .run(at);
        assert!(result.took() <= MS(at + 120), "at {at} ms: {:?}", result.took());
        result.rests();
    }
}

#[test]
fn ten_throttled_clients_of_one_server_all_end() {
    let options = SessionOptions { window_bytes: 40_000, ..SessionOptions::default() };
    let mut result = Scenario::new("ten slow clients, one server")
        .blocks(50, 8000)
        .fetchers(10)
        .seeders(1)
        .links(Link::latency_ms(30).bytes_per_second(50_000))
        .options(options)
        .hosted(HostBehavior { keeps_blocks: true, disk: Some(40_000), ..HostBehavior::default() })
        .run(2);
    // 400 kB at 40 kB/s.
    assert!(result.took() <= MS(14_000), "{:?}", result.took());
    result.rests();
}

#[test]
fn a_want_that_is_cancelled_at_any_moment_dangles_nowhere() {
    for at in 0..80 {
        let mut result = Scenario::new("all wants are cancelled")
            .blocks(20, 500)
            .seeders(3)
            .stocked(|seeder, block| (seeder + block) % 3 == 0)
            .links(Link { jitter: MS(15), ..Link::latency_ms(10) })
            .at_ms(at, |world, nodes| {
                let cids = world.block_set().cids();
                let fetch = world.fetches_of(nodes.fetchers[0])[0];
                world.cancel(fetch, &cids);
            })
            .run(at);
        result.rests();
    }
}

#[test]
fn a_block_lost_with_one_of_two_connections_is_sent_again() {
    for at in 30..70 {
        let mut result = Scenario::new("the connection in use dies, the other one stays")
            .blocks(30, 8000)
            .seeders(1)
            .links(Link::latency_ms(10).bytes_per_second(10_000_000))
            .at_ms(0, |world, nodes| {
                world.connect(nodes.fetchers[0], nodes.seeders[0]);
            })
            .at_ms(at, |world, nodes| {
                let (a, b) = (nodes.fetchers[0], nodes.seeders[0]);
                let used = world.connections(a, b)[0];
                world.kill(used);
            })
            .run(at);
        assert!(result.took() <= MS(at + 200), "at {at} ms: {:?}", result.took());
        result.rests();
    }
}

#[test]
fn one_of_two_connections_closing_is_not_the_peer_leaving() {
    let result = Scenario::new("an unused second connection closes")
        .blocks(100, 8000)
        .seeders(1)
        .fetched_by(Plan::one_at_a_time)
        .at_ms(100, |world, nodes| {
            world.connect(nodes.fetchers[0], nodes.seeders[0]);
        })
        .at_ms(500, |world, nodes| {
            let spare = world.connections(nodes.fetchers[0], nodes.seeders[0])[1];
            world.kill(spare);
        })
        .run(1);
    let alone = Scenario::new("one connection")
        .blocks(100, 8000)
        .seeders(1)
        .fetched_by(Plan::one_at_a_time)
        .run(1);
    assert_eq!(result.took(), alone.took());
}

#[test]
fn nothing_is_left_when_a_fetch_is_complete() {
    let mut result = Scenario::new("a fetch from many")
        .blocks(300, 2000)
        .seeders(8)
        .stocked(|seeder, block| block % 8 == seeder || block % 3 == 0)
        .run(1);
    assert_eq!(result.blocks(), 300);
    result.rests();
    for node in result.world.hosts() {
        let stats = result.world.engine(node).stats();
        assert_eq!((stats.ledger, stats.response_bytes), (0, 0), "{node}");
    }
}

#[test]
fn links_under_a_millisecond_cause_no_duplicates() {
    for seed in 0..10 {
        let result = Scenario::new("a fast local network")
            .blocks(500, 16_000)
            .seeders(4)
            .links(Link {
                latency: Duration::from_micros(50),
                jitter: Duration::from_micros(400),
                bandwidth: Some(100_000_000),
                buffer: 65_536,
            })
            .run(seed);
        assert!(result.duplicate_per_mille() <= 5, "{} ‰", result.duplicate_per_mille());
    }
}

/// A peer said DONT_HAVE; the want was cancelled; the peer gets the block; it is wanted again.
#[test]
fn a_dont_have_from_before_is_not_held_against_a_peer() {
    let block_set = BlockSet::equal(1, 8000);
    let mut world = World::new(1, block_set.clone(), Opening::RoundTrip);
    world.every_link(Link::latency_ms(10));
    let (fetcher, other) = (world.host(Config::default()), world.host(Config::default()));
    world.connect(fetcher, other);
    let fetch =
        world.fetch(fetcher, Plan::all_at_once(&block_set.cids()), SessionOptions::default());
    world.run_until(Timestamp::ZERO + MS(1000));
    world.cancel(fetch, &block_set.cids());
    world.run_until(Timestamp::ZERO + MS(2000));
    world.put(other, 0);
    let again =
        world.fetch(fetcher, Plan::all_at_once(&block_set.cids()), SessionOptions::default());
    world.run_fetches(Timestamp::ZERO + MS(20_000));
    assert!(world.took(again).expect("it ends") <= MS(70), "{:?}", world.took(again));
    rest(&mut world);
}

#[test]
fn a_store_that_fails_and_recovers_is_asked_again() {
    let mut result = Scenario::new("the only store fails for a while")
        .blocks(20, 8000)
        .seeders(1)
        .at_ms(0, |world, nodes| {
            let broken = StoreBehavior { fails_per_mille: 1000, ..StoreBehavior::default() };
            world.store(nodes.seeders[0], broken);
        })
        .at_ms(5000, |world, nodes| {
            world.store(nodes.seeders[0], StoreBehavior::default());
        })
        .run(1);
    assert!(result.took() <= MS(60_000), "{:?}", result.took());
    result.rests();
}

#[test]
fn a_corruptor_delivers_nothing_and_stops_nobody() {
    let mut result = Scenario::new("most peers send altered blocks")
        .blocks(50, 8000)
        .seeders(1)
        .peers(4, PeerBehavior::Corruptor)
        .run(1);
    assert_eq!(result.blocks(), 50);
    assert_eq!(result.world.counts(result.nodes.fetchers[0]).blocks_delivered(), 50);
    result.rests();
}

#[test]
fn churning_peers_leave_nothing_behind() {
    let block_set = BlockSet::equal(50, 1000);
    let mut world = World::new(1, block_set.clone(), Opening::RoundTrip);
    world.every_link(Link::latency_ms(5));
    let server = world.host(Config::default());
    world.stock(server, 0..25);
    let fresh = world.engine(server).held_bytes();
    for round in 0..200 {
        let peer = world.host(Config::default());
        world.connect(server, peer);
        let fetch =
            world.fetch(peer, Plan::all_at_once(&block_set.cids()), SessionOptions::default());
        world.run_until(world.now() + MS(round % 60));
        world.disconnect(server, peer);
        world.close(fetch);
    }
    world.run_until(world.now() + MS(10_000));
    let engine = world.engine(server);
    let stats = engine.stats();
    assert_eq!((stats.peers, stats.ledger, engine.held_bytes()), (0, 0, fresh));
}

#[test]
fn a_connection_is_not_cut_after_the_world_has_healed() {
    bitswap_sim::sweep(&bitswap_sim::Sweep::new(190_212_608_573_569));
}
