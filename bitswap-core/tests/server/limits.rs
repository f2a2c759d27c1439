//! A peer wants more than its share, and costs no more than its share.

use crate::harness::{Harness, Responses, ask, ask_or, cid, limits, want, want_or};
use bitswap_core::{Config, Engine, Entry, Limits, Output, Rates, WantKind};

#[test]
fn a_ledger_reaches_its_limit_and_never_passes_it() {
    let mut harness = Harness::with_peer(limits(|limits| limits.ledger_per_peer = 10));
    for n in 0..25 {
        harness.wants(0, [want(cid(n))]);
        assert_eq!(harness.ledger(0), (n + 1).min(10));
    }
    harness.run();
    assert_eq!(harness.ledger(0), 10);
}

#[test]
fn wants_that_cannot_be_served_give_way_oldest_first() {
    let mut harness = Harness::with_peer(limits(|limits| limits.ledger_per_peer = 3));
    harness.put(cid(9), 10);
    for n in 0..3 {
        harness.wants(0, [Entry::want(cid(n), WantKind::Block, 100, true)]);
        harness.run();
    }
    // Even a want of the lowest priority is served where nothing else can be.
    harness.wants(0, [Entry::want(cid(9), WantKind::Block, i32::MIN, false)]);
    assert_eq!(harness.responses(), Responses::new(&[cid(9)], &[], &[]));
    assert_eq!(harness.engine().stats().served.evicted_wants, 1);
    for n in 0..3 {
        harness.notify_new_blocks(cid(n), 10);
    }
    assert_eq!(
        harness.responses(),
        Responses::new(&[cid(1), cid(2)], &[], &[]),
        "the oldest was forgotten"
    );
}

#[test]
fn a_want_that_came_in_the_place_of_a_cancelled_one_is_younger_than_the_others() {
    let mut harness = Harness::with_peer(limits(|limits| limits.ledger_per_peer = 3));
    harness.put(cid(9), 10);
    for n in 0..3 {
        harness.wants(0, [want(cid(n))]);
        harness.run();
    }
    harness.wants(0, [Entry::cancel(cid(0))]);
    harness.wants(0, [want(cid(3))]);
    harness.run();
    harness.wants(0, [want(cid(9))]);
    assert_eq!(harness.responses(), Responses::new(&[cid(9)], &[], &[]));
    for n in 0..4 {
        harness.notify_new_blocks(cid(n), 10);
    }
    let left = Responses::new(&[cid(2), cid(3)], &[], &[]);
    assert_eq!(harness.responses(), left, "the oldest was forgotten");
}

#[test]
fn a_ledger_full_of_missing_blocks_lets_every_servable_want_through() {
    let mut harness = Harness::with_peer(limits(|limits| limits.ledger_per_peer = 1024));
    harness.wants(0, (0..1024).map(|n| want_or(cid(n))).collect::<Vec<_>>());
    assert_eq!(harness.responses().dont_haves.len(), 1024);
    for n in 2000..2500 {
        harness.put(cid(n), 10);
    }
    harness.wants(0, (2000..2500).map(|n| want(cid(n))).collect::<Vec<_>>());
    assert_eq!(harness.responses().blocks.len(), 500);
    // And it does so before it is known what is missing, at equal priority.
    harness.at_once.loads = false;
    harness.wants(0, (5000..6024).map(|n| want(cid(n))).collect::<Vec<_>>());
    harness.wants(0, [want(cid(2000))]);
    harness.run();
    harness.at_once.loads = true;
    harness.answer_loads();
    assert_eq!(harness.responses().blocks, [cid(2000)]);
}

#[test]
fn in_a_full_ledger_higher_priorities_replace_lower_ones() {
    let mut harness = Harness::with_peer(limits(|limits| limits.ledger_per_peer = 3));
    harness.at_once.opens = false;
    let at = |n, priority| Entry::want(cid(n), WantKind::Block, priority, false);
    harness.wants(0, [at(1, 10), at(2, 20), at(3, 30), at(4, 5), at(5, 25), at(6, 40)]);
    let left: Vec<_> =
        harness.engine().peer_wantlist(0).iter().map(|entry| entry.priority).collect();
    assert_eq!(left, [40, 30, 25]);
    let served = harness.engine().stats().served;
    assert_eq!((served.skipped_entries, served.evicted_wants, served.wants), (1, 2, 6));
}

