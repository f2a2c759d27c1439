//! Who gets how much, and when: fairness, rate limits, slow readers.

use crate::rig::{Rig, Said, cid, limits, want};
use bitswap_core::{Config, Rates, TimerReason, Timestamp};

const KB: u64 = 1000;
const MB: u64 = 1_000_000;

fn upload(all: Option<u64>, each: Option<u64>) -> Rates {
    Rates { upload: all, upload_per_peer: each, download: None }
}

/// Peers that each want so many blocks of their own size.
fn busy(config: Config, sizes: &[usize], blocks: u32) -> Rig {
    let mut rig = Rig::new(config);
    for (peer, size) in (0..).zip(sizes) {
        rig.connect(peer);
        let own = || (0..blocks).map(move |n| cid(peer * 100_000 + n));
        for cid in own() {
            rig.put(cid, *size);
        }
        rig.tell(peer, own().map(want).collect::<Vec<_>>());
    }
    rig
}

#[test]
fn a_new_peer_with_one_want_is_served_within_twelve_messages() {
    // Ten peers with fifty wants each, at a rate that makes them wait.
    let rates = upload(Some(MB), None);
    let mut rig = busy(Config::default().with_rates(rates), &[100_000; 10], 50);
    let mut messages = rig.run();
    for _ in 0..20 {
        rig.jump();
        messages.extend(rig.run());
    }
    rig.connect(10);
    rig.put(cid(9_999_999), 100_000);
    rig.tell(10, [want(cid(9_999_999))]);
    let mut after = rig.run();
    while after.len() < 12 {
        rig.jump();
        after.extend(rig.run());
    }
    let place = after.iter().position(|(peer, _)| *peer == 10);
    assert!(place.is_some_and(|place| place < 12), "{place:?}");
}

#[test]
fn bytes_are_fair_whatever_the_sizes_of_the_blocks() {
    let sizes = [2_000, 20_000, 50_000, 200_000, 1_000_000];
    let mut rig = busy(Config::default().with_rates(upload(Some(4 * MB), None)), &sizes, 1000);
    let bytes = rig.run_until(10_000_000);
    // The smallest blocks run out: 2 MB.
    assert_eq!(bytes[&0], 2 * MB);
    let shares: Vec<f64> = (1..5).map(|peer| bytes[&peer] as f64).collect();
    let (sum, squares) = (shares.iter().sum::<f64>(), shares.iter().map(|x| x * x).sum::<f64>());
    let jain = sum * sum / (squares * shares.len() as f64);
    assert!(jain >= 0.99, "{bytes:?}");
}

#[test]
fn a_limited_upload_is_within_five_percent_over_ten_seconds() {
    for (rate, size) in [(200 * KB, 10_000), (MB, 50_000), (10 * MB, 256 << 10), (38 * MB, 10_000)]
    {
        let config = limits(|limits| limits.ledger_per_peer = 10_000);
        let mut rig = busy(config.with_rates(upload(Some(rate), None)), &[size; 5], 8_000);
        let sent: u64 = rig.run_until(10_000_000).values().sum();
        assert!(sent.abs_diff(rate * 10) <= rate / 2, "{sent} at {rate}");
    }
}

#[test]
fn each_peer_has_its_own_limit_too() {
    let config = Config::default().with_rates(upload(None, Some(500 * KB)));
    let mut rig = busy(config, &[10_000, 50_000, 20_000], 1000);
    let bytes = rig.run_until(10_000_000);
    for peer in 0..3 {
        let sent = bytes[&peer];
        assert!(sent.abs_diff(5 * MB) <= 5 * MB / 20, "peer {peer}: {sent}");
    }
}

#[test]
fn a_new_rate_counts_at_once() {
    let mut rig = busy(Config::default().with_rates(upload(Some(1), None)), &[100_000], 1000);
    let first: u64 = rig.run_until(1_000_000).values().sum();
    assert_eq!(first, 100_000, "one block at once, and then a day's pause");
    rig.engine.set_rates(upload(Some(MB), None), rig.at());
    let second: u64 = rig.run_until(11_000_000).values().sum();
    assert!(second.abs_diff(10 * MB) <= MB / 2, "{second}");
    rig.engine.set_rates(upload(None, None), rig.at());
    rig.run();
    assert_eq!(rig.engine.stats().served.blocks, 1000);
}

