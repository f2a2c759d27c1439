//! Who gets how much, and when: fairness, rate limits, slow readers.

use std::time::Duration;

use crate::harness::{Harness, Responses, cid, limits, want};
use bitswap_core::{Config, Rates, TimerReason, Timestamp};

const KB: u64 = 1000;
const MB: u64 = 1_000_000;

fn upload(all: Option<u64>, each: Option<u64>) -> Rates {
    Rates { upload: all, upload_per_peer: each, ..Rates::default() }
}

/// Peers that each want so many blocks of their own size.
fn busy(config: Config, sizes: &[usize], blocks: u32) -> Harness {
    let mut harness = Harness::unwatched(config);
    for (peer, size) in (0..).zip(sizes) {
        harness.connect(peer);
        let own = || (0..blocks).map(move |n| cid(peer * 100_000 + n));
        for cid in own() {
            harness.put(cid, *size);
        }
        harness.wants(peer, own().map(want).collect::<Vec<_>>());
    }
    harness
}

#[test]
fn a_new_peer_with_one_want_is_served_within_twelve_messages() {
    // Ten peers with fifty wants each, at a rate that makes them wait.
    let rates = upload(Some(MB), None);
    let mut harness = busy(Config::default().with_rates(rates), &[100_000; 10], 50);
    let mut messages = harness.run();
    for _ in 0..20 {
        harness.wait_until_due();
        messages.extend(harness.run());
    }
    harness.connect(10);
    harness.put(cid(9_999_999), 100_000);
    harness.wants(10, [want(cid(9_999_999))]);
    let mut after = harness.run();
    while after.len() < 12 {
        harness.wait_until_due();
        after.extend(harness.run());
    }
    let place = after.iter().position(|(peer, _)| *peer == 10);
    assert!(place.is_some_and(|place| place < 12), "{place:?}");
}

#[test]
fn bytes_are_fair_whatever_the_sizes_of_the_blocks() {
    let sizes = [2_000, 20_000, 50_000, 200_000, 1_000_000];
    let mut harness = busy(Config::default().with_rates(upload(Some(4 * MB), None)), &sizes, 1000);
    let bytes = harness.run_until(10_000_000);
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
        let mut harness = busy(config.with_rates(upload(Some(rate), None)), &[size; 5], 8_000);
        let sent: u64 = harness.run_until(10_000_000).values().sum();
        assert!(sent.abs_diff(rate * 10) <= rate / 2, "{sent} at {rate}");
    }
}

#[test]
fn each_peer_has_its_own_limit_too() {
    let config = Config::default().with_rates(upload(None, Some(500 * KB)));
    let mut harness = busy(config, &[10_000, 50_000, 20_000], 1000);
    let bytes = harness.run_until(10_000_000);
    for peer in 0..3 {
        let sent = bytes[&peer];
        assert!(sent.abs_diff(5 * MB) <= 5 * MB / 20, "peer {peer}: {sent}");
    }
}

#[test]
fn a_new_rate_counts_at_once() {
    let mut harness = busy(Config::default().with_rates(upload(Some(1), None)), &[100_000], 1000);
    let first: u64 = harness.run_until(1_000_000).values().sum();
    assert_eq!(first, 100_000, "one block at once, and then a day's pause");
    harness.host.set_rates(upload(Some(MB), None));
    let second: u64 = harness.run_until(11_000_000).values().sum();
    assert!(second.abs_diff(10 * MB) <= MB / 2, "{second}");
    harness.host.set_rates(upload(None, None));
    harness.run();
    assert_eq!(harness.engine().stats().served.blocks, 1000);
}

#[test]
fn presences_do_not_wait_for_a_rate_limit() {
    for rates in [upload(Some(1), None), upload(None, Some(1))] {
        let mut harness = busy(Config::default().with_rates(rates), &[100_000], 10);
        harness.run();
        harness.wants(
            0,
            [
                crate::harness::ask(cid(3)),
                crate::harness::ask_or(cid(77)),
                crate::harness::ask(cid(100_000)),
            ],
        );
        let said = harness.responses();
        assert_eq!(said, Responses::new(&[], &[], &[cid(77)]));
    }
}

#[test]
fn slow_readers_leave_room_for_the_others() {
    let mut harness = Harness::unwatched(Config::default());
    harness.stalled.extend(0..64);
    for n in 0..1000 {
        harness.put(cid(n), 256 << 10);
    }
    for peer in 0..72 {
        harness.connect(peer);
        harness.wants(peer, (0..1000).map(|n| want(cid(n))).collect::<Vec<_>>());
        if peer < 64 {
            harness.run();
        }
    }
    harness.run();
    let stats = harness.engine().stats();
    assert!(stats.response_bytes <= (64 << 20) + (256 << 10));
    for peer in 64..72 {
        assert_eq!(harness.engine().peer_stats(peer).unwrap().served.blocks, 1000);
    }
    for peer in 0..64 {
        assert!(harness.engine().peer_stats(peer).unwrap().response_bytes >= 512 << 10);
    }
}

#[test]
fn readers_that_stop_reading_leave_memory_for_a_new_peer() {
    let mut harness = Harness::new(limits(|limits| limits.response_bytes = 8 << 20));
    for n in 0..1000 {
        harness.put(cid(n), 64 << 10);
    }
    let wants = |blocks: std::ops::Range<u32>| blocks.map(|n| want(cid(n))).collect::<Vec<_>>();
    for peer in 0..8 {
        harness.connect(peer);
        // It has read enough to be trusted with all of its credit.
        harness.wants(peer, wants(0..100));
        harness.run();
    }
    harness.stalled.extend(0..8);
    for peer in 0..8 {
        harness.wants(peer, wants(100..1000));
        harness.run();
    }
    harness.connect(8);
    harness.wants(8, wants(0..100));
    harness.run();
    assert_eq!(harness.engine().peer_stats(8).unwrap().served.blocks, 100);
}

