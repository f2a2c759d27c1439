//! Who is asked for how much, and who learns what.

use std::time::Duration;

use bitswap_core::{Config, SessionOptions};
use bitswap_sim::{BlockSet, Link, Opening, PeerBehavior, Plan, Scenario, World, rest};

const MS: fn(u64) -> Duration = Duration::from_millis;
const SPEEDS: [u64; 4] = [100_000, 200_000, 400_000, 800_000];

fn file_from_four_speeds() -> Scenario {
    Scenario::new("four peers of speeds 1:2:4:8")
        .blocks(1000, 16_384)
        .seeders(4)
        .links(Link::latency_ms(20))
        .speeds(&SPEEDS)
}

#[test]
fn shares_follow_speed() {
    for seed in 0..3 {
        let result = file_from_four_speeds().run(seed);
        let counts = result.world.counts(result.nodes.fetchers[0]);
        let total: u64 = SPEEDS.iter().sum();
        for (peer, speed) in result.nodes.seeders.iter().zip(SPEEDS) {
            let fair = 1000 * 16_384 * speed / total;
            let got = counts.bytes_from(*peer);
            let off = got.abs_diff(fair) * 100 / fair;
            assert!(off <= 20, "seed {seed}: {peer} at {speed} B/s gave {got}, fair is {fair}");
        }
        let duplicates = result.duplicate_per_mille();
        assert!(duplicates < 20, "seed {seed}: {duplicates} ‰ duplicates");
        let ideal = 1000.0 * 16_384.0 / total as f64;
        let took = result.took().as_secs_f64();
        assert!(took <= ideal * 1.25, "seed {seed}: {took} s, ideal {ideal} s");
    }
}

#[test]
fn a_leaving_peer_costs_only_what_was_on_its_way() {
    let result = file_from_four_speeds()
        .at_ms(3000, |world, nodes| {
            world.disconnect(nodes.fetchers[0], nodes.seeders[3]);
        })
        .run(1);
    let received = result.world.counts(result.nodes.fetchers[0]).block_bytes_received;
    let wanted = 1000 * 16_384;
    assert!(received <= wanted * 102 / 100, "{received} of {wanted}");
    // 2.4 MB came before; the rest from the other three.
    let before = 3 * 1_500_000;
    let rest = (wanted - before) as f64 / 700_000.0;
    let took = result.took().as_secs_f64();
    assert!(took <= 3.0 + rest * 1.2, "{took} s");
}

#[test]
fn equal_seeders_cost_two_per_cent_at_most() {
    for seeders in 2..=8 {
        let result = Scenario::new("equal seeders")
            .blocks(400, 16_384)
            .seeders(seeders)
            .links(Link { jitter: MS(5), ..Link::latency_ms(20).bytes_per_second(1_000_000) })
            .run(seeders as u64);
        let received = result.world.counts(result.nodes.fetchers[0]).block_bytes_received;
        let wanted = 400 * 16_384;
        assert!(received * 100 <= wanted * 102, "{seeders} seeders: {received} of {wanted}");
        let ideal = wanted as f64 / (1e6 * seeders as f64);
        let took = result.took().as_secs_f64();
        assert!(took <= ideal * 1.3 + 0.3, "{seeders} seeders: {took} s, ideal {ideal} s");
    }
}

#[test]
fn a_session_with_given_peers_is_known_to_nobody_else() {
    let mut result = Scenario::new("a session for two of eight")
        .blocks(100, 8000)
        .seeders(8)
        .only_from(&[2, 5])
        .fetched_by(Plan::like_a_file)
        .run(1);
    assert_eq!(result.blocks(), 100);
    result.rests();
    for (number, peer) in result.nodes.seeders.iter().enumerate() {
        let heard = result.world.counts(*peer).messages_received;
        assert_eq!(heard > 0, number == 2 || number == 5, "seeder {number} heard {heard}");
    }
    assert_eq!(result.world.counts(result.nodes.fetchers[0]).searches, 0);
}

#[test]
fn a_session_with_given_peers_waits_for_them_rather_than_ask_others() {
    let result = Scenario::new("the given peer lacks the blocks, the others have them")
        .blocks(10, 8000)
        .seeders(4)
        .stocked(|seeder, _| seeder != 0)
        .only_from(&[0])
        .at_most(MS(60_000))
        .run(1);
    assert_eq!(result.blocks(), 0);
    for peer in &result.nodes.seeders[1..] {
        assert_eq!(result.world.counts(*peer).messages_received, 0);
    }
}

