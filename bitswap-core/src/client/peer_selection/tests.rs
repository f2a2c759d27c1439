use core::time::Duration;

use super::*;
use crate::client::given_peers::GivenPeers;
use crate::client::options::{Options, PeerRule, WhenMissing};
use crate::client::peer_state::PeerState;
use crate::client::throttle::Throttle;
use crate::message::Version;
use crate::output::ProtocolSupport;
use crate::time::Timestamp;

const START: Timestamp = Timestamp::ZERO;
const SIZE: u32 = 256 << 10;

fn session(rule: PeerRule) -> Session {
    let when_missing = WhenMissing::Wait;
    let (window_bytes, want_timeout, find_providers) = (1 << 20, None, false);
    let download = None;
    let options = Options { window_bytes, when_missing, want_timeout, find_providers, download };
    Session::new(options, GivenPeers::new(rule, START), START)
}

/// Some connected peers, a session and a want that nobody was told of.
struct World {
    config: Config,
    wants: WantTable,
    peers: Peers,
    session: Session,
    preferred_alone: bool,
    want: Ref<Want>,
    rng: Rng,
}

fn peer(place: u32) -> Id<Peer> {
    Id::from_bits(1 << 32 | u64::from(place))
}

impl World {
    fn new(peers: u32) -> Self {
        let mut table = Peers::default();
        for place in 0..peers {
            table.insert(PeerState::new(
                peer(place),
                None,
                Duration::from_secs(1),
                Throttle::default(),
                START,
            ));
        }
        let cid = cid::multihash::Multihash::wrap(0x12, &[7; 32]).unwrap();
        let mut wants = WantTable::new(&[1; 32]);
        let want = wants.find_or_insert(&cid::Cid::new_v1(0x55, cid));
        Self {
            config: Config::default(),
            wants,
            peers: table,
            session: session(PeerRule::Any),
            preferred_alone: false,
            want,
            rng: Rng::new(&[1; 32], "test"),
        }
    }

    fn state(&mut self, place: u32) -> &mut PeerState {
        self.peers.get_mut(peer(place).at()).unwrap()
    }

    /// The peer delivered a block to the session after so many milliseconds.
    fn served(&mut self, place: u32, ms: u64) {
        let state = self.state(place);
        state.fetched_mut().bytes += u64::from(SIZE);
        state.punctuality_mut().measure(
            u64::from(SIZE),
            START,
            0,
            START + Duration::from_millis(ms),
        );
        self.session.peers_mut().serve(peer(place), true);
    }

    /// The peer said HAVE of another want after so many milliseconds.
    fn said_have(&mut self, place: u32, ms: u64) {
        self.state(place).punctuality_mut().answered(Duration::from_millis(ms));
        self.session.peers_mut().learn(peer(place), true);
    }

    fn select(&mut self, purpose: Purpose, count: usize) -> Selected {
        let Self { config, wants, peers, session, preferred_alone, want, rng } = self;
        let request = Request { want: Some(*want), size: SIZE, purpose, count };
        let preferred_alone = *preferred_alone;
        Selector { config, wants, peers, session, preferred_alone }.select(request, rng)
    }

    fn first(&mut self) -> Id<Peer> {
        self.select(Purpose::Block, 1).peers[0].peer
    }
}

#[test]
fn the_peer_that_delivers_soonest_is_the_first_choice() {
    let mut world = World::new(3);
    for (place, ms) in [(0, 30), (1, 10), (2, 20)] {
        world.served(place, ms);
    }
    let selected = world.select(Purpose::Block, 2);
    let order: Vec<_> = selected.peers.iter().map(|candidate| candidate.peer).collect();
    assert_eq!(order, [peer(1), peer(2)]);
    assert!(!selected.is_busy && selected.peers.iter().all(|candidate| candidate.is_proven));
}

#[test]
fn a_peer_that_often_lacks_blocks_is_no_first_choice() {
    let mut world = World::new(2);
    world.served(0, 10);
    world.served(1, 15);
    for _ in 0..5 {
        world.session.peers_mut().learn(peer(0), false);
    }
    assert_eq!(world.first(), peer(1));
}