#[test]
fn what_was_answered_takes_no_room_from_new_wants() {
    let mut harness = Harness::with_peer(limits(|limits| limits.ledger_per_peer = 2));
    for n in 0..20 {
        harness.put(cid(n), 10);
        harness.wants(0, [want(cid(n))]);
        assert_eq!(harness.responses(), Responses::new(&[cid(n)], &[], &[]));
    }
    let served = harness.engine().stats().served;
    assert_eq!((served.evicted_wants, served.skipped_entries, harness.ledger(0)), (0, 0, 0));
}

#[test]
fn the_ledger_of_all_is_shared_and_a_late_peer_gets_its_part() {
    let mut harness = Harness::new(limits(|limits| {
        limits.ledger = 100;
        limits.ledger_per_peer = 80;
    }));
    for peer in 0..4 {
        harness.connect(peer);
        harness.wants(peer, (0..80).map(|n| want(cid(n))).collect::<Vec<_>>());
        harness.run();
        assert!(harness.engine().stats().ledger <= 100);
    }
    for peer in 0..4 {
        let len = harness.ledger(peer);
        assert!((24..=26).contains(&len), "peer {peer} has {len}");
    }
    // And one that has little loses nothing to those that have much.
    harness.connect(4);
    harness.wants(4, [want(cid(500))]);
    for peer in 0..4 {
        harness.wants(peer, (1000..2000).map(|n| want(cid(n))).collect::<Vec<_>>());
        harness.run();
    }
    assert_eq!(harness.ledger(4), 1);
}

#[test]
fn entries_beyond_the_bound_of_a_message_are_skipped() {
    let mut harness = Harness::with_peer(limits(|limits| limits.entries_per_message = 5));
    harness.wants(0, (0..8).map(|n| want(cid(n))).collect::<Vec<_>>());
    assert_eq!((harness.ledger(0), harness.engine().stats().served.skipped_entries), (5, 3));
    // In a full wantlist the rest counts as not wanted.
    harness.wants_only(0, (0..8).rev().map(|n| want(cid(n))).collect::<Vec<_>>());
    let mut left: Vec<_> =
        harness.engine().peer_wantlist(0).iter().map(|entry| entry.cid).collect();
    left.sort_unstable();
    assert_eq!(left, [3, 4, 5, 6, 7].map(cid));
}

#[test]
fn a_peer_leaves_nothing_behind() {
    let mut harness = Harness::new(Config::default());
    let fresh = harness.engine().held_bytes();
    harness.connect(7);
    harness.run();
    let before = harness.engine().held_bytes();
    for round in 0..3 {
        harness.connect(8);
        harness.at_once.loads = round != 1;
        harness.at_once.sends = round != 2;
        for n in 0..300 {
            harness.put(cid(n), 2000 + n as usize * 10);
        }
        harness.wants(8, (0..600).map(|n| want_or(cid(n))).collect::<Vec<_>>());
        harness.wants(8, (600..900).map(|n| ask_or(cid(n))).collect::<Vec<_>>());
        harness.run();
        assert!(harness.engine().held_bytes() > before);
        harness.disconnect(8);
        harness.run();
        harness.sends.clear();
        // Answers that come too late do no harm.
        harness.answer_loads();
        let engine = harness.engine();
        let stats = engine.stats();
        assert_eq!((engine.held_bytes(), stats.ledger, stats.response_bytes), (before, 0, 0));
    }
    harness.disconnect(7);
    harness.run();
    assert_eq!(harness.engine().held_bytes(), fresh);
    assert_eq!(harness.engine().poll_timeout(), None);
}

#[test]
fn a_peer_that_leaves_while_it_waits_for_its_turn_leaves_nothing_behind() {
    let rates = Rates { upload: Some(1000), ..Rates::default() };
    let mut harness = Harness::new(Config::default().with_rates(rates));
    let fresh = harness.engine().held_bytes();
    for n in 0..10 {
        harness.put(cid(n), 5000);
    }
    for peer in 0..3 {
        harness.connect(peer);
        harness.wants(peer, (0..10).map(|n| want(cid(n))).collect::<Vec<_>>());
    }
    harness.run();
    assert!(harness.engine().poll_timeout().is_some());
    for peer in 0..3 {
        harness.disconnect(peer);
    }
    for output in harness.drain() {
        assert!(matches!(output, Output::Event(_)), "{output:?}");
    }
    assert_eq!((harness.engine().held_bytes(), harness.engine().poll_timeout()), (fresh, None));
}

