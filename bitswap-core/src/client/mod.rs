//! The client half: what we want, whom we told, and whom to ask next.
//!
//! * `table`: the rows: wants, the sessions' interests in them, and pairs of a want and a peer.
//! * `session`, `contact`: what is kept of a session and of a peer.
//! * `wish`: the user's wishes come and go.
//! * `lists`, `ends`: what is queued, asked and waiting; what is over, and who is told of it.
//! * `ask`, `pick`: which peers are asked for a want, and when more of them are.
//! * `tell`: messages are composed when a peer's lane has room.
//! * `receive`: what peers answer.
//! * `deadline`, `search`: what happens when they do not.
//! * `standing`, `unserved`: who can be asked, and the sessions that had nobody to ask.
//! * `query`: what can be asked of this half, and what it holds.
//!
//! Invariants: a want that is asked has a request with a deadline, a lingering question or an entry
//! in the list of undecided wants; every other want is in a list of its session, whose search timer
//! is armed. So no want is ever left without something that will move it.

mod ask;
pub(crate) mod bound;
mod contact;
mod deadline;
mod ends;
mod lists;
mod options;
mod pairs;
mod pick;
mod query;
mod receive;
mod search;
mod session;
mod standing;
mod table;
mod tell;
mod unserved;
mod wish;

pub use options::{PeerSet, SessionOptions, WhenMissing};

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use cid::Cid;

use crate::block::Block;
use crate::bucket::Bucket;
use crate::config::Config;
use crate::error::OpenError;
use crate::index::{Hash, Index};
use crate::key::Key;
use crate::message::{Message, Version};
use crate::output::{Hint, Rates, Support, WantFailure};
use crate::per_peer::PerPeer;
use crate::ring::Ring;
use crate::rng::Rng;
use crate::rows::{Id, NONE, Rows};
use crate::stats::{Fetched, TimerReason};
use crate::time::Timestamp;
use contact::Contact;
pub(crate) use options::Options;
use session::Session;
use standing::{Standing, Standings};
use table::{Interest, Linked, Pair, WantRow};
use unserved::Unserved;

/// What the client half wants done. Peers are named by their place in the engine's table.
#[derive(Debug)]
pub(crate) enum Output {
    Open(u32),
    Close(u32),
    Send { peer: u32, seq: u32, version: Version, message: Message },
    FindProviders { id: u64, session: Id, cid: Cid },
    StopLookup { id: u64 },
    Block { session: Id, block: Block, from: Id },
    Stored { session: Id, cid: Cid },
    Failed { session: Id, cid: Cid, reason: WantFailure<u32> },
    Unreachable { peer: u32, error: OpenError },
}

/// The client half.
#[derive(Debug)]
pub(crate) struct Client {
    config: Config,
    rng: Rng,
    index: Index,
    wants: Rows<WantRow>,
    interests: Rows<Interest>,
    pairs: Rows<Pair>,
    sessions: Rows<Session>,
    peers: PerPeer<Contact>,
    /// Wants in need of a decision, first and last.
    undecided: (u32, u32),
    /// Sessions that may be able to ask.
    ready: VecDeque<u32>,
    /// Sessions that could ask if their peers had room, the one that has waited longest first.
    blocked: Ring,
    /// A peer has gained room since the blocked sessions were last looked at.
    room: bool,
    /// When blocked sessions that were passed over are looked at again.
    room_at: Option<Timestamp>,
    /// When a search last found no room for more pairs.
    full_at: Option<Timestamp>,
    /// Sessions with wants that no peer can be asked for.
    unserved: Unserved,
    /// How many peers there are of each standing.
    standings: Standings,
    /// Sessions with something to tell.
    telling: VecDeque<u32>,
    /// Peers that may have something to say.
    speaking: VecDeque<u32>,
    outbox: VecDeque<Output>,
    /// Deadlines of requests, by pair.
    deadlines: BTreeSet<(Timestamp, u32)>,
    /// Wants whose next guess waits for answers already asked for.
    lingers: BTreeSet<(Timestamp, u32)>,
    /// Search timers, by session.
    searches: BTreeSet<(Timestamp, u32)>,
    /// Times that interests are up.
    expiries: BTreeSet<(Timestamp, u32)>,
    /// Timers of peers' lanes and cancels.
    timers: BTreeSet<(Timestamp, u32)>,
    lookups: BTreeMap<u64, u32>,
    next_lookup: u64,
    /// The download limit, and when it lets more through while something waits for it.
    download: Option<Bucket>,
    download_at: Option<Timestamp>,
    fetched: Fetched,
    /// Wants that have not ended.
    live: u32,
    shut_down: bool,
}

