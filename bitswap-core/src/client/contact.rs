//! A connected peer as the client sees it.

use alloc::vec::Vec;
use core::time::Duration;

use cid::Cid;

use super::standing::Standing;
use super::table::List;
use crate::lane::LaneState;
use crate::output::{Hint, Support};
use crate::peer::Meter;
use crate::rows::Id;
use crate::stats::Fetched;
use crate::time::Timestamp;

/// Bytes asked of a peer of which nothing is measured.
const FIRST_WINDOW: u64 = 1 << 20;
/// How many times what it has delivered is asked of a peer of unknown speed.
const TRUST: u64 = 4;
/// How many times as long as HAVE or DONT_HAVE the first block of a peer is expected to take, besides its
/// transfer: answers are cheap to give soon.
const CLAIMED: u64 = 8;
/// The most bytes asked of a peer at once.
const WINDOW_MAX: u64 = 32 << 20;

/// What the client keeps of a peer.
#[derive(Debug)]
pub(crate) struct Contact {
    pub(crate) id: Id,
    pub(crate) support: Support,
    /// Whether it can be asked, as it was last counted.
    pub(super) standing: Standing,
    pub(crate) lane: LaneState,
    pub(crate) meter: Meter,
    /// Pairs with something to say.
    pub(crate) unsaid: List,
    /// Of these, the cancels.
    pub(crate) cancels: u32,
    /// Pairs that were told and have nothing to say.
    pub(crate) told: List,
    /// Wants that ended and for which a cancel is owed although no row is left.
    pub(crate) strays: Vec<Cid>,
    /// No cancel goes for their sake before this.
    pub(crate) stray_at: Timestamp,
    /// HAVEs of wants that it was not told, since [`Contact::claims_since`].
    pub(crate) claims: u32,
    pub(crate) claims_since: Timestamp,
    /// Bytes asked for and not delivered.
    pub(crate) asked_bytes: u64,
    /// It was asked for all that its window allows, and not enough of it has come yet to be worth
    /// another message.
    pub(crate) full: bool,
    /// Since when it has had something to deliver without a pause.
    pub(crate) busy: Timestamp,
    /// The next message replaces all that the peer was told before: what was said may be lost, or
    /// belong to an earlier connection.
    pub(crate) resync: bool,
    /// Something was said since the last resync.
    pub(crate) said: bool,
    /// When the cancels are to be said, with company or without.
    pub(crate) cancel_at: Option<Timestamp>,
    /// Requests in a row that passed their deadline.
    pub(crate) silences: u32,
    /// The shortest time, in microseconds, in which it answered HAVE or DONT_HAVE. Of a peer that has not
    /// delivered anything it is all that is known of its latency; of one that has it says nothing.
    answers_in: Option<u64>,
    /// Wants told to it that ended otherwise before it answered: blocks that may still come.
    pub(crate) superfluous: u32,
    /// Entries told so far: gives equal priorities their order on the wire.
    pub(crate) entries: u32,
    /// The armed timer for its lane and cancels.
    pub(crate) timer: Option<Timestamp>,
    /// Listed among the peers that may have something to say.
    pub(crate) speaking: bool,
    pub(crate) fetched: Fetched,
}

impl Contact {
    pub(crate) fn new(id: Id, hint: Option<Hint>, retry: Duration, now: Timestamp) -> Self {
        Self {
            id,
            support: Support::Unknown,
            standing: Standing::Askable,
            lane: LaneState::new(retry, now),
            meter: Meter::from_hint(hint),
            unsaid: List::default(),
            cancels: 0,
            told: List::default(),
            strays: Vec::new(),
            stray_at: now,
            claims: 0,
            claims_since: now,
            asked_bytes: 0,
            full: false,
            busy: now,
            resync: true,
            said: false,
            cancel_at: None,
            silences: 0,
            answers_in: None,
            superfluous: 0,
            entries: 0,
            timer: None,
            speaking: false,
            fetched: Fetched::default(),
        }
    }

    /// It can be asked, now or as soon as its lane is open.
    pub(super) fn usable(&self) -> bool {
        Standing::of(self) == Standing::Askable
    }

    /// It does not speak Bitswap, as far as it says.
    pub(crate) fn is_mute(&self) -> bool {
        self.support == Support::No || self.lane.is_refused()
    }

    /// Wants, told or to be told.
    pub(crate) const fn pairs(&self) -> u32 {
        self.unsaid.len() + self.told.len()
    }

    /// It can take another request for a block of about this size. `choice`: there are peers
    /// enough to be wary of each.
    pub(crate) fn has_room(&self, size: u32, told_max: u32, choice: bool) -> bool {
        let window = self.window(size, choice);
        let least = if self.full { window / 4 * 3 } else { window };
        self.asked_bytes < least && self.pairs() < told_max
    }

    /// Bytes to be asked of it at once.
    fn window(&self, size: u32, choice: bool) -> u64 {
        let least = u64::from(size).saturating_mul(2);
        // Trust grows with what was delivered, because the first measurements say little; where there
        // is a choice of peers, from nothing.
        let trust = self.fetched.bytes.saturating_mul(TRUST);
        let start = if choice && trust > 0 { 0 } else { FIRST_WINDOW };
        let most = trust.clamp(start, WINDOW_MAX);
        match self.meter.window() {
            Some(window) => {
                // What it delivers in a second is little to take back, and spares round trips.
                let second = self.meter.throughput().unwrap_or(0).min(FIRST_WINDOW);
                window.max(second).min(most).max(least)
            }
            None => most.min(FIRST_WINDOW).max(least),
        }
    }

    /// It is asked for a block of about this size.
    pub(crate) fn charge(&mut self, size: u32, choice: bool, now: Timestamp) {
        if self.asked_bytes == 0 {
            self.busy = now;
        }
        self.full &= !self.has_room(size, u32::MAX, choice);
        self.asked_bytes += u64::from(size);
        self.full |= self.asked_bytes >= self.window(size, choice);
    }

    /// Microseconds until a block asked for now arrives, made longer by silences.
    pub(crate) fn expected(&self, size: u32, unmeasured: u64) -> u64 {
        let claimed = self.answers_in.map(|answer| answer.saturating_mul(CLAIMED));
        let latency = claimed.map_or(unmeasured, |claimed| claimed.min(unmeasured));
        let expected =
            self.meter.expected(self.asked_bytes.saturating_add(u64::from(size)), latency);
        expected.saturating_mul(1 + u64::from(self.silences) * 2)
    }

    /// It answered HAVE or DONT_HAVE after so many microseconds.
    pub(super) fn answered(&mut self, took: u64) {
        self.answers_in = Some(self.answers_in.map_or(took, |before| before.min(took)));
    }

    /// Its want lane speaks 1.2.0, as far as is known.
    pub(crate) fn has_presence(&self) -> bool {
        self.lane.version().is_none_or(crate::message::Version::has_presence)
    }

    /// Bytes held outside of the value itself.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.lane.heap_bytes() + self.strays.capacity() * size_of::<Cid>()
    }

    pub(crate) fn hint(&self) -> Hint {
        Hint {
            latency: self.meter.latency().unwrap_or_default(),
            throughput: self.meter.throughput().unwrap_or(0),
            blocks: self.fetched.blocks,
            timeouts: self.fetched.timeouts,
        }
    }
}