#[test]
fn silence_makes_a_peer_three_times_as_slow() {
    let mut world = World::new(2);
    world.served(0, 10);
    world.served(1, 20);
    world.state(0).punctuality_mut().missed_deadline();
    assert_eq!(world.first(), peer(1));
}

#[test]
fn a_late_want_waits_for_a_busy_peer_that_delivers_and_not_for_one_that_has_fallen_silent() {
    let mut world = World::new(3);
    world.served(0, 10);
    for _ in 0..8 {
        world.state(0).charge(SIZE, false, START);
    }
    world.session.peers_mut().add(peer(1));
    // It was asked of the third, and is late there.
    let asked = world.wants.add_peer_want(PeerWant::new(world.want, peer(2).at(), START));
    world.wants.peer_want_mut(asked).unwrap().time_out();
    world.wants.want_mut(world.want).unwrap().count_round();
    let selected = world.select(Purpose::Block, 1);
    assert!(selected.peers.is_empty() && selected.is_busy, "the first will bring it: {selected:?}");
    world.state(0).punctuality_mut().missed_deadline();
    assert_eq!(world.first(), peer(1));
}

#[test]
fn members_come_first_and_strangers_when_they_do_not_suffice() {
    let mut world = World::new(4);
    world.session.peers_mut().add(peer(2));
    assert_eq!(world.first(), peer(2));
    let selected = world.select(Purpose::Block, 3);
    assert_eq!(selected.peers.len(), 3);
    assert_eq!(world.select(Purpose::Presence, 9).peers.len(), 4);
}

#[test]
fn nobody_is_asked_who_is_not_allowed_or_cannot_be() {
    let mut world = World::new(3);
    world.session = session(PeerRule::Only);
    assert!(world.select(Purpose::Block, 3).peers.is_empty());
    world.session.given_mut().admit(peer(1), |_| true);
    assert_eq!(world.first(), peer(1));
    world.state(1).set_support(ProtocolSupport::No);
    let selected = world.select(Purpose::Block, 3);
    assert!(selected.peers.is_empty() && !selected.is_busy);
}

#[test]
fn while_the_preferred_are_asked_alone_no_other_counts_for_anything() {
    let mut world = World::new(3);
    world.session = session(PeerRule::Prefer { named: 1 });
    world.session.given_mut().admit(peer(1), |_| true);
    world.session.peers_mut().add(peer(1));
    assert_eq!(world.select(Purpose::Block, 3).peers.len(), 3);
    world.preferred_alone = true;
    let selected = world.select(Purpose::Block, 3).peers;
    assert_eq!(selected.iter().map(|it| it.peer).collect::<Vec<_>>(), [peer(1)]);
    // Another delivers, and speaks a version that can say what it lacks.
    world.served(0, 10);
    let state = world.state(1);
    state.stream_mut().open(START);
    state.stream_mut().opened(Ok(Version::V1_0), START);
    assert_eq!(world.first(), peer(1));
    // A preferred peer was late with it: the next one need not have delivered anything because another did.
    world.wants.add_peer_want(PeerWant::new(world.want, peer(2).at(), START));
    world.wants.want_mut(world.want).unwrap().count_round();
    assert_eq!(world.first(), peer(1));
}

#[test]
fn a_peer_without_room_is_busy() {
    let mut world = World::new(1);
    world.state(0).charge(2 << 20, false, START);
    let selected = world.select(Purpose::Block, 1);
    assert!(selected.peers.is_empty() && selected.is_busy);
}

#[test]
fn a_peer_that_promises_to_be_much_sooner_is_tried_beside_the_first_choice() {
    let mut world = World::new(2);
    world.served(0, 150);
    world.said_have(1, 2);
    let selected = world.select(Purpose::Block, 1);
    assert_eq!(selected.peers[0].peer, peer(0), "nothing is measured of the other");
    assert_eq!(selected.trial.map(|trial| trial.peer), Some(peer(1)));
    world.said_have(1, 2);
    world.served(1, 200);
    assert!(world.select(Purpose::Block, 1).trial.is_none(), "it was found out");
}

#[test]
fn no_peer_is_tried_that_promises_little_or_has_shown_nothing() {
    let mut world = World::new(3);
    world.served(0, 150);
    world.said_have(1, 10);
    world.state(2).punctuality_mut().answered(Duration::from_millis(1));
    world.session.peers_mut().add(peer(2));
    assert!(world.select(Purpose::Block, 1).trial.is_none());
}