#[test]
fn churn_leaves_nothing_behind_even_when_nobody_polls() {
    let mut harness = Harness::new(Config::default());
    let fresh = harness.engine().held_bytes();
    for round in 0..2000 {
        harness.connect(round % 3);
        harness.wants(round % 3, [want(cid(round)), ask_or(cid(round + 1))]);
        harness.disconnect(round % 3);
    }
    harness.run();
    assert_eq!(harness.engine().held_bytes(), fresh);
}

#[test]
fn want_and_cancel_for_ever_costs_no_memory_and_few_lookups() {
    let mut harness = Harness::unwatched(Config::default());
    harness.connect(0);
    harness.at_once.loads = false;
    for n in 0..20_000 {
        harness.wants(0, [want(cid(n))]);
        harness.run();
        harness.cancels(0, &[cid(n)]);
    }
    let looked_up: usize = harness.loaded.iter().map(|load| load.cids.len()).sum();
    assert!(looked_up <= 256, "{looked_up} lookups");
    assert!(harness.engine().held_bytes() < 64 << 10, "{}", harness.engine().held_bytes());
}

#[test]
fn limits_of_one_still_serve_everybody() {
    let mut harness = Harness::new(limits(|limits| {
        limits.ledger_per_peer = 1;
        limits.response_bytes = 1;
        limits.response_bytes_per_peer = 1;
        limits.loads_per_peer = 1;
        limits.messages_per_stream = 1;
    }));
    for peer in 0..3 {
        harness.connect(peer);
        for n in 0..3 {
            harness.put(cid(n), 100 * n as usize);
            harness.wants(peer, [want(cid(n))]);
            assert_eq!(harness.responses(), Responses::new(&[cid(n)], &[], &[]));
        }
    }
}

#[test]
fn the_worst_wantlist_is_applied_within_its_bound() {
    // 8192 entries, ten times over, in every mood.
    let mut harness = Harness::unwatched(Config::default());
    harness.connect(0);
    for round in 0..10u32 {
        let entries: Vec<_> = (0..8192)
            .map(|n| {
                let cid = cid(n * 7 % 5000 + round);
                match n % 5 {
                    0 => want(cid),
                    1 => ask_or(cid),
                    2 => Entry::cancel(cid),
                    3 => want_or(cid),
                    _ => ask(cid),
                }
            })
            .collect();
        if round % 2 == 0 {
            harness.wants_only(0, entries);
        } else {
            harness.wants(0, entries);
        }
        harness.run();
        assert!(harness.ledger(0) <= Limits::default().ledger_per_peer);
    }
}

#[test]
fn peers_that_take_no_answers_do_not_keep_others_out_of_the_ledger() {
    // Their presences wait for a stream that never opens, or are in messages that are never read.
    for never_opens in [true, false] {
        let mut harness = Harness::new(limits(|limits| {
            limits.ledger = 400;
            limits.ledger_per_peer = 100;
        }));
        harness.at_once.opens = false;
        harness.at_once.sends = false;
        for peer in 0..8 {
            harness.connect(peer);
            harness.wants(peer, (0..100).map(|n| ask_or(cid(peer * 1000 + n))).collect::<Vec<_>>());
            harness.run();
            if !never_opens {
                harness.answer_opens();
                harness.run();
            }
        }
        assert_eq!(harness.engine().stats().ledger, 400);
        harness.at_once.opens = true;
        for n in 0..40 {
            harness.put(cid(n), 2000);
        }
        harness.connect(100);
        harness.wants(100, (0..40).map(|n| want(cid(n))).collect::<Vec<_>>());
        harness.opens.clear();
        let blocks = |harness: &mut Harness| {
            let messages = harness.run();
            let own = messages.iter().filter(|(peer, _)| *peer == 100).map(|(_, said)| said);
            let blocks = Responses::of(own).blocks.len();
            harness.stalled = (0..8).collect();
            harness.answer_sends();
            blocks
        };
        let served: usize = (0..40).map(|_| blocks(&mut harness)).sum();
        assert_eq!(served, 40, "never opens: {never_opens}");
    }
}

/// The figure that `docs/limits.md` states for the default limits and peers named by 80 bytes.
#[test]
fn the_default_bound_of_a_peer_is_the_documented_one() {
    let most = Engine::<[u8; 80]>::memory_max(&Config::default()).peer;
    assert_eq!(format!("{:.1}", most as f64 / f64::from(1 << 20)), "6.3", "{most} bytes");
}
