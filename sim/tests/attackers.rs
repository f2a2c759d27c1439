//! Attackers beside honest peers: what each can do alone, and what they can do together.

use std::time::Duration;

use bitswap_sim::{Attack, Attacker, PAUSES, PeerBehavior, Speed, Victim};

const REPLAY: &str = "cargo run --release -p bitswap-sim -- attackers";

/// Those of the attacks that break a promise, with the promise.
fn failures(attacks: impl IntoIterator<Item = Attack>) -> Vec<(u64, Vec<Attacker>, String)> {
    attacks
        .into_iter()
        .filter_map(|attack| {
            let result = std::panic::catch_unwind(|| attack.run());
            let why = match result {
                Ok(Ok(_)) => return None,
                Ok(Err(why)) => why,
                Err(_) => "an engine broke its contract".into(),
            };
            Some((attack.seed, attack.attackers, why))
        })
        .collect()
}

#[test]
fn no_attacker_alone_holds_an_honest_transfer_up_or_leaves_anything_behind() {
    // All of them in a release build: `ci/sim` runs them too.
    let speeds: &[Speed] =
        if cfg!(debug_assertions) { &[Speed::Fast] } else { &[Speed::Fast, Speed::Slow] };
    let attacks = PeerBehavior::ATTACKS.into_iter().flat_map(|behavior| {
        [Victim::Fetcher, Victim::Seeders].into_iter().flat_map(move |victim| {
            speeds.iter().map(move |speed| Attack::of(behavior, victim, *speed))
        })
    });
    let failed = failures(attacks);
    assert!(failed.is_empty(), "{REPLAY} CONDUCT for each of {failed:#?}");
}

#[test]
fn liars_with_every_pause_hold_no_honest_transfer_up() {
    let liars = PeerBehavior::ATTACKS.into_iter().flat_map(|behavior| {
        let other = PAUSES.into_iter().map(move |pause| behavior.with_pause(pause));
        other.filter(move |other| *other != behavior)
    });
    let attacks = liars.map(|behavior| Attack::of(behavior, Victim::Fetcher, Speed::Fast));
    let failed = failures(attacks);
    assert!(failed.is_empty(), "{failed:#?}");
}

/// Seeds that once found something, and the first ones.
#[test]
fn random_combinations_of_attackers_hold_no_honest_transfer_up() {
    let known = [
        92,
        191,
        207,
        221,
        244,
        310,
        360,
        397,
        9_261_095_668_048,
        249_167_242_949_459,
        52_529_615_215_657,
        48_483_903_724_283,
        178_283_512_773_460,
        237_624_570_055_177,
        101_172_276_589_219,
        44_282_554_919_664,
    ];
    let first = if cfg!(debug_assertions) { 1..=5 } else { 1..=100 };
    let failed = failures(known.into_iter().chain(first).map(Attack::draw));
    assert!(failed.is_empty(), "{REPLAY} --seeds 1 --seed N with N one of {failed:#?}");
}

#[test]
fn a_combination_replays_exactly() {
    for seed in [3, 92] {
        let run = || Attack::draw(seed).run().map(|outcome| (outcome.steps, outcome.transcript));
        assert_eq!(run(), run(), "seed {seed}");
    }
}

/// Ten blocks at a time from a fast peer, beside one that says nothing.
fn in_batches(behavior: PeerBehavior, honest_first: u32) -> Attack {
    let mut attack = Attack { batch: 10, ..Attack::of(behavior, Victim::Fetcher, Speed::Fast) };
    for attacker in &mut attack.attackers {
        attacker.honest_first = honest_first;
    }
    attack
}

#[test]
fn a_peer_that_keeps_silent_gets_no_part_of_every_batch() {
    for behavior in
        [PeerBehavior::Silent, PeerBehavior::HaveThenSilent, PeerBehavior::NeverNegotiates]
    {
        // Also one that had delivered before.
        for honest_first in [0, 4] {
            let outcome = in_batches(behavior, honest_first).run().expect("it keeps its promises");
            // The first silence, and perhaps one more after a while.
            let lost = outcome.beside.saturating_sub(outcome.alone);
            assert!(lost <= Duration::from_millis(3500), "{behavior:?} {honest_first}: {outcome}");
        }
    }
}

#[test]
fn a_session_that_asks_for_one_block_at_a_time_finds_the_quickest_peer() {
    // A peer that has every block and is slow, and two honest ones that nobody asked at first.
    let attack = Attack::draw(178_283_512_773_460).without(&[1, 2]);
    assert_eq!((attack.batch, attack.seeders), (1, 2));
    let outcome = attack.run().expect("it keeps its promises");
    assert!(outcome.beside <= Duration::from_secs(7), "{outcome}");
}

/// It promises each block at once and delivers none. Another says that it lacks the block and brings it nevertheless,
/// before the first one's deadline: that one never is late for it.
#[test]
fn who_promises_and_never_delivers_is_not_trusted_although_its_blocks_come_from_elsewhere() {
    let attack = Attack::draw(44_282_554_919_664).without(&[0, 1, 2, 3, 5]);
    let behaviors: Vec<_> = attack.attackers.iter().map(|attacker| attacker.behavior).collect();
    let late = PeerBehavior::DontHaveThenBlock(Duration::from_millis(700));
    assert_eq!(behaviors, [PeerBehavior::MadeUpWants, late]);
    let outcome = attack.run().expect("it keeps its promises");
    assert!(outcome.beside <= outcome.alone * 11 / 10, "{outcome}");
}

/// It was quick at first, so that an honest peer was hardly heard of; or what is known of that peer is how long its
/// first block took, and the opening of its stream with it.
#[test]
fn a_slow_peer_does_not_keep_a_session_that_asks_for_one_block_at_a_time() {
    let ms = Duration::from_millis;
    let pauses: &[u64] =
        if cfg!(debug_assertions) { &[550, 700] } else { &[350, 550, 700, 850, 1000] };
    for pause in pauses {
        for honest_first in [1, 6, 40] {
            for latency in [45, 150] {
                let slow = PeerBehavior::FastHaveSlowBlock(ms(*pause));
                let mut attack =
                    Attack { batch: 1, ..Attack::of(slow, Victim::Fetcher, Speed::Slow) };
                attack.attackers[0].honest_first = honest_first;
                attack.attackers[0].latency = ms(latency);
                let outcome = attack.run().expect("it keeps its promises");
                assert!(outcome.beside <= outcome.alone * 3 / 2, "{attack:?}: {outcome}");
            }
        }
    }
}

#[test]
fn a_peer_that_has_become_slow_holds_up_no_more_than_one_batch() {
    // It delivered at once before our requests to it had to queue behind what it reads slowly.
    let attack = Attack::draw(237_624_570_055_177);
    assert_eq!((attack.batch, attack.seeders), (10, 2));
    let outcome = attack.run().expect("it keeps its promises");
    assert!(outcome.beside <= outcome.alone + Duration::from_secs(5), "{outcome}");
}

#[test]
fn a_slow_peer_gets_no_block_that_a_busy_fast_one_would_bring_sooner() {
    let slow = PeerBehavior::FastHaveSlowBlock(Duration::from_millis(700));
    let outcome = in_batches(slow, 0).run().expect("it keeps its promises");
    // Ten batches that each wait for the slow one take seven seconds longer.
    let lost = outcome.beside.saturating_sub(outcome.alone);
    assert!(lost <= Duration::from_millis(2500), "{outcome}");
}
