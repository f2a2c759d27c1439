//! A peer wants more than its share, and costs no more than its share.

use crate::rig::{Rig, Said, ask, ask_or, cid, limits, want, want_or};
use bitswap_core::{Config, Engine, Entry, Limits, Output, Rates, WantKind};

#[test]
fn a_ledger_reaches_its_limit_and_never_passes_it() {
    let mut rig = Rig::with_peer(limits(|limits| limits.ledger_per_peer = 10));
    for n in 0..25 {
        rig.tell(0, [want(cid(n))]);
        assert_eq!(rig.ledger(0), (n + 1).min(10));
    }
    rig.run();
    assert_eq!(rig.ledger(0), 10);
}

#[test]
fn wants_that_cannot_be_served_give_way_oldest_first() {
    let mut rig = Rig::with_peer(limits(|limits| limits.ledger_per_peer = 3));
    rig.put(cid(9), 10);
    for n in 0..3 {
        rig.tell(0, [Entry::want(cid(n), WantKind::Block, 100, true)]);
        rig.run();
    }
    // Even a want of the lowest priority is served where nothing else can be.
    rig.tell(0, [Entry::want(cid(9), WantKind::Block, i32::MIN, false)]);
    assert_eq!(rig.said(), Said::new(&[cid(9)], &[], &[]));
    assert_eq!(rig.engine.stats().served.evicted_wants, 1);
    for n in 0..3 {
        rig.notify_new_blocks(cid(n), 10);
    }
    assert_eq!(rig.said(), Said::new(&[cid(1), cid(2)], &[], &[]), "the oldest was forgotten");
}

#[test]
fn a_ledger_full_of_missing_blocks_lets_every_servable_want_through() {
    let mut rig = Rig::with_peer(limits(|limits| limits.ledger_per_peer = 1024));
    rig.tell(0, (0..1024).map(|n| want_or(cid(n))).collect::<Vec<_>>());
    assert_eq!(rig.said().dont_haves.len(), 1024);
    for n in 2000..2500 {
        rig.put(cid(n), 10);
    }
    rig.tell(0, (2000..2500).map(|n| want(cid(n))).collect::<Vec<_>>());
    assert_eq!(rig.said().blocks.len(), 500);
    // And it does so before it is known what is missing, at equal priority.
    rig.fast = false;
    rig.tell(0, (5000..6024).map(|n| want(cid(n))).collect::<Vec<_>>());
    rig.tell(0, [want(cid(2000))]);
    rig.run();
    rig.fast = true;
    rig.answer_loads();
    assert_eq!(rig.said().blocks, [cid(2000)]);
}

#[test]
fn in_a_full_ledger_higher_priorities_replace_lower_ones() {
    let mut rig = Rig::with_peer(limits(|limits| limits.ledger_per_peer = 3));
    rig.opens_at_once = false;
    let at = |n, priority| Entry::want(cid(n), WantKind::Block, priority, false);
    rig.tell(0, [at(1, 10), at(2, 20), at(3, 30), at(4, 5), at(5, 25), at(6, 40)]);
    let left: Vec<_> = rig.engine.peer_wantlist(0).iter().map(|entry| entry.priority).collect();
    assert_eq!(left, [40, 30, 25]);
    let served = rig.engine.stats().served;
    assert_eq!((served.skipped_entries, served.evicted_wants, served.wants), (1, 2, 6));
}

#[test]
fn what_was_answered_takes_no_room_from_new_wants() {
    let mut rig = Rig::with_peer(limits(|limits| limits.ledger_per_peer = 2));
    for n in 0..20 {
        rig.put(cid(n), 10);
        rig.tell(0, [want(cid(n))]);
        assert_eq!(rig.said(), Said::new(&[cid(n)], &[], &[]));
    }
    let served = rig.engine.stats().served;
    assert_eq!((served.evicted_wants, served.skipped_entries, rig.ledger(0)), (0, 0, 0));
}

