//! A block becomes available that peers wanted before.

use crate::rig::{Rig, Said, ask, ask_or, cid, want, want_or};
use bitswap_core::Config;

#[test]
fn a_late_block_is_pushed_unasked() {
    let mut rig = Rig::with_peer(Config::default());
    rig.tell(0, [want(cid(1)), want_or(cid(2)), ask(cid(3)), ask_or(cid(4)), want(cid(5))]);
    assert_eq!(rig.said(), Said::new(&[], &[], &[cid(2), cid(4)]));
    for (n, size) in [(1, 10), (2, 5000), (3, 10), (4, 5000), (5, 0)] {
        rig.notify_new_blocks(cid(n), size);
    }
    let said = rig.said();
    assert_eq!(said, Said::new(&[cid(1), cid(2), cid(3), cid(5)], &[cid(4)], &[]));
    assert_eq!(rig.ledger(0), 0);
    rig.notify_new_blocks(cid(1), 10);
    assert_eq!(rig.said(), Said::default(), "once");
}

#[test]
fn nothing_is_pushed_after_a_cancel_or_a_full_wantlist_without_it() {
    let mut rig = Rig::with_peer(Config::default());
    rig.tell(0, [want(cid(1)), want_or(cid(2)), want(cid(3))]);
    rig.run();
    rig.cancel(0, &[cid(1)]);
    rig.tell_full(0, [want(cid(3))]);
    rig.run();
    for n in 1..=3 {
        rig.notify_new_blocks(cid(n), 10);
    }
    assert_eq!(rig.said(), Said::new(&[cid(3)], &[], &[]));
}

#[test]
fn every_peer_that_wants_it_gets_it() {
    let mut rig = Rig::new(Config::default());
    for peer in 0..20 {
        rig.connect(peer);
        rig.tell(peer, [if peer % 2 == 0 { want(cid(1)) } else { ask(cid(1)) }]);
    }
    rig.run();
    rig.notify_new_blocks(cid(1), 4000);
    let messages = rig.run();
    let (mut blocks, mut haves) = (Vec::new(), Vec::new());
    for (peer, message) in &messages {
        let said = Said::of([message]);
        if said.blocks.is_empty() { haves.push(*peer) } else { blocks.push(*peer) }
    }
    assert_eq!((blocks.len(), haves.len()), (10, 10));
    assert!(blocks.iter().all(|peer| peer % 2 == 0) && haves.iter().all(|peer| peer % 2 == 1));
}

#[test]
fn absence_found_before_the_block_came_does_not_win_over_it() {
    // The lookup misses the block, which is stored before the answer is handled.
    let mut rig = Rig::with_peer(Config::default());
    rig.fast = false;
    rig.tell(0, [want_or(cid(1)), ask_or(cid(2))]);
    rig.run();
    let loads = std::mem::take(&mut rig.unanswered);
    let stale: Vec<_> = loads.iter().map(|load| (load.id, rig.look_up(load))).collect();
    rig.notify_new_blocks(cid(1), 10);
    rig.notify_new_blocks(cid(2), 5000);
    for (id, answers) in stale {
        rig.engine.handle_load(id, answers, rig.at());
    }
    rig.fast = true;
    assert_eq!(rig.said(), Said::new(&[cid(1)], &[cid(2)], &[]));
}

#[test]
fn a_dont_have_that_was_not_said_yet_gives_way_to_the_block() {
    let mut rig = Rig::with_peer(Config::default());
    rig.opens_at_once = false;
    rig.tell(0, [want_or(cid(1))]);
    rig.run();
    rig.notify_new_blocks(cid(1), 10);
    rig.run();
    rig.answer_opens();
    assert_eq!(rig.said(), Said::new(&[cid(1)], &[], &[]));
}

#[test]
fn a_block_follows_a_dont_have_that_is_on_its_way() {
    let mut rig = Rig::with_peer(Config::default());
    rig.reads = false;
    rig.tell(0, [want_or(cid(1))]);
    assert_eq!(rig.said(), Said::new(&[], &[], &[cid(1)]));
    rig.notify_new_blocks(cid(1), 10);
    assert_eq!(rig.said(), Said::new(&[cid(1)], &[], &[]));
    rig.take_all();
    rig.run();
    assert_eq!(rig.ledger(0), 0);
}

#[test]
fn a_refused_peer_cannot_tell_refusal_from_absence() {
    // Peer 0 is refused block 1, and asks for block 2 that is not there at all.
    let mut rig = Rig::with_peer(Config::default());
    rig.refused.insert((0, cid(1)));
    rig.put(cid(1), 10);
    for entry in [want_or, ask_or, want, ask] {
        rig.tell(0, [entry(cid(1)), entry(cid(2))]);
        let said = rig.said();
        let asked = entry(cid(1)).send_dont_have;
        let both = if asked { vec![cid(1), cid(2)] } else { vec![] };
        assert_eq!(said, Said::new(&[], &[], &both));
        // Not even when the refused block is stored anew.
        rig.notify_new_blocks(cid(1), 10);
        assert_eq!(rig.said(), Said::default());
    }
    rig.refused.clear();
    rig.notify_new_blocks(cid(1), 10);
    assert_eq!(rig.said(), Said::new(&[cid(1)], &[], &[]));
}