#[test]
fn presences_do_not_wait_for_a_rate_limit() {
    for rates in [upload(Some(1), None), upload(None, Some(1))] {
        let mut rig = busy(Config::default().with_rates(rates), &[100_000], 10);
        rig.run();
        rig.tell(
            0,
            [crate::rig::ask(cid(3)), crate::rig::ask_or(cid(77)), crate::rig::ask(cid(100_000))],
        );
        let said = rig.said();
        assert_eq!(said, Said::new(&[], &[], &[cid(77)]));
    }
}

#[test]
fn slow_readers_leave_room_for_the_others() {
    let mut rig = Rig::new(Config::default());
    rig.slow.extend(0..64);
    for n in 0..1000 {
        rig.put(cid(n), 256 << 10);
    }
    for peer in 0..72 {
        rig.connect(peer);
        rig.tell(peer, (0..1000).map(|n| want(cid(n))).collect::<Vec<_>>());
        if peer < 64 {
            rig.run();
        }
    }
    rig.run();
    let stats = rig.engine.stats();
    assert!(stats.response_bytes <= (64 << 20) + (256 << 10));
    for peer in 64..72 {
        assert_eq!(rig.engine.peer_stats(peer).unwrap().served.blocks, 1000);
    }
    for peer in 0..64 {
        assert!(rig.engine.peer_stats(peer).unwrap().response_bytes >= 512 << 10);
    }
}

#[test]
fn readers_that_stop_reading_leave_memory_for_a_new_peer() {
    let mut rig = Rig::new(limits(|limits| limits.response_bytes = 8 << 20));
    for n in 0..1000 {
        rig.put(cid(n), 64 << 10);
    }
    let wants = |blocks: std::ops::Range<u32>| blocks.map(|n| want(cid(n))).collect::<Vec<_>>();
    for peer in 0..8 {
        rig.connect(peer);
        // It has read enough to be trusted with all of its credit.
        rig.tell(peer, wants(0..100));
        rig.run();
    }
    rig.slow.extend(0..8);
    for peer in 0..8 {
        rig.tell(peer, wants(100..1000));
        rig.run();
    }
    rig.connect(8);
    rig.tell(8, wants(0..100));
    rig.run();
    assert_eq!(rig.engine.peer_stats(8).unwrap().served.blocks, 100);
}

#[test]
fn memory_of_all_is_bounded_and_goes_round() {
    // Twenty peers share memory for five blocks, and all get everything.
    let size = 100_000;
    let config = limits(|limits| limits.response_bytes = 500_000);
    let mut rig = Rig::new(config);
    rig.reads = false;
    for n in 0..20 {
        rig.put(cid(n), size);
    }
    for peer in 0..20 {
        rig.connect(peer);
        rig.tell(peer, (0..20).map(|n| want(cid(n))).collect::<Vec<_>>());
    }
    let mut rounds = 0;
    while rig.engine.stats().served.blocks < 400 {
        rig.run();
        assert!(rig.engine.stats().response_bytes <= 500_000 + (256 << 10));
        rounds += 1;
        assert!(rounds < 1000, "{:?}", rig.engine.stats());
        let first = rig.unsent.pop_front().unwrap();
        rig.sent(first.id, Ok(()));
    }
}

#[test]
fn idle_streams_of_a_thousand_peers_close_with_one_timer() {
    let mut rig = Rig::new(Config::default());
    for peer in 0..1000 {
        rig.connect(peer);
        rig.tell(peer, [want(cid(peer))]);
    }
    rig.run();
    assert_eq!(rig.run(), []);
    let timers = std::iter::from_fn(|| {
        let at = rig.engine.poll_timeout()?;
        rig.now = at.as_micros();
        rig.engine.handle_timeout(rig.at());
        rig.run();
        Some(at)
    });
    assert_eq!(timers.count(), 1, "all idle streams close at one moment");
    assert_eq!(rig.closed.len(), 1000);
}

