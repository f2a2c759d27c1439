//! Limits of download: of all peers together, and of each.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;

use bitswap_core::{Block, Config, Rates, SessionId, SessionOptions, TimerReason, Want};
use cid::Cid;

use crate::driver::{Driver, Sent, cid, ms, sized};

/// Blocks of 10,000 bytes that peers deliver as soon as they are asked for them.
struct Deliveries {
    driver: Driver,
    session: SessionId,
    /// What each peer has delivered, in bytes.
    bytes: BTreeMap<u8, u64>,
}

impl Deliveries {
    const BLOCKS: u32 = 4000;
    const BYTES: u32 = 10_000;

    fn new(rates: Rates, peers: impl IntoIterator<Item = u8>, told: Option<u32>) -> Self {
        let mut driver = Driver::unwatched(Config::default().with_rates(rates));
        peers.into_iter().for_each(|peer| driver.connect(peer));
        let session = driver.session();
        let cid = |n| *sized(n, Self::BYTES as usize).cid();
        let wants = (0..Self::BLOCKS).map(|n| Want { cid: cid(n), priority: 0, size: told });
        driver.host.want(session, wants).unwrap();
        Self { driver, session, bytes: BTreeMap::new() }
    }

    /// What came from a peer in so many milliseconds.
    fn run(&mut self, time: u64) -> BTreeMap<u8, u64> {
        let (d, before) = (&mut self.driver, self.bytes.clone());
        let end = d.now + ms(time);
        let blocks: BTreeMap<Cid, Block> = (0..Self::BLOCKS)
            .map(|n| sized(n, Self::BYTES as usize))
            .map(|block| (*block.cid(), block))
            .collect();
        d.drain();
        while d.now < end {
            for (peer, cid, what) in d.take_sent() {
                if what == Sent::WantBlock {
                    d.block(peer, &blocks[&cid]);
                    d.release_capacity(self.session, Self::BYTES.into());
                    *self.bytes.entry(peer).or_default() += u64::from(Self::BYTES);
                }
            }
            d.pass(ms(10));
        }
        let since = |(peer, bytes): (&u8, &u64)| (*peer, bytes - before.get(peer).unwrap_or(&0));
        self.bytes.iter().map(since).collect()
    }
}

const FIVE_PER_CENT_ABOUT_A_MILLION: RangeInclusive<u64> = 950_000..=1_050_000;

#[test]
fn the_download_limit_holds() {
    let rates = Rates { download: Some(100_000), ..Rates::default() };
    let mut deliveries = Deliveries::new(rates, [1], Some(Deliveries::BYTES));
    let got = deliveries.run(10_000)[&1];
    assert!(FIVE_PER_CENT_ABOUT_A_MILLION.contains(&got), "{got} bytes in 10 s");
}

#[test]
fn the_download_limit_of_each_peer_holds_for_each() {
    // Whether the sizes are known before or not.
    for told in [Some(Deliveries::BYTES), None] {
        let rates = Rates { download_per_peer: Some(100_000), ..Rates::default() };
        let mut deliveries = Deliveries::new(rates, [1, 2, 3], told);
        deliveries.run(1000);
        let got = deliveries.run(10_000);
        assert_eq!(got.len(), 3);
        for (peer, bytes) in got {
            assert!(FIVE_PER_CENT_ABOUT_A_MILLION.contains(&bytes), "{peer}: {bytes} in 10 s");
        }
        // One that comes later is held to it as well.
        deliveries.driver.connect(4);
        deliveries.run(1000);
        let got = deliveries.run(10_000)[&4];
        assert!(FIVE_PER_CENT_ABOUT_A_MILLION.contains(&got), "{got} bytes in 10 s");
    }
}

#[test]
fn the_download_limits_of_each_and_of_all_hold_together() {
    let rates =
        Rates { download: Some(100_000), download_per_peer: Some(80_000), ..Rates::default() };
    let mut deliveries = Deliveries::new(rates, [1, 2, 3], Some(Deliveries::BYTES));
    let got = deliveries.run(10_000);
    let sum: u64 = got.values().sum();
    assert!(FIVE_PER_CENT_ABOUT_A_MILLION.contains(&sum), "{got:?}");
    assert!(got.values().all(|bytes| *bytes <= 840_000), "{got:?}");
}

