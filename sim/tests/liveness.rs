//! What must happen, and by when.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bitswap_core::{
    Config, Entry, Message, SessionOptions, Timestamp, WantKind, Wantlist, WhenMissing,
};
use bitswap_sim::{
    Actor, BlockSet, Context, HostBehavior, Link, Node, Opening, PeerBehavior, Plan, Scenario,
    StoreBehavior, World, rest,
};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// The bound for a want when one honest peer of `1 + liars` connected ones has the block: batching,
/// two round trips, and a doubling number of peers that are waited for. Tests allow twice that.
fn bound(liars: u32, round_trip: Duration) -> Duration {
    let timeout = Duration::from_secs(2).max(3 * round_trip);
    let doublings = (liars + 1).next_power_of_two().ilog2();
    2 * (MS(10) + 2 * round_trip + timeout * doublings)
}

#[test]
fn an_honest_peer_is_found_among_silent_ones() {
    for liars in [1, 3, 7, 15, 31] {
        for behavior in [
            PeerBehavior::Silent,
            PeerBehavior::HaveThenSilent,
            PeerBehavior::Flapper(Duration::ZERO),
            PeerBehavior::Flapper(Duration::from_millis(100)),
        ] {
            let mut result = Scenario::new("one honest peer among liars")
                .blocks(10, 8000)
                .links(Link::latency_ms(20))
                .seeders(1)
                .peers(liars, behavior)
                .fetched_by(Plan::one_at_a_time)
                .run(liars as u64);
            let slowest = result.world.slowest_want(result.fetches[0]);
            let bound = bound(liars as u32, MS(40));
            assert!(slowest <= bound, "{liars} x {behavior:?}: {slowest:?}, at most {bound:?}");
            result.rests();
        }
    }
}

#[test]
fn thirty_one_of_thirty_two_peers_say_have_and_stay_silent() {
    for seed in 0..5 {
        let result = Scenario::new("31 of 32 say HAVE and stay silent")
            .blocks(100, 8000)
            .links(Link::latency_ms(20))
            .seeders(1)
            .peers(31, PeerBehavior::HaveThenSilent)
            .run(seed);
        let slowest = result.world.slowest_want(result.fetches[0]);
        assert!(slowest <= MS(10_100), "seed {seed}: {slowest:?}");
    }
}

#[test]
fn liars_of_every_kind_together_do_not_hold_a_want_up() {
    let mut result = Scenario::new("one honest peer among liars of all kinds")
        .blocks(40, 8000)
        .links(Link::latency_ms(20))
        .seeders(1)
        .peers(4, PeerBehavior::HaveThenSilent)
        .peers(2, PeerBehavior::Flapper(Duration::ZERO))
        .peers(2, PeerBehavior::Flapper(Duration::from_millis(100)))
        .peers(4, PeerBehavior::Corruptor)
        .peers(4, PeerBehavior::Silent)
        .peers(2, PeerBehavior::Spammer)
        .peers(2, PeerBehavior::Duplicator)
        .peers(2, PeerBehavior::Flooder)
        .peers(2, PeerBehavior::Churner)
        .run(3);
    let slowest = result.world.slowest_want(result.fetches[0]);
    assert!(slowest <= bound(22, MS(40)), "{slowest:?}");
    result.rests();
}

/// After a reconnect: one round trip for the stream, one for the block and one for its stream.
#[test]
fn wants_are_sent_again_within_a_round_trip_of_a_reconnect() {
    for away_ms in [0, 1, 5, 19, 100] {
        let result = Scenario::new("a peer leaves before it answers and comes back")
            .blocks(5, 8000)
            .seeders(1)
            .at_ms(25, |world, nodes| {
                world.disconnect(nodes.fetchers[0], nodes.seeders[0]);
            })
            .at_ms(25 + away_ms, |world, nodes| {
                world.connect(nodes.fetchers[0], nodes.seeders[0]);
            })
            .run(1);
        let after = result.took().saturating_sub(MS(25 + away_ms));
        assert!(after <= MS(3 * 20 + 10), "away for {away_ms} ms: {after:?}");
    }
}