#[test]
fn where_a_block_too_many_hardly_counts_a_peer_is_tried_that_promises_less() {
    let mut world = World::new(2);
    world.served(0, 150);
    world.said_have(1, 30);
    assert!(world.select(Purpose::Block, 1).trial.is_none(), "first blocks take longer than HAVE");
    for _ in 0..8 {
        world.session.peers_mut().first_choice_was(true);
    }
    let trial = world.select(Purpose::Block, 1).trial;
    assert_eq!(trial.map(|trial| trial.peer), Some(peer(1)));
}

#[test]
fn a_probe_is_of_a_peer_that_the_session_has_not_heard_of() {
    let mut world = World::new(5);
    world.served(0, 150);
    world.said_have(1, 10);
    world.session.peers_mut().learn(peer(2), false);
    // What it was asked was perhaps never sent.
    world.session.peers_mut().probe(peer(3));
    let probed = world.select(Purpose::Probe, 4).peers;
    let mut probed: Vec<_> = probed.iter().map(|probed| probed.peer).collect();
    probed.sort_unstable();
    assert_eq!(probed, [peer(3), peer(4)]);
}

#[test]
fn who_explores_tries_whoever_may_be_sooner_and_only_now_and_then() {
    let mut world = World::new(2);
    let right_choices = |world: &mut World| {
        (0..8).for_each(|_| world.session.peers_mut().first_choice_was(true));
    };
    let choices = |world: &mut World| {
        let selected = world.select(Purpose::Block, 1);
        (selected.peers[0].peer, selected.trial.map(|trial| trial.peer))
    };
    // A little sooner, but less likely to have it.
    world.served(1, 130);
    world.served(0, 150);
    (0..4).for_each(|_| world.session.peers_mut().learn(peer(0), true));
    assert_eq!(choices(&mut world), (peer(0), None));
    right_choices(&mut world);
    assert_eq!(choices(&mut world), (peer(0), Some(peer(1))));
    world.session.peers_mut().try_out(peer(1));
    assert_eq!(choices(&mut world), (peer(0), None), "not before their number has doubled");
    right_choices(&mut world);
    assert_eq!(choices(&mut world), (peer(0), Some(peer(1))));
    (0..40).for_each(|_| world.served(0, 10));
    assert_eq!(choices(&mut world), (peer(0), None), "nobody may be sooner");
}

#[test]
fn no_block_is_asked_of_an_unreliable_peer_that_a_busy_one_is_likely_to_bring_sooner() {
    let mut world = World::new(2);
    world.served(0, 100);
    world.served(1, 800);
    for _ in 0..8 {
        world.state(0).charge(SIZE, false, START);
    }
    assert!(!world.state(0).has_room(SIZE, 1000, false), "the first one is busy");
    assert_eq!(world.first(), peer(1), "it may take longer, but is there");
    world.session.peers_mut().learn(peer(1), false);
    world.session.peers_mut().learn(peer(1), false);
    let selected = world.select(Purpose::Block, 1);
    assert!(selected.peers.is_empty() && selected.is_busy, "{selected:?}");
}

#[test]
fn nobody_waits_for_a_busy_peer_that_owes_nothing() {
    let mut world = World::new(2);
    world.served(0, 1);
    world.session.peers_mut().learn(peer(1), false);
    world.config.limits.sent_wants_per_peer = 0;
    world.state(0).charge(SIZE, false, START);
    let waits = |world: &mut World| world.select(Purpose::Block, 1).soonest.is_some();
    assert!(waits(&mut world), "its places are free once it has delivered");
    world.state(0).refund(SIZE, false);
    assert!(!waits(&mut world), "its places are taken by what it has answered");
}

#[test]
fn a_sample_is_as_many_blocks_of_each_peer() {
    assert_eq!(sample_bytes(4, 16 << 10), 4 * 5 * (16 << 10));
    assert_eq!(sample_bytes(16, 1 << 20), 16 << 20, "one at least");
    assert_eq!(sample_bytes(0, 0), SAMPLE_BYTES);
}