/// Guards the cap on what a peer may save up: its turns while it has little to send are gone.
#[test]
fn a_peer_of_small_blocks_saves_up_no_credit_for_big_ones() {
    let mut rig = Rig::new(Config::default());
    rig.connect(0);
    for n in 0..1000 {
        rig.put(cid(n), 100);
        rig.tell(0, [want(cid(n))]);
        assert_eq!(rig.run().len(), 1, "a turn of its own");
    }
    rig.connect(1);
    for peer in 0..2 {
        let own = || (0..40).map(move |n| cid(10_000 + peer * 1000 + n));
        for cid in own() {
            rig.put(cid, 500_000);
        }
        rig.tell(peer, own().map(want).collect::<Vec<_>>());
    }
    let peers: Vec<u32> = rig.run().iter().map(|(peer, _)| *peer).collect();
    let first = peers[..20].iter().filter(|peer| **peer == 0).count();
    assert!((9..=11).contains(&first), "{first} of the first 20 messages: {peers:?}");
}

/// Guards the margin that is kept free when a peer reads nothing: how much it may use at most.
#[test]
fn a_peer_that_stops_reading_holds_less_than_a_fifth_of_the_memory() {
    const SIZE: usize = 16 << 10;
    let mut rig = Rig::new(limits(|limits| limits.response_bytes = 8 << 20));
    for n in 0..2000 {
        rig.put(cid(n), SIZE);
    }
    rig.connect(0);
    // It has read enough to be trusted with all of its credit.
    rig.tell(0, (0..500).map(|n| want(cid(n))).collect::<Vec<_>>());
    rig.run();
    rig.slow.insert(0);
    rig.tell(0, (500..2000).map(|n| want(cid(n))).collect::<Vec<_>>());
    rig.run();
    // A block is loaded while what is used, and 32 KiB, are below a quarter of what is free besides the
    // reserve of an eighth.
    let mut blocks: usize = 0;
    while blocks * SIZE + (32 << 10) < ((7 << 20) - blocks * SIZE) / 4 {
        blocks += 1;
    }
    assert_eq!(rig.engine.peer_stats(0).unwrap().response_bytes, (blocks * SIZE) as u64);
}

#[test]
fn a_rate_limit_at_the_end_of_time_does_not_keep_the_engine_busy() {
    let rates = Rates { upload_per_peer: Some(1000), ..Rates::default() };
    let mut rig = Rig::new(Config::default().with_rates(rates));
    rig.now = u64::MAX;
    rig.connect(0);
    for n in 0..10 {
        rig.put(cid(n), 5000);
    }
    rig.tell(0, (0..10).map(|n| want(cid(n))).collect::<Vec<_>>());
    // No time passes any more, so the limit lets the first block through and no other.
    assert_eq!(rig.said().blocks.len(), 1);
}

/// The timer says what it waits for, whichever limit that is.
#[test]
fn a_block_that_waits_for_a_rate_limit_has_a_throttle_timer() {
    for rates in [upload(Some(1000), None), upload(None, Some(1000))] {
        let mut rig = Rig::with_peer(Config::default().with_rates(rates));
        for n in 0..2 {
            rig.put(cid(n), 500);
        }
        rig.tell(0, (0..2).map(|n| want(cid(n))).collect::<Vec<_>>());
        assert_eq!(rig.said(), Said::new(&[cid(0)], &[], &[]));
        let (at, reason) = rig.engine.poll_timeout_reason().unwrap();
        assert_eq!((at.as_micros() / 1000, reason), (500, TimerReason::Throttle));
        rig.pass(at.as_micros());
        assert_eq!(rig.said(), Said::new(&[cid(1)], &[], &[]));
        let idle = rig.now + 5_000_000;
        let timer = Some((Timestamp::from_micros(idle), TimerReason::StreamIdle));
        assert_eq!(rig.engine.poll_timeout_reason(), timer);
    }
}