#[test]
fn the_ledger_of_all_is_shared_and_a_late_peer_gets_its_part() {
    let mut rig = Rig::new(limits(|limits| {
        limits.ledger = 100;
        limits.ledger_per_peer = 80;
    }));
    for peer in 0..4 {
        rig.connect(peer);
        rig.tell(peer, (0..80).map(|n| want(cid(n))).collect::<Vec<_>>());
        rig.run();
        assert!(rig.engine.stats().ledger <= 100);
    }
    for peer in 0..4 {
        let len = rig.ledger(peer);
        assert!((24..=26).contains(&len), "peer {peer} has {len}");
    }
    // And one that has little loses nothing to those that have much.
    rig.connect(4);
    rig.tell(4, [want(cid(500))]);
    for peer in 0..4 {
        rig.tell(peer, (1000..2000).map(|n| want(cid(n))).collect::<Vec<_>>());
        rig.run();
    }
    assert_eq!(rig.ledger(4), 1);
}

#[test]
fn entries_beyond_the_bound_of_a_message_are_skipped() {
    let mut rig = Rig::with_peer(limits(|limits| limits.entries_per_message = 5));
    rig.tell(0, (0..8).map(|n| want(cid(n))).collect::<Vec<_>>());
    assert_eq!((rig.ledger(0), rig.engine.stats().served.skipped_entries), (5, 3));
    // In a full wantlist the rest counts as not wanted.
    rig.tell_full(0, (0..8).rev().map(|n| want(cid(n))).collect::<Vec<_>>());
    let mut left: Vec<_> = rig.engine.peer_wantlist(0).iter().map(|entry| entry.cid).collect();
    left.sort_unstable();
    assert_eq!(left, [3, 4, 5, 6, 7].map(cid));
}

#[test]
fn a_peer_leaves_nothing_behind() {
    let mut rig = Rig::new(Config::default());
    let fresh = rig.engine.stats();
    rig.connect(7);
    rig.run();
    let before = rig.engine.stats().held_bytes;
    for round in 0..3 {
        rig.connect(8);
        rig.fast = round != 1;
        rig.reads = round != 2;
        for n in 0..300 {
            rig.put(cid(n), 2000 + n as usize * 10);
        }
        rig.tell(8, (0..600).map(|n| want_or(cid(n))).collect::<Vec<_>>());
        rig.tell(8, (600..900).map(|n| ask_or(cid(n))).collect::<Vec<_>>());
        rig.run();
        assert!(rig.engine.stats().held_bytes > before);
        rig.engine.handle_disconnected(8, rig.at());
        rig.run();
        rig.unsent.clear();
        // Answers that come too late do no harm.
        rig.answer_loads();
        let stats = rig.engine.stats();
        assert_eq!((stats.held_bytes, stats.ledger, stats.response_bytes), (before, 0, 0));
    }
    rig.engine.handle_disconnected(7, rig.at());
    rig.run();
    assert_eq!(rig.engine.stats().held_bytes, fresh.held_bytes);
    assert_eq!(rig.engine.poll_timeout(), None);
}

#[test]
fn a_peer_that_leaves_while_it_waits_for_its_turn_leaves_nothing_behind() {
    let rates = Rates { upload: Some(1000), ..Rates::default() };
    let mut rig = Rig::new(Config::default().with_rates(rates));
    let fresh = rig.engine.stats().held_bytes;
    for n in 0..10 {
        rig.put(cid(n), 5000);
    }
    for peer in 0..3 {
        rig.connect(peer);
        rig.tell(peer, (0..10).map(|n| want(cid(n))).collect::<Vec<_>>());
    }
    rig.run();
    assert!(rig.engine.poll_timeout().is_some());
    for peer in 0..3 {
        rig.engine.handle_disconnected(peer, rig.at());
    }
    while let Some(output) = rig.engine.poll_output() {
        assert!(matches!(output, Output::Event(_)), "{output:?}");
    }
    assert_eq!((rig.engine.stats().held_bytes, rig.engine.poll_timeout()), (fresh, None));
}