#[test]
fn the_download_limit_of_each_peer_can_be_changed_and_lifted() {
    let rates = Rates { download_per_peer: Some(1), ..Rates::default() };
    let mut deliveries = Deliveries::new(rates, [1], Some(Deliveries::BYTES));
    assert_eq!(deliveries.run(10_000)[&1], 10_000, "one block, which takes hours to pay off");
    let rates = Rates { download_per_peer: Some(100_000), ..Rates::default() };
    deliveries.driver.host.set_rates(rates);
    let got = deliveries.run(10_000)[&1];
    assert!(FIVE_PER_CENT_ABOUT_A_MILLION.contains(&got), "{got} bytes in 10 s");
    deliveries.driver.host.set_rates(Rates::default());
    deliveries.run(10_000);
    let all = u64::from(Deliveries::BLOCKS * Deliveries::BYTES);
    assert_eq!(deliveries.bytes[&1], all, "nothing holds it any more");
    assert_eq!(deliveries.driver.engine().poll_timeout_reason(), None);
}

#[test]
fn the_download_limit_of_a_session_holds_can_be_changed_and_ends_with_it() {
    let mut d = Deliveries::new(Rates::default(), [1, 2], Some(Deliveries::BYTES));
    d.driver.host.set_session_rate(d.session, Some(1));
    assert_eq!(d.run(10_000).values().sum::<u64>(), 10_000, "one block");
    d.driver.host.set_session_rate(d.session, Some(100_000));
    let got: u64 = d.run(10_000).values().sum();
    assert!(FIVE_PER_CENT_ABOUT_A_MILLION.contains(&got), "{got} bytes in 10 s");
    // Another session is not held back by it.
    let other = d.driver.session();
    let cid = *sized(Deliveries::BLOCKS + 1, 10).cid();
    d.driver.want(other, &[cid]);
    assert!(d.driver.take_sent().iter().any(|(_, asked, _)| *asked == cid));
    d.driver.close_session(d.session);
    d.driver.close_session(other);
    assert!(
        d.driver.engine().poll_timeout_reason().is_none_or(|(_, why)| why != TimerReason::Throttle)
    );
}

#[test]
fn a_session_begins_with_the_download_limit_of_its_options() {
    let mut driver = Driver::peers([1]);
    let options = SessionOptions { download: Some(1000), ..SessionOptions::default() };
    let session = driver.session_with(options);
    let want = |n| Want { cid: cid(n), priority: 0, size: Some(2000) };
    driver.host.want(session, [want(1), want(2)]).unwrap();
    driver.drain();
    assert_eq!(driver.take_sent(), [(1, cid(1), Sent::WantBlock)]);
    // One that is cancelled is given back.
    driver.cancel(session, cid(1));
    assert!(driver.take_sent().contains(&(1, cid(2), Sent::WantBlock)));
}

#[test]
fn a_want_that_nobody_can_serve_now_does_not_count_for_any_download_limit() {
    let slow = Some(1000);
    for (rates, of_session) in
        [(Rates { download: slow, ..Rates::default() }, None), (Rates::default(), slow)]
    {
        let mut d = Driver::with(Config::default().with_rates(rates));
        d.connect(1);
        let options = SessionOptions { download: of_session, ..SessionOptions::default() };
        let s = d.session_with(options);
        let want = |n| Want { cid: cid(n), priority: 0, size: Some(100_000) };
        d.host.want(s, [want(1), want(2)]).unwrap();
        d.drain();
        assert_eq!(d.take_sent(), [(1, cid(1), Sent::WantBlock)]);
        d.dont_have(1, cid(1));
        assert_eq!(d.take_sent(), [(1, cid(2), Sent::WantBlock)], "{rates:?}");
    }
}

#[test]
fn what_is_not_to_come_does_not_count_for_the_download_limit_of_a_peer_and_what_comes_does() {
    const BYTES: u32 = 1_000_000;
    let rates = Rates { download_per_peer: Some(10_000), ..Rates::default() };
    let mut d = Driver::with(Config::default().with_rates(rates));
    let cid = |n| *sized(n, BYTES as usize).cid();
    d.connect(1);
    let s = d.session();
    let want = |n| Want { cid: cid(n), priority: 0, size: Some(BYTES) };
    d.host.want(s, [want(1), want(2)]).unwrap();
    d.drain();
    assert_eq!(d.take_sent(), [(1, cid(1), Sent::WantBlock)], "and the next in a hundred seconds");
    d.dont_have(1, cid(1));
    assert_eq!(d.take_sent(), [(1, cid(2), Sent::WantBlock)]);
    d.cancel(s, cid(1));
    d.cancel(s, cid(2));
    d.pass(ms(1000));
    // It was on its way.
    d.block(1, &sized(2, BYTES as usize));
    d.take_sent();
    d.host.want(s, [want(3)]).unwrap();
    d.pass(ms(98_000));
    assert_eq!(d.take_sent(), []);
    d.pass(ms(2000));
    assert_eq!(d.take_sent(), [(1, cid(3), Sent::WantBlock)]);
}

