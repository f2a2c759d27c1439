//! A session: wants that belong together, the peers that serve them, and how much may be under way.

use core::time::Duration;

use super::given_peers::GivenPeers;
use super::options::{Options, WhenMissing};
use super::provider_search::SearchState;
use super::schedule::Place;
use super::session_peers::SessionPeers;
use super::session_want::{End, SessionWant, Stage};
use super::throttle::Throttle;
use super::want_queue::WantQueue;
use crate::memory::tree;
use crate::stats::SessionStats;
use crate::time::Timestamp;
use crate::util::rows::{Ref, Rows};

/// Size assumed of a block before the session has seen one, in bytes.
const SIZE_GUESS: u32 = 16 << 10;
/// Requests that may be hedged before a session has asked for anything.
const FIRST_HEDGES: u64 = 2;

/// One session. Its window bounds the estimated bytes of the wants that are asked and the bytes that were
/// delivered and not released.
#[derive(Debug)]
pub(crate) struct Session {
    options: Options,
    wants: WantQueue,
    given: GivenPeers,
    peers: SessionPeers,
    search: SearchState,
    throttle: Throttle,
    place: Place,
    /// Bytes delivered and not released by the user.
    unreleased: u64,
    /// Requests that got a second peer before their deadline.
    hedges: u64,
    blocks: u64,
    bytes: u64,
    /// The size of its latest blocks, smoothed.
    recent: u32,
    /// It is among the sessions that are to be told of ended wants.
    is_reporting: bool,
}

impl Session {
    pub(super) fn new(options: Options, given: GivenPeers, now: Timestamp) -> Self {
        Self {
            throttle: Throttle::new(options.download, now),
            options,
            wants: WantQueue::default(),
            given,
            peers: SessionPeers::new(),
            search: SearchState::default(),
            place: Place::default(),
            unreleased: 0,
            hedges: 0,
            blocks: 0,
            bytes: 0,
            recent: 0,
            is_reporting: false,
        }
    }

    pub(super) const fn wants(&self) -> &WantQueue {
        &self.wants
    }

    pub(super) const fn wants_mut(&mut self) -> &mut WantQueue {
        &mut self.wants
    }

    /// The peers that it was given.
    pub(super) const fn given(&self) -> &GivenPeers {
        &self.given
    }

    pub(super) const fn given_mut(&mut self) -> &mut GivenPeers {
        &mut self.given
    }

    pub(super) const fn peers(&self) -> &SessionPeers {
        &self.peers
    }

    pub(super) const fn peers_mut(&mut self) -> &mut SessionPeers {
        &mut self.peers
    }

    pub(super) const fn search(&self) -> &SearchState {
        &self.search
    }

    pub(super) const fn search_mut(&mut self) -> &mut SearchState {
        &mut self.search
    }

    /// The limit of what it asks for.
    pub(super) const fn throttle(&self) -> &Throttle {
        &self.throttle
    }

    pub(super) const fn throttle_mut(&mut self) -> &mut Throttle {
        &mut self.throttle
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) const fn place(&self) -> &Place {
        &self.place
    }

    pub(super) const fn place_mut(&mut self) -> &mut Place {
        &mut self.place
    }

    pub(super) const fn want_timeout(&self) -> Option<Duration> {
        self.options.want_timeout
    }

    pub(super) const fn finds_providers(&self) -> bool {
        self.options.find_providers
    }

    pub(super) fn fails_when_missing(&self) -> bool {
        self.options.when_missing == WhenMissing::Fail
    }

    /// One of its wants stays with the peers that it prefers.
    pub(super) fn keeps(&self, want: &SessionWant) -> bool {
        self.given.preferred().is_some() && !want.is_open_to_others()
    }

    /// It wants something that nobody was asked for.
    pub(super) const fn has_something_to_ask(&self) -> bool {
        self.wants.queued_len() > 0 || self.wants.waiting_len() > 0
    }

    /// The window lets it ask for more.
    pub(super) const fn has_room(&self) -> bool {
        self.wants.asked_bytes().saturating_add(self.unreleased) < self.options.window_bytes
    }

    /// The user has released bytes of delivered blocks, or will never have them.
    pub(super) const fn release(&mut self, bytes: u64) {
        self.unreleased = self.unreleased.saturating_sub(bytes);
    }

    /// The size to expect of a block of which the caller told none.
    pub(super) fn expected_size(&self) -> u32 {
        match self.bytes.checked_div(self.blocks) {
            Some(mean) => u32::try_from(mean).unwrap_or(u32::MAX).max(1),
            None => SIZE_GUESS,
        }
    }

    /// The size of what it is likely to get next. Small nodes come before large leaves, and their mean says
    /// little of these.
    pub(super) fn recent_size(&self) -> u32 {
        self.recent.max(self.expected_size())
    }