#[test]
fn a_peer_that_connects_late_is_asked_at_once() {
    for search in [true, false] {
        let options = SessionOptions { find_providers: search, ..SessionOptions::default() };
        let mut result = Scenario::new("nobody is there until a peer connects")
            .blocks(20, 8000)
            .seeders(1)
            .apart()
            .options(options)
            .at_ms(30_000, |world, nodes| {
                world.connect(nodes.fetchers[0], nodes.seeders[0]);
            })
            .run(1);
        let after = result.took() - MS(30_000);
        assert!(after <= MS(3 * 20 + 10), "{after:?}");
        let searches = result.world.counts(result.nodes.fetchers[0]).searches;
        assert!(searches <= 8 && (searches > 0) == search, "{searches} searches");
        result.rests();
    }
}

#[test]
fn a_session_that_was_idle_before_its_first_want_searches_and_asks_like_any_other() {
    let block_set = BlockSet::equal(3, 8000);
    let mut world = World::new(1, block_set.clone(), Opening::RoundTrip);
    world.every_link(Link::latency_ms(10));
    let (fetcher, seeder) = (world.host(Config::default()), world.host(Config::default()));
    world.stock(seeder, 0..3);
    world.provide(seeder, 0..3);
    // A plan whose first round is empty opens the session long before the first want.
    let cids = block_set.cids();
    world.after(MS(60_000), move |world| {
        world.fetch(fetcher, Plan::one_at_a_time(&cids), SessionOptions::default());
    });
    world.run_until(Timestamp::ZERO + MS(60_000));
    world.run_fetches(Timestamp::ZERO + MS(120_000));
    let took = world.took(world.fetches()[0]).expect("the fetch ends");
    // A search takes half a second, dialling two round trips.
    assert!(took <= MS(500 + 40 + 60 + 2 * 40 + 20), "{took:?}");
    rest(&mut world);
}

#[test]
fn a_session_that_lost_all_its_peers_goes_on_with_new_ones() {
    let result = Scenario::new("the only peer leaves in the middle, another one comes")
        .blocks(100, 8000)
        .seeders(2)
        .apart()
        .fetched_by(Plan::one_at_a_time)
        .at_ms(0, |world, nodes| {
            world.connect(nodes.fetchers[0], nodes.seeders[0]);
        })
        .at_ms(1000, |world, nodes| {
            world.disconnect(nodes.fetchers[0], nodes.seeders[0]);
        })
        .at_ms(5000, |world, nodes| {
            world.connect(nodes.fetchers[0], nodes.seeders[1]);
        })
        .run(1);
    assert!(result.took() <= MS(5000 + 100 * 22), "{:?}", result.took());
}

#[test]
fn a_block_that_is_put_later_reaches_who_waits_for_it() {
    let mut result = Scenario::new("the block appears after everybody said DONT_HAVE")
        .blocks(1, 8000)
        .seeders(3)
        .stocked(|_, _| false)
        .at_ms(5000, |world, nodes| world.put(nodes.seeders[2], 0))
        .run(1);
    // Streams may have closed since, so one is opened.
    assert!(result.took() <= MS(5000 + 20 + 10 + 10), "{:?}", result.took());
    result.rests();
}

#[test]
fn missing_blocks_fail_once_everybody_lacks_them() {
    let options = SessionOptions { when_missing: WhenMissing::Fail, ..SessionOptions::default() };
    let mut result = Scenario::new("nobody has the blocks")
        .blocks(10, 8000)
        .seeders(4)
        .stocked(|_, _| false)
        .options(options)
        .run(1);
    assert_eq!(result.world.progress(result.fetches[0]), (0, 10));
    assert!(result.took() <= MS(10_000), "{:?}", result.took());
    result.rests();
}

/// What a scripted peer saw, shared with the test.
type Seen = Rc<RefCell<Vec<(Timestamp, Message)>>>;

/// Sends given messages at given times and writes down the answers.
struct Asker {
    server: Option<Node>,
    says: Vec<(Timestamp, Message)>,
    seen: Seen,
}

impl Actor for Asker {
    fn connected(&mut self, peer: Node, context: &mut Context<'_>) {
        self.server = Some(peer);
        context.wake_at(context.now);
    }

    fn received(&mut self, _from: Node, message: Message, context: &mut Context<'_>) {
        self.seen.borrow_mut().push((context.now, message));
    }

    fn woken(&mut self, context: &mut Context<'_>) {
        while self.says.first().is_some_and(|(at, _)| *at <= context.now) {
            let (_, message) = self.says.remove(0);
            context.send(self.server.expect("it is connected"), message);
        }
        if let Some((at, _)) = self.says.first() {
            context.wake_at(*at);
        }
    }
}