impl Client {
    pub(crate) fn new(config: &Config, seed: &[u8; 32], now: Timestamp) -> Self {
        Self {
            rng: Rng::new(seed, "client"),
            index: Index::new(seed, "wants"),
            wants: Rows::default(),
            interests: Rows::default(),
            pairs: Rows::default(),
            sessions: Rows::default(),
            peers: PerPeer::default(),
            undecided: (NONE, NONE),
            ready: VecDeque::new(),
            blocked: Ring::default(),
            room: false,
            room_at: None,
            full_at: None,
            unserved: Unserved::default(),
            standings: Standings::default(),
            telling: VecDeque::new(),
            speaking: VecDeque::new(),
            outbox: VecDeque::new(),
            deadlines: BTreeSet::new(),
            lingers: BTreeSet::new(),
            searches: BTreeSet::new(),
            expiries: BTreeSet::new(),
            timers: BTreeSet::new(),
            lookups: BTreeMap::new(),
            next_lookup: 0,
            download: config.rates.download.map(|rate| Bucket::new(rate, now)),
            download_at: None,
            fetched: Fetched::default(),
            live: 0,
            shut_down: false,
            config: config.clone(),
        }
    }

    pub(crate) fn connected(&mut self, peer: Id, hint: Option<Hint>, now: Timestamp) {
        let contact = Contact::new(peer, hint, self.config.open_retry, now);
        self.peers.insert(peer.index, contact);
        self.standings.add(Standing::Askable);
        self.peer_can_be_asked();
    }

    pub(crate) fn disconnected(&mut self, peer: u32, now: Timestamp) -> Option<Hint> {
        self.drop_pairs(peer, now);
        let contact = self.peers.remove(peer)?;
        self.standings.remove(contact.standing);
        if let Some(at) = contact.timer {
            self.timers.remove(&(at, peer));
        }
        // The next peer in this place is another one.
        self.outbox.retain(
            |output| !matches!(output, Output::Unreachable { peer: other, .. } if *other == peer),
        );
        if self.outbox.is_empty() {
            self.outbox = VecDeque::new();
        }
        self.room = true;
        self.release();
        Some(contact.hint())
    }

    /// Lets go of what empty sets keep for the next time, if there is nobody for whom it could be.
    fn release(&mut self) {
        if self.peers.len() > 0 || self.sessions.len() > 0 {
            return;
        }
        let timers = [&mut self.lingers, &mut self.searches, &mut self.expiries, &mut self.timers];
        for set in timers.into_iter().chain([&mut self.deadlines]) {
            if set.is_empty() {
                *set = BTreeSet::new();
            }
        }
        if self.lookups.is_empty() {
            self.lookups = BTreeMap::new();
        }
        self.blocked.release();
        self.unserved.release();
    }

    pub(crate) fn support(&mut self, peer: u32, support: Support, now: Timestamp) {
        let Some(contact) = self.peers.get_mut(peer) else { return };
        let before = core::mem::replace(&mut contact.support, support);
        match support {
            Support::No => self.drop_pairs(peer, now),
            Support::Yes if before != support || contact.lane.is_refused() => contact.lane.revive(),
            _ => {}
        }
        self.update_standing(peer);
    }

    pub(crate) fn set_rates(&mut self, rates: Rates, now: Timestamp) {
        self.download = rates.download.map(|rate| Bucket::new(rate, now));
        self.download_at = None;
        self.room = true;
    }

    pub(crate) fn shutdown(&mut self, now: Timestamp) {
        self.shut_down = true;
        let sessions: Vec<u32> = self.sessions.iter().map(|(id, _)| id.index).collect();
        for session in sessions {
            self.fail_all(session, table::End::ShutDown, now);
        }
    }

    /// The next output that is due at `now`; runs timers that are due.
    pub(crate) fn poll(&mut self, now: Timestamp) -> Option<Output> {
        self.run_timers(now);
        let mut asked = 0;
        loop {
            if let Some(output) = self.outbox.pop_front() {
                if self.outbox.is_empty() {
                    self.outbox = VecDeque::new();
                }
                return Some(output);
            }
            if let Some(output) = self.next_ended() {
                return Some(output);
            }
            // Long batches are told in parts, so that no call is long.
            let more = if self.decide_next(now) { 1 } else { self.dispatch_next(now) };
            asked += more;
            if more > 0 && asked < ask::BATCH {
                continue;
            }
            let said = self.speak_next(now);
            if said.is_some() {
                return said;
            }
            // What was decided here may have armed a timer that is due already, or opened a question.
            if more == 0 && !self.run_timers(now) && !self.has_work(now) {
                return None;
            }
            asked = 0;
        }
    }

