//! The client half: what we want, whom we asked, and whom to ask next.
//!
//! The state lies in parts with private fields, each with an invariant of its own:
//!
//! * [`want_table`]: what is wanted, by which sessions ([`session_want`]), and what each peer knows of it
//!   ([`peer_want`]);
//! * [`session`]: a session's wants by stage ([`want_queue`]), the peers that it was given ([`given_peers`]) and those
//!   that it works with ([`session_peers`]), its window;
//! * [`peers`]: connected peers ([`peer_state`]), what is measured of them ([`delivery_estimator`]) and when they deliver
//!   ([`punctuality`]), how much each is asked for at once ([`request_window`]), what it is still to be sent
//!   ([`message_queue`]), and whether it can be asked ([`reachability`], [`throttle`]);
//! * [`schedule`], [`unserved`]: which session asks next; [`provider_search`]: lookups; [`timers`].
//!
//! [`Client`] owns the parts and is the only one that changes several of them together. Its methods are
//! sorted by what happens: [`commands`] of the user; limits of [`download`]; [`requests`] to peers, with [`peer_selection`] saying which;
//! [`preference`], where a session keeps to some of them; [`end_game`], where slow ones are relieved; [`peer_wants`], the steps that requests are made of; [`messages`] that are composed; [`answers`] of peers;
//! [`search`] when nobody helps; [`completion`] of wants; [`introspection`].
//!
//! A want that is asked has a request with a deadline, a wait for want-haves, or a decision about it is due;
//! every other want is in a list of its session, whose search timer is armed. So no want is ever left without
//! something that will move it. `Client::validate` checks this and what no part can check alone.

mod answers;
mod commands;
mod completion;
mod delivery_estimator;
mod download;
mod end_game;
mod given_peers;
mod introspection;
pub(crate) mod memory_bound;
mod message_queue;
mod messages;
mod options;
mod peer_selection;
mod peer_state;
mod peer_want;
mod peer_wants;
mod peers;
mod preference;
mod provider_search;
mod punctuality;
mod reachability;
mod request_window;
mod requests;
mod schedule;
mod search;
mod session;
mod session_peers;
mod session_want;
mod throttle;
mod timers;
mod unserved;
mod want_queue;
mod want_table;

pub(crate) use options::{Options, PeerRule};
pub use options::{PeerSet, SessionOptions, WhenMissing};
pub(crate) use session::Session;

use core::time::Duration;

use cid::Cid;

use crate::block::Block;
use crate::config::Config;
use crate::error::OpenError;
use crate::message::{Message, Version};
use crate::output::{PeerHistory, ProtocolSupport, WantFailure};
use crate::peer::Peer;
use crate::rng::Rng;
use crate::stats::{Fetched, TimerReason};
use crate::time::Timestamp;
use crate::util::deque::Deque;
use crate::util::rows::{Id, Ref, Rows};
use peer_state::PeerState;
use peers::Peers;
use provider_search::Lookups;
use schedule::Schedule;
use session_want::End;
use throttle::Throttle;
use timers::Timers;
use want_table::WantTable;

/// What the client half wants done.
#[derive(Debug)]
pub(crate) enum Output {
    Open(Ref<Peer>),
    Close(Ref<Peer>),
    Send { peer: Ref<Peer>, seq: u32, version: Version, message: Message },
    FindProviders { id: u64, session: Id<Session>, cid: Cid },
    StopLookup { id: u64 },
    Block { session: Id<Session>, block: Block, from: Id<Peer> },
    Stored { session: Id<Session>, cid: Cid },
    Failed { session: Id<Session>, cid: Cid, reason: WantFailure<Ref<Peer>> },
    Unreachable { peer: Ref<Peer>, error: OpenError },
}

/// The client half.
#[derive(Debug)]
pub(crate) struct Client {
    config: Config,
    rng: Rng,
    wants: WantTable,
    sessions: Rows<Session>,
    peers: Peers,
    schedule: Schedule,
    lookups: Lookups,
    timers: Timers,
    /// Sessions that are to be told of ended wants.
    reporting: Deque<Ref<Session>>,
    outbox: Deque<Output>,
    /// When a search last found no room for more peer wants.
    full_at: Option<Timestamp>,
    /// The download limit of all peers together.
    download: Throttle,
    fetched: Fetched,
    is_shut_down: bool,
}

impl Client {
    pub(crate) fn new(config: &Config, seed: &[u8; 32], now: Timestamp) -> Self {
        Self {
            rng: Rng::new(seed, "client"),
            wants: WantTable::new(seed),
            sessions: Rows::default(),
            peers: Peers::default(),
            schedule: Schedule::default(),
            lookups: Lookups::default(),
            timers: Timers::default(),
            reporting: Deque::default(),
            outbox: Deque::default(),
            full_at: None,
            download: Throttle::new(config.rates.download, now),
            fetched: Fetched::default(),
            is_shut_down: false,
            config: config.clone(),
        }
    }

    // Peers come, go and change.

    pub(crate) fn connected(
        &mut self,
        peer: Id<Peer>,
        history: Option<PeerHistory>,
        now: Timestamp,
    ) {
        let throttle = Throttle::new(self.config.rates.download_per_peer, now);
        self.peers.insert(PeerState::new(peer, history, self.config.open_retry, throttle, now));
        self.schedule.peer_can_be_asked();
    }