#[test]
fn memory_of_all_is_bounded_and_goes_round() {
    // Twenty peers share memory for five blocks, and all get everything.
    let size = 100_000;
    let config = limits(|limits| limits.response_bytes = 500_000);
    let mut harness = Harness::new(config);
    harness.at_once.sends = false;
    for n in 0..20 {
        harness.put(cid(n), size);
    }
    for peer in 0..20 {
        harness.connect(peer);
        harness.wants(peer, (0..20).map(|n| want(cid(n))).collect::<Vec<_>>());
    }
    let mut rounds = 0;
    while harness.engine().stats().served.blocks < 400 {
        harness.run();
        assert!(harness.engine().stats().response_bytes <= 500_000 + (256 << 10));
        rounds += 1;
        assert!(rounds < 1000, "{:?}", harness.engine().stats());
        let first = harness.sends.pop_front().unwrap();
        harness.sent(first.id, Ok(()));
    }
}

#[test]
fn idle_streams_of_a_thousand_peers_close_with_one_timer() {
    let mut harness = Harness::new(Config::default());
    for peer in 0..1000 {
        harness.connect(peer);
        harness.wants(peer, [want(cid(peer))]);
    }
    harness.run();
    assert_eq!(harness.run(), []);
    let timers = std::iter::from_fn(|| {
        let at = harness.engine().poll_timeout()?;
        harness.wait_until_due();
        harness.run();
        Some(at)
    });
    assert_eq!(timers.count(), 1, "all idle streams close at one moment");
    assert_eq!(harness.closed.len(), 1000);
}

/// Guards the cap on what a peer may save up: its turns while it has little to send are gone.
#[test]
fn a_peer_of_small_blocks_saves_up_no_credit_for_big_ones() {
    let mut harness = Harness::new(Config::default());
    harness.connect(0);
    for n in 0..1000 {
        harness.put(cid(n), 100);
        harness.wants(0, [want(cid(n))]);
        assert_eq!(harness.run().len(), 1, "a turn of its own");
    }
    harness.connect(1);
    for peer in 0..2 {
        let own = || (0..40).map(move |n| cid(10_000 + peer * 1000 + n));
        for cid in own() {
            harness.put(cid, 500_000);
        }
        harness.wants(peer, own().map(want).collect::<Vec<_>>());
    }
    let peers: Vec<u32> = harness.run().iter().map(|(peer, _)| *peer).collect();
    let first = peers[..20].iter().filter(|peer| **peer == 0).count();
    assert!((9..=11).contains(&first), "{first} of the first 20 messages: {peers:?}");
}

/// Guards the margin that is kept free when a peer reads nothing: how much it may use at most.
#[test]
fn a_peer_that_stops_reading_holds_less_than_a_fifth_of_the_memory() {
    const SIZE: usize = 16 << 10;
    let mut harness = Harness::new(limits(|limits| limits.response_bytes = 8 << 20));
    for n in 0..2000 {
        harness.put(cid(n), SIZE);
    }
    harness.connect(0);
    // It has read enough to be trusted with all of its credit.
    harness.wants(0, (0..500).map(|n| want(cid(n))).collect::<Vec<_>>());
    harness.run();
    harness.stalled.insert(0);
    harness.wants(0, (500..2000).map(|n| want(cid(n))).collect::<Vec<_>>());
    harness.run();
    // A block is loaded while what is used, and 32 KiB, are below a quarter of what is free besides the
    // reserve of an eighth.
    let mut blocks: usize = 0;
    while blocks * SIZE + (32 << 10) < ((7 << 20) - blocks * SIZE) / 4 {
        blocks += 1;
    }
    assert_eq!(harness.engine().peer_stats(0).unwrap().response_bytes, (blocks * SIZE) as u64);
}

#[test]
fn a_rate_limit_at_the_end_of_time_does_not_keep_the_engine_busy() {
    let rates = Rates { upload_per_peer: Some(1000), ..Rates::default() };
    let mut harness = Harness::new(Config::default().with_rates(rates));
    harness.now = Timestamp::MAX;
    harness.connect(0);
    for n in 0..10 {
        harness.put(cid(n), 5000);
    }
    harness.wants(0, (0..10).map(|n| want(cid(n))).collect::<Vec<_>>());
    // No time passes any more, so the limit lets the first block through and no other.
    assert_eq!(harness.responses().blocks.len(), 1);
}

/// The timer says what it waits for, whichever limit that is.
#[test]
fn a_block_that_waits_for_a_rate_limit_has_a_throttle_timer() {
    for rates in [upload(Some(1000), None), upload(None, Some(1000))] {
        let mut harness = Harness::with_peer(Config::default().with_rates(rates));
        for n in 0..2 {
            harness.put(cid(n), 500);
        }
        harness.wants(0, (0..2).map(|n| want(cid(n))).collect::<Vec<_>>());
        assert_eq!(harness.responses(), Responses::new(&[cid(0)], &[], &[]));
        let (at, reason) = harness.engine().poll_timeout_reason().unwrap();
        assert_eq!((at.as_micros() / 1000, reason), (500, TimerReason::Throttle));
        harness.pass(at.as_micros());
        assert_eq!(harness.responses(), Responses::new(&[cid(1)], &[], &[]));
        let idle = harness.now + Duration::from_secs(5);
        let timer = Some((idle, TimerReason::StreamIdle));
        assert_eq!(harness.engine().poll_timeout_reason(), timer);
    }
}