#[test]
fn a_session_takes_of_others_what_its_preferred_peers_lack_and_nothing_else() {
    let mut result =
        Scenario::new("one of two preferred peers has half of the blocks, three others all")
            .blocks(100, 8000)
            .seeders(5)
            .stocked(|seeder, block| seeder > 1 || seeder == 1 && block % 2 == 0)
            .preferring(&[0, 1])
            .fetched_by(Plan::all_at_once)
            .run(1);
    assert_eq!(result.blocks(), 100);
    result.rests();
    let sent = |number: usize| result.world.counts(result.nodes.seeders[number]).blocks_sent;
    assert_eq!([sent(0), sent(1), (2..5).map(sent).sum()], [0, 50, 50]);
}

#[test]
fn a_peer_that_lacks_the_blocks_hears_two_messages_at_most() {
    for seed in 0..20 {
        let mut result = Scenario::new("one of ten peers has all 101 blocks")
            .blocks(101, 8000)
            .seeders(10)
            .stocked(|seeder, _| seeder == 4)
            .fetched_by(Plan::like_a_file)
            .run(seed);
        assert_eq!(result.blocks(), 101);
        result.rests();
        for (number, peer) in result.nodes.seeders.iter().enumerate() {
            let heard = result.world.counts(*peer).messages_received;
            assert!(number == 4 || heard <= 2, "seed {seed}: peer {number} heard {heard}");
        }
    }
}

#[test]
fn few_peers_learn_of_a_want() {
    let result = Scenario::new("sixty peers have everything").blocks(50, 8000).seeders(60).run(1);
    let told = result
        .nodes
        .seeders
        .iter()
        .filter(|peer| result.world.counts(**peer).messages_received > 0)
        .count();
    assert!(told <= 16, "{told} peers learned of the wants");
}

#[test]
fn ten_thousand_concurrent_gets_with_duplicates_all_end() {
    let block_set = BlockSet::equal(7000, 200);
    let mut world = World::new(1, block_set.clone(), Opening::RoundTrip);
    world.every_link(Link::latency_ms(10));
    let node = world.host(Config::default());
    let seeders: Vec<_> = (0..4).map(|_| world.host(Config::default())).collect();
    for seeder in &seeders {
        world.stock(*seeder, 0..7000);
        world.connect(node, *seeder);
    }
    let gets: Vec<_> = (0..10_000)
        .map(|number| {
            let cid = block_set.cid(number % 7000);
            world.fetch(node, Plan::all_at_once(&[cid]), SessionOptions::default())
        })
        .collect();
    // Every twentieth gives up at once; the others of the same CID must not notice.
    for (number, get) in gets.iter().enumerate().step_by(20) {
        world.cancel(*get, &[block_set.cid(number % 7000)]);
    }
    world.run_fetches(bitswap_core::Timestamp::ZERO + MS(60_000));
    for get in &gets {
        assert!(world.has_ended(*get), "{}", world.explain(*get));
    }
    let counts = world.counts(node);
    let asked = counts.want_blocks_sent;
    assert!(asked <= 7000 * 102 / 100, "{asked} want-blocks for 7000 blocks");
    assert_eq!(world.engine(node).stats().wants, 0);
    rest(&mut world);
}

/// How much longer 200 blocks from four seeders take when there is one more peer, of this behavior.
fn cost_of_one(behavior: PeerBehavior, seed: u64) -> Duration {
    let four = Scenario::new("four seeders").blocks(200, 8000).seeders(4);
    let with = four.clone().peers(1, behavior).run(seed);
    assert_eq!(with.blocks(), 200);
    with.took().saturating_sub(four.run(seed).took())
}

#[test]
fn a_useless_peer_that_answers_at_once_changes_little() {
    let round_trip = MS(20);
    for (behavior, most) in [
        (PeerBehavior::Duplicator, round_trip),
        (PeerBehavior::Spammer, round_trip),
        (PeerBehavior::DontHaveThenBlock(MS(700)), round_trip),
        // It takes back what it says after 100 ms.
        (PeerBehavior::Flapper(MS(100)), MS(100) + round_trip),
        (PeerBehavior::Flapper(MS(0)), round_trip),
    ] {
        for seed in 0..3 {
            let late = cost_of_one(behavior, seed);
            assert!(late <= most, "seed {seed}: {behavior:?} costs {late:?}");
        }
    }
}

#[test]
fn a_peer_that_delivers_nothing_costs_no_more_than_its_first_deadline() {
    // A second for the first answer, and the transfer of its share of the blocks at the speed that is
    // assumed of it: some twenty blocks of 16 KiB at 1 MiB/s.
    let first_deadline = MS(1000) + MS(400);
    for behavior in [
        PeerBehavior::Silent,
        PeerBehavior::HaveThenSilent,
        PeerBehavior::FastHaveSlowBlock(MS(8000)),
        PeerBehavior::Corruptor,
        PeerBehavior::Flooder,
        PeerBehavior::Churner,
    ] {
        for seed in 0..3 {
            let late = cost_of_one(behavior, seed);
            assert!(late <= first_deadline, "seed {seed}: {behavior:?} costs {late:?}");
        }
    }
}