    /// Another request may be hedged: at most `per_mille` of the blocks so far, and a few to begin with.
    pub(super) fn may_hedge(&self, per_mille: u16) -> bool {
        self.hedges < FIRST_HEDGES + self.share_of_blocks(per_mille)
    }

    /// Less than `per_mille` of the blocks so far were hedged.
    pub(super) fn has_hedged_less_than(&self, per_mille: u16) -> bool {
        self.hedges < self.share_of_blocks(per_mille)
    }

    fn share_of_blocks(&self, per_mille: u16) -> u64 {
        (self.blocks + u64::from(self.wants.asked_len())) * u64::from(per_mille) / 1000
    }

    pub(super) const fn count_hedge(&mut self) {
        self.hedges += 1;
    }

    /// One of its wants has ended, with a block of `size` bytes or without.
    pub(super) fn end_want(
        &mut self,
        rows: &mut Rows<SessionWant>,
        at: Ref<SessionWant>,
        end: End,
        size: u64,
    ) {
        self.wants.move_to(rows, at, Stage::Ended(end));
        self.unreleased = self.unreleased.saturating_add(size);
        if end == End::Block {
            self.blocks += 1;
            self.bytes = self.bytes.saturating_add(size);
            let size = u32::try_from(size).unwrap_or(u32::MAX);
            self.recent = self.recent - self.recent / 4 + size / 4;
        }
    }

    /// It is to be told of ended wants; whether that is new.
    pub(super) const fn start_reporting(&mut self) -> bool {
        !core::mem::replace(&mut self.is_reporting, true)
    }

    /// It was told of all ended wants.
    pub(super) const fn stop_reporting(&mut self) -> bool {
        core::mem::replace(&mut self.is_reporting, false)
    }

    pub(super) const fn stats(&self) -> SessionStats {
        SessionStats {
            wants: self.wants.live_len(),
            asked: self.wants.asked_len(),
            blocks: self.blocks,
            bytes: self.bytes,
            unreleased_bytes: self.unreleased,
            asked_bytes: self.wants.asked_bytes(),
            first_choice_per_mille: self.peers.first_choice_rate(),
        }
    }

    /// Bytes held outside of the value itself.
    pub(super) fn heap_bytes(&self) -> usize {
        self.wants.heap_bytes() + self.given.heap_bytes() + self.peers.heap_bytes()
    }

    /// The most bytes of one of so many sessions that knows of so many peers, without its wants.
    pub(super) const fn bytes_max(sessions: u64, peers: u64) -> u64 {
        Rows::<Self>::bytes_max(sessions).div_ceil(sessions)
            + Place::bytes_max()
            + 2 * tree::<(Timestamp, Ref<Self>)>(1)
            + crate::memory::list::<Ref<Self>>(1)
            + GivenPeers::bytes_max(peers)
            + SessionPeers::bytes_max(peers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::options::PeerRule;
    use crate::client::want_table::WantTable;

    fn session() -> Session {
        Session::new(
            Options {
                window_bytes: 100,
                when_missing: WhenMissing::Wait,
                want_timeout: None,
                find_providers: true,
                download: None,
            },
            GivenPeers::new(PeerRule::Any, Timestamp::ZERO),
            Timestamp::ZERO,
        )
    }

    #[test]
    fn the_window_counts_what_is_asked_and_what_is_not_released() {
        let (mut table, mut session) = (WantTable::new(&[1; 32]), session());
        let mut rows: Rows<Session> = Rows::default();
        let this = rows.insert(self::session()).at();
        let cid = cid::Cid::new_v1(0x55, cid::multihash::Multihash::wrap(0x12, &[7; 32]).unwrap());
        let want = table.find_or_insert(&cid);
        let (at, only) = table.add_session_want(SessionWant::new(this, want, 0, 60, None));
        assert!(only);
        let wants = table.session_wants_mut();
        session.wants_mut().insert(wants, at);
        assert!(session.has_something_to_ask() && session.has_room());
        session.wants_mut().move_to(wants, at, Stage::Asked);
        assert!(!session.has_something_to_ask() && session.has_room());
        session.end_want(wants, at, End::Block, 120);
        assert!(!session.has_room());
        session.release(21);
        assert!(session.has_room());
        assert_eq!(session.expected_size(), 120);
        assert_eq!(session.wants().validate(table.session_wants()), Ok(1));
    }

    #[test]
    fn hedges_are_a_share_of_the_blocks() {
        let mut session = session();
        assert!(session.may_hedge(100));
        session.count_hedge();
        session.count_hedge();
        assert!(!session.may_hedge(100));
        session.blocks = 10;
        assert!(session.may_hedge(100) && !session.may_hedge(99));
    }

    #[test]
    fn it_is_told_of_ended_wants_once() {
        let mut session = session();
        assert!(session.start_reporting() && !session.start_reporting());
        assert!(session.stop_reporting() && !session.stop_reporting());
    }
}