    pub(crate) fn disconnected(&mut self, peer: Ref<Peer>, now: Timestamp) -> Option<PeerHistory> {
        self.give_up_peer(peer, now);
        let state = self.peers.remove(peer)?;
        self.timers.set_peer(peer, state.timer(), None);
        self.timers.peer_throttles.set(peer, state.throttle().opens_at(), None);
        // The next peer in this place is another one.
        let is_about = |output: &Output| matches!(output, Output::Unreachable { peer: other, .. } if *other == peer);
        self.outbox.retain(|output| !is_about(output));
        self.schedule.peer_has_room();
        self.release();
        Some(state.history())
    }

    pub(crate) fn support(&mut self, peer: Ref<Peer>, support: ProtocolSupport, now: Timestamp) {
        let Some(state) = self.peers.get_mut(peer) else { return };
        let is_news = state.set_support(support);
        match support {
            ProtocolSupport::No => self.give_up_peer(peer, now),
            ProtocolSupport::Yes if is_news || state.stream().is_refused() => {
                state.stream_mut().revive();
            }
            _ => {}
        }
        self.refresh_peer(peer);
    }

    /// A round trip of its connection took so long.
    pub(crate) fn round_trip(&mut self, peer: Ref<Peer>, took: Duration, now: Timestamp) {
        let Some(state) = self.peers.get_mut(peer) else { return };
        if state.set_round_trip(took) {
            self.expect_first(peer, now);
            self.refresh_peer(peer);
        }
    }

    /// Something about a peer has changed that may decide whether it can be asked.
    fn refresh_peer(&mut self, peer: Ref<Peer>) {
        if self.peers.refresh(peer) {
            self.schedule.peer_can_be_asked();
        }
    }

    // Outputs and time.

    /// The next output that is due at `now`; runs timers that are due.
    pub(crate) fn poll(&mut self, now: Timestamp) -> Option<Output> {
        self.run_timers(now);
        let mut asked = 0;
        loop {
            if let Some(output) = self.outbox.pop_front() {
                return Some(output);
            }
            if let Some(output) = self.next_ended() {
                return Some(output);
            }
            // Long batches are sent in parts, so that no call is long.
            let more = if self.decide_next(now) { 1 } else { self.dispatch_next(now) };
            asked += more;
            if more > 0 && asked < requests::BATCH {
                continue;
            }
            let message = self.next_message(now);
            if message.is_some() {
                return message;
            }
            // What was decided here may have armed a timer that is due already, or made a decision due.
            if more == 0 && !self.run_timers(now) && !self.has_work(now) {
                return None;
            }
            asked = 0;
        }
    }

    /// The next peer whose connection is needed now for a want and was not before, or the reverse.
    pub(crate) fn next_changed_need(&mut self) -> Option<Ref<Peer>> {
        self.peers.next_changed_need()
    }

    /// Whether the connection to a peer is needed: a want is to be sent to it, or was sent and has not ended.
    pub(crate) fn is_needed(&self, peer: Ref<Peer>) -> bool {
        self.peers.is_needed(peer)
    }

    /// A decision is due, or a session may ask.
    fn has_work(&mut self, now: Timestamp) -> bool {
        self.wants.has_undecided() || self.schedule.has_work(now)
    }

    /// Runs all timers that are due; false when there is none.
    fn run_timers(&mut self, now: Timestamp) -> bool {
        let mut any = false;
        while let Some(at) = self.timers.requests.pop(now) {
            self.deadline_passed(at, now);
            any = true;
        }
        while let Some(want) = self.timers.presence_waits.pop(now) {
            if let Some(row) = self.wants.want_mut(want) {
                row.set_presence_wait(None);
            }
            self.wants.set_undecided(want);
            any = true;
        }
        while let Some(at) = self.timers.expiries.pop(now) {
            if let Some(row) = self.wants.session_want_mut(at) {
                row.take_expiry();
            }
            self.end(at, End::TimedOut, 0, now);
            any = true;
        }
        while let Some(session) = self.timers.searches.pop(now) {
            self.search(session, now);
            any = true;
        }
        while let Some(peer) = self.timers.pop_peer(now) {
            self.peer_is_due(peer, now);
            any = true;
        }
        any |= self.open_throttles(now);
        any |= self.schedule.room_is_due(now);
        any
    }

    /// The next moment at which something is due without any input, and why.
    pub(crate) fn poll_timeout(&self) -> Option<(Timestamp, TimerReason)> {
        [
            self.timers.first(),
            self.download.opens_at().map(|at| (at, TimerReason::Throttle)),
            self.schedule.room_at().map(|at| (at, TimerReason::Room)),
            self.schedule.unserved().due_at().map(|at| (at, TimerReason::Room)),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    // Steps that several of the others take.

    fn set_ready(&mut self, session: Ref<Session>) {
        if let Some(row) = self.sessions.at_mut(session) {
            self.schedule.set_ready(session, row);
        }
    }

    /// Has a session wait until its peers have room.
    fn set_blocked(&mut self, session: Ref<Session>) {
        if let Some(row) = self.sessions.at_mut(session) {
            self.schedule.set_blocked(session, row);
        }
    }

    /// Gives up what empty sets keep for the next time, if there is nobody for whom it could be.
    fn release(&mut self) {
        if self.peers.len() == 0 && self.sessions.len() == 0 {
            self.timers.release();
            self.lookups.release();
            self.schedule.release();
        }
    }
}