#[test]
fn the_limits_hold_for_blocks_that_are_large_for_them_and_take_long() {
    const BYTES: u32 = 100_000;
    // A block a second, which takes half of one.
    let rate = Some(u64::from(BYTES));
    for (rates, of_session) in [
        (Rates { download: rate, ..Rates::default() }, None),
        (Rates { download_per_peer: rate, ..Rates::default() }, None),
        (Rates::default(), rate),
    ] {
        let mut d = Driver::unwatched(Config::default().with_rates(rates));
        d.connect(1);
        let options = SessionOptions { download: of_session, ..SessionOptions::default() };
        let session = d.session_with(options);
        let blocks: Vec<Block> = (0..200).map(|n| sized(n, BYTES as usize)).collect();
        let want = |block: &Block| Want { cid: *block.cid(), priority: 0, size: Some(BYTES) };
        d.host.want(session, blocks.iter().map(want)).unwrap();
        d.drain();
        let (mut got, mut under_way) = (0, VecDeque::new());
        let end = d.now + ms(100_000);
        while d.now < end {
            let asked = d.take_sent().into_iter();
            let asked = asked.filter(|(_, _, what)| *what == Sent::WantBlock);
            under_way.extend(asked.map(|(_, cid, _)| (d.now + ms(500), cid)));
            d.pass(ms(50));
            while under_way.front().is_some_and(|(at, _)| *at <= d.now) {
                let (_, cid) = under_way.pop_front().unwrap();
                d.block(1, blocks.iter().find(|block| *block.cid() == cid).unwrap());
                d.release_capacity(session, BYTES.into());
                got += 1;
            }
        }
        assert!((95..=105).contains(&got), "{rates:?} {of_session:?}: {got} in 100 s");
    }
}

#[test]
fn a_peer_that_is_held_to_a_rate_is_not_waited_for() {
    const BYTES: u32 = 100_000;
    let rates = Rates { download_per_peer: Some(10_000), ..Rates::default() };
    let mut d = Driver::with(Config::default().with_rates(rates));
    let cid = |n| *sized(n, BYTES as usize).cid();
    let want = |n| Want { cid: cid(n), priority: 0, size: Some(BYTES) };
    d.connect(1);
    let s = d.session();
    d.host.want(s, [want(1)]).unwrap();
    // It is quick, and has paid off what it was asked for.
    d.pass(ms(1));
    d.block(1, &sized(1, BYTES as usize));
    d.pass(ms(11_000));
    d.connect(2);
    d.take_sent();
    d.host.want(s, [want(2)]).unwrap();
    d.drain();
    assert!(d.take_sent().contains(&(1, cid(2), Sent::WantBlock)));
    d.host.want(s, [want(3)]).unwrap();
    d.drain();
    assert!(d.take_sent().contains(&(2, cid(3), Sent::WantBlock)));
}

#[test]
fn a_session_says_while_a_limit_of_download_holds_it_back() {
    let (all, each) = (
        Rates { download: Some(100_000), ..Rates::default() },
        Rates { download_per_peer: Some(100_000), ..Rates::default() },
    );
    for (rates, own, is_limited) in [
        (Rates::default(), None, false),
        (all, None, true),
        (each, None, true),
        (Rates::default(), Some(100_000), true),
    ] {
        let mut deliveries = Deliveries::new(rates, [1, 2], Some(Deliveries::BYTES));
        let (session, d) = (deliveries.session, &mut deliveries.driver);
        d.host.set_session_rate(session, own);
        assert!(!d.engine().is_rate_limited(session), "nothing was asked for yet");
        d.drain();
        assert_eq!(d.engine().is_rate_limited(session), is_limited, "{rates:?} {own:?}");
        let other = d.session();
        assert_eq!(d.engine().is_rate_limited(other), rates != Rates::default());
        d.host.close_session(session);
        assert!(!d.engine().is_rate_limited(session), "it is not there any more");
    }
}