fn wants(block_set: &BlockSet, blocks: std::ops::Range<usize>, priority: i32) -> Message {
    let entry = |number| Entry::want(block_set.cid(number), WantKind::Block, priority, true);
    let wantlist = Wantlist { entries: blocks.map(entry).collect(), full: false };
    Message { wantlist, ..Message::default() }
}

#[test]
fn a_ledger_full_of_wants_that_cannot_be_served_lets_a_servable_one_in() {
    let block_set = BlockSet::equal(3000, 100);
    let mut world = World::new(1, block_set.clone(), Opening::RoundTrip);
    world.every_link(Link::latency_ms(10));
    let server = world.host(Config::default());
    world.stock(server, [2999]);
    let seen = Seen::default();
    let says = vec![
        (Timestamp::ZERO, wants(&block_set, 0..1500, 5)),
        (Timestamp::from_micros(1_000_000), wants(&block_set, 1500..2400, 5)),
        (Timestamp::from_micros(2_000_000), wants(&block_set, 2999..3000, 5)),
    ];
    let asker = world.actor(Box::new(Asker { server: None, says, seen: seen.clone() }));
    world.connect(server, asker);
    world.run_until(Timestamp::from_micros(3_000_000));
    let seen = seen.borrow();
    let came = seen.iter().find(|(_, message)| !message.blocks.is_empty());
    let (at, _) = came.expect("the block is sent");
    assert!(*at <= Timestamp::from_micros(2_000_000) + MS(20 + 20 + 5), "{at:?}");
}

#[test]
fn every_want_that_asks_for_it_is_answered_within_the_stores_time() {
    let block_set = BlockSet::equal(400, 3000);
    for config in [Config::default(), Config::default().with_replace_have_bytes(None).unwrap()] {
        let mut world = World::new(1, block_set.clone(), Opening::RoundTrip);
        world.every_link(Link::latency_ms(10));
        let server = world.host(config);
        world.stock(server, (0..400).step_by(3));
        world.store(server, StoreBehavior { latency: MS(200), ..StoreBehavior::default() });
        let seen = Seen::default();
        let says = vec![(Timestamp::ZERO, wants(&block_set, 0..400, 1))];
        let asker = world.actor(Box::new(Asker { server: None, says, seen: seen.clone() }));
        world.connect(server, asker);
        // 400 lookups, 256 at a time.
        world.run_until(Timestamp::ZERO + MS(10 + 20 + 2 * 200 + 10 + 200));
        let answered: usize = seen
            .borrow()
            .iter()
            .map(|(_, message)| message.blocks.len() + message.presences.len())
            .sum();
        assert_eq!(answered, 400);
    }
}

#[test]
fn a_slow_reader_holds_nobody_else_up() {
    let nine = |slow: bool| {
        Scenario::new("nine fetchers of one server, eight of which read slowly or not at all")
            .blocks(200, 8000)
            .fetchers(9)
            .seeders(1)
            .at_ms(0, move |world, nodes| {
                for reader in &nodes.fetchers[1..] {
                    let link = Link::latency_ms(10);
                    let link = if slow { link.bytes_per_second(1000) } else { link };
                    world.link(nodes.seeders[0], *reader, link);
                }
            })
            .at_most(MS(60_000))
            .run(1)
    };
    let took = |result: &bitswap_sim::RunResult| result.world.took(result.fetches[0]);
    let (beside_fast, beside_slow) = (took(&nine(false)), took(&nine(true)));
    let (fast, slow) = (beside_fast.expect("it ends"), beside_slow.expect("it ends"));
    assert!(slow <= fast * 105 / 100, "{slow:?} beside slow readers, {fast:?} beside fast ones");
}

#[test]
fn a_slow_disk_slows_its_own_session_and_ends_well() {
    let options = SessionOptions { window_bytes: 64 << 10, ..SessionOptions::default() };
    let result = Scenario::new("a disk of 100 kB/s")
        .blocks(100, 8000)
        .seeders(2)
        .options(options)
        .hosted(HostBehavior { disk: Some(100_000), ..HostBehavior::default() })
        .run(1);
    let seconds = result.took().as_secs_f64();
    // 800 kB less the window of 64 KiB that need not be written for the last want to end.
    assert!((7.0..8.2).contains(&seconds), "{seconds}");
}