#[test]
fn churn_leaves_nothing_behind_even_when_nobody_polls() {
    let mut rig = Rig::new(Config::default());
    let fresh = rig.engine.stats().held_bytes;
    for round in 0..2000 {
        rig.connect(round % 3);
        rig.tell(round % 3, [want(cid(round)), ask_or(cid(round + 1))]);
        rig.engine.handle_disconnected(round % 3, rig.at());
    }
    rig.run();
    assert_eq!(rig.engine.stats().held_bytes, fresh);
}

#[test]
fn want_and_cancel_for_ever_costs_no_memory_and_few_lookups() {
    let mut rig = Rig::with_peer(Config::default());
    rig.fast = false;
    for n in 0..20_000 {
        rig.tell(0, [want(cid(n))]);
        rig.run();
        rig.cancel(0, &[cid(n)]);
    }
    let looked_up: usize = rig.loads.iter().map(|load| load.cids.len()).sum();
    assert!(looked_up <= 256, "{looked_up} lookups");
    assert!(rig.engine.stats().held_bytes < 64 << 10, "{}", rig.engine.stats().held_bytes);
}

#[test]
fn limits_of_one_still_serve_everybody() {
    let mut rig = Rig::new(limits(|limits| {
        limits.ledger_per_peer = 1;
        limits.response_bytes = 1;
        limits.response_bytes_per_peer = 1;
        limits.loads_per_peer = 1;
        limits.messages_per_stream = 1;
    }));
    for peer in 0..3 {
        rig.connect(peer);
        for n in 0..3 {
            rig.put(cid(n), 100 * n as usize);
            rig.tell(peer, [want(cid(n))]);
            assert_eq!(rig.said(), Said::new(&[cid(n)], &[], &[]));
        }
    }
}

#[test]
fn the_worst_wantlist_is_applied_within_its_bound() {
    // 8192 entries, ten times over, in every mood.
    let mut rig = Rig::with_peer(Config::default());
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
            rig.tell_full(0, entries);
        } else {
            rig.tell(0, entries);
        }
        rig.run();
        assert!(rig.ledger(0) <= Limits::default().ledger_per_peer);
    }
}

#[test]
fn peers_that_take_no_answers_do_not_keep_others_out_of_the_ledger() {
    // Their presences wait for a stream that never opens, or are in messages that are never read.
    for never_opens in [true, false] {
        let mut rig = Rig::new(limits(|limits| {
            limits.ledger = 400;
            limits.ledger_per_peer = 100;
        }));
        rig.opens_at_once = false;
        rig.reads = false;
        for peer in 0..8 {
            rig.connect(peer);
            rig.tell(peer, (0..100).map(|n| ask_or(cid(peer * 1000 + n))).collect::<Vec<_>>());
            rig.run();
            if !never_opens {
                rig.answer_opens();
                rig.run();
            }
        }
        assert_eq!(rig.engine.stats().ledger, 400);
        rig.opens_at_once = true;
        for n in 0..40 {
            rig.put(cid(n), 2000);
        }
        rig.connect(100);
        rig.tell(100, (0..40).map(|n| want(cid(n))).collect::<Vec<_>>());
        rig.opening.clear();
        let blocks = |rig: &mut Rig| {
            let messages = rig.run();
            let own = messages.iter().filter(|(peer, _)| *peer == 100).map(|(_, said)| said);
            let blocks = Said::of(own).blocks.len();
            rig.slow = (0..8).collect();
            rig.take_all();
            blocks
        };
        let served: usize = (0..40).map(|_| blocks(&mut rig)).sum();
        assert_eq!(served, 40, "never opens: {never_opens}");
    }
}

/// The figure that `docs/limits.md` states for the default limits and peers named by 80 bytes.
#[test]
fn the_default_bound_of_a_peer_is_the_documented_one() {
    let most = Engine::<[u8; 80]>::memory_max(&Config::default()).peer;
    assert_eq!(format!("{:.1}", most as f64 / f64::from(1 << 20)), "6.3", "{most} bytes");
}