    /// Something is to be decided, or may be asked.
    fn has_work(&mut self, now: Timestamp) -> bool {
        self.undecided.0 != NONE || !self.ready.is_empty() || self.room || self.unserved.is_due(now)
    }

    /// A peer is new, or can be asked again: sessions that had nobody to ask, or whose peers were busy,
    /// may ask it.
    fn peer_can_be_asked(&mut self) {
        self.unserved.peer_can_be_asked();
        self.room = true;
    }

    /// Something about a peer has changed that may decide whether it can be asked.
    fn update_standing(&mut self, peer: u32) {
        let Some(contact) = self.peers.get_mut(peer) else { return };
        let standing = Standing::of(contact);
        let before = core::mem::replace(&mut contact.standing, standing);
        if before != standing {
            self.standings.remove(before);
            self.standings.add(standing);
            if standing == Standing::Askable {
                self.peer_can_be_asked();
            }
        }
    }

    fn set_ready(&mut self, index: u32) {
        let Some(session) = self.sessions.at_mut(index) else { return };
        self.blocked.remove(session.blocked.take());
        self.unserved.remove(&mut session.unserved);
        if !session.ready {
            session.ready = true;
            self.ready.push_back(index);
        }
    }

    /// Has a session wait until its peers have room, behind those that wait already.
    fn set_blocked(&mut self, index: u32) {
        if let Some(session) = self.sessions.at_mut(index) {
            self.unserved.remove(&mut session.unserved);
            self.blocked.push(index, &mut session.blocked);
        }
    }

    fn set_speaking(&mut self, peer: u32) {
        if let Some(contact) = self.peers.get_mut(peer)
            && !contact.speaking
        {
            contact.speaking = true;
            self.speaking.push_back(peer);
        }
    }

    fn set_undecided(&mut self, want: u32) {
        let Some(row) = self.wants.at_mut(want) else { return };
        if row.undecided {
            return;
        }
        row.undecided = true;
        row.next_undecided = NONE;
        match self.wants.at_mut(self.undecided.1) {
            Some(last) => last.next_undecided = want,
            None => self.undecided.0 = want,
        }
        self.undecided.1 = want;
    }

    fn find_want(&self, hash: Hash, bytes: &[u8]) -> Option<u32> {
        self.index.find(hash, |row| self.wants.at(row).is_some_and(|row| row.key.bytes() == bytes))
    }

    fn want_of(&self, cid: &Cid) -> Option<u32> {
        let key = Key::new(cid);
        self.find_want(self.index.hash(key.bytes(), 0), key.bytes())
    }

    /// The interests in a want, first to last.
    fn interests_in(&self, want: u32) -> impl Iterator<Item = (u32, &Interest)> {
        let mut next = self.wants.at(want).map_or(NONE, |row| row.interests);
        core::iter::from_fn(move || {
            let at = next;
            let interest = self.interests.at(at)?;
            next = interest.next_of_want;
            Some((at, interest))
        })
    }

    /// The pairs of a want, latest first.
    fn pairs_of(&self, want: u32) -> impl Iterator<Item = (u32, &Pair)> {
        let mut next = self.wants.at(want).map_or(NONE, |row| row.pairs);
        core::iter::from_fn(move || {
            let at = next;
            let pair = self.pairs.at(at)?;
            next = pair.next_of_want;
            Some((at, pair))
        })
    }

    /// The next moment at which something is due without any input.
    pub(crate) fn poll_timeout(&self) -> Option<(Timestamp, TimerReason)> {
        let first = |set: &BTreeSet<(Timestamp, u32)>| set.first().map(|(at, _)| *at);
        [
            (first(&self.deadlines), TimerReason::Request),
            (first(&self.lingers), TimerReason::Request),
            (first(&self.searches), TimerReason::Search),
            (first(&self.expiries), TimerReason::WantTimeout),
            (first(&self.timers), TimerReason::LaneIdle),
            (self.download_at, TimerReason::Throttle),
            (self.room_at, TimerReason::Request),
            (self.unserved.due_at(), TimerReason::Request),
        ]
        .into_iter()
        .filter_map(|(at, reason)| Some((at?, reason)))
        .min()
    }
}

/// The rows of a list, first to last.
fn list_of<T: Linked>(rows: &Rows<T>, head: u32) -> impl Iterator<Item = u32> {
    let mut next = head;
    core::iter::from_fn(move || {
        let at = next;
        next = rows.at(at)?.next();
        Some(at)
    })
}
