//! A session: wants that belong together, the peers that serve them, and how much may be under way.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::options::Options;
use super::table::List;
use super::unserved::Place;
use crate::rows::Id;
use crate::time::Timestamp;

/// Size assumed of a block before the session has seen one, in bytes.
const SIZE_GUESS: u32 = 16 << 10;

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) options: Options,
    /// Interests not asked yet, by priority, then in the order given.
    pub(crate) queue: BTreeMap<Reverse<i32>, List>,
    pub(crate) queued: u32,
    pub(crate) asked: List,
    pub(crate) waiting: List,
    /// Waiting ones to be looked at again.
    pub(crate) recheck: u32,
    pub(crate) ended: List,
    /// Estimated bytes of the asked ones.
    pub(crate) asked_bytes: u64,
    /// Bytes delivered and not taken.
    pub(crate) untaken: u64,
    /// The peers the session works with.
    pub(crate) members: Vec<Member>,
    /// Peers that were asked whether they have a block, members or not.
    pub(crate) questioned: BTreeSet<Id>,
    /// The last peer that delivered a block.
    pub(crate) favourite: Option<Id>,
    /// The only peers it may ask, if `options.only`.
    pub(crate) allowed: Vec<Id>,
    /// How often the first peer asked had the block, in per mille, smoothed.
    pub(crate) guess: u32,
    /// Requests doubled before their deadline.
    pub(crate) hedges: u64,
    pub(crate) blocks: u64,
    pub(crate) bytes: u64,
    /// The provider lookup under way: its number and the want.
    pub(crate) lookup: Option<Lookup>,
    /// The armed search timer.
    pub(crate) search_at: Option<Timestamp>,
    /// Fruitless searches in a row.
    pub(crate) searches: u32,
    pub(crate) last_progress: Option<Timestamp>,
    /// Listed among the sessions that may be able to ask.
    pub(crate) ready: bool,
    /// Its ticket among the sessions that wait for room at their peers.
    pub(crate) blocked: Option<u64>,
    /// Its place among the sessions that nobody can serve.
    pub(super) unserved: Place,
    /// Listed among the sessions with something to tell.
    pub(crate) telling: bool,
}

/// A provider lookup under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lookup {
    pub(crate) id: u64,
    pub(crate) want: Id,
}

/// A peer that a session works with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) peer: Id,
    /// Blocks it delivered.
    pub(crate) served: u32,
    /// How likely it has a block of this session, in per mille, smoothed.
    pub(crate) likelihood: u32,
    /// It had a block of this session.
    pub(crate) had: bool,
    /// It did not have, or not deliver, a block of this session.
    pub(crate) lacked: bool,
}

/// Likelihood of a peer of which nothing is known, in per mille.
const UNKNOWN: u32 = 333;

impl Member {
    pub(crate) const fn new(peer: Id) -> Self {
        Self { peer, served: 0, likelihood: UNKNOWN, had: false, lacked: false }
    }

    /// It turned out to have, or not to have, or not to deliver, a block of the session.
    pub(crate) fn learn(&mut self, has: bool) {
        self.had |= has;
        self.lacked |= !has;
        self.likelihood = (self.likelihood * 5 + if has { 1000 } else { 0 }) / 6;
    }
}

impl Session {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            options,
            queue: BTreeMap::new(),
            queued: 0,
            asked: List::default(),
            waiting: List::default(),
            recheck: 0,
            ended: List::default(),
            asked_bytes: 0,
            untaken: 0,
            members: Vec::new(),
            questioned: BTreeSet::new(),
            favourite: None,
            allowed: Vec::new(),
            guess: 500,
            hedges: 0,
            blocks: 0,
            bytes: 0,
            lookup: None,
            search_at: None,
            searches: 0,
            last_progress: None,
            ready: false,
            blocked: None,
            unserved: Place::default(),
            telling: false,
        }
    }

    /// Wants that have not ended.
    pub(crate) const fn wants(&self) -> u32 {
        self.queued + self.asked.len() + self.waiting.len()
    }

    /// The session may ask for more.
    pub(crate) const fn has_room(&self) -> bool {
        self.asked_bytes.saturating_add(self.untaken) < self.options.window_bytes
    }

    /// The size to expect of a block of which the caller told none.
    pub(crate) fn expected_size(&self) -> u32 {
        match self.bytes.checked_div(self.blocks) {
            Some(mean) => u32::try_from(mean).unwrap_or(u32::MAX).max(1),
            None => SIZE_GUESS,
        }
    }

    pub(crate) fn member(&mut self, peer: Id) -> &mut Member {
        let at = match self.members.iter().position(|member| member.peer == peer) {
            Some(at) => at,
            None => {
                self.members.push(Member::new(peer));
                self.members.len() - 1
            }
        };
        &mut self.members[at]
    }

    /// The first guess at who has a block was right or wrong.
    pub(crate) fn guessed(&mut self, right: bool) {
        self.guess = (self.guess * 3 + if right { 1000 } else { 0 }) / 4;
    }

    /// How many peers besides the guess are asked whether they have the block.
    pub(crate) const fn extras(&self, fan_out: u32) -> u32 {
        match self.guess {
            900.. => 0,
            450..900 => 2,
            350..450 => 4,
            250..350 => 8,
            _ => fan_out.saturating_sub(1),
        }
    }

    /// Another request may be doubled before its deadline: at most `per_mille` of the blocks so
    /// far, and a few to begin with.
    pub(crate) fn may_hedge(&self, per_mille: u16) -> bool {
        const FIRST: u64 = 2;
        let asked = self.blocks + u64::from(self.asked.len());
        self.hedges < FIRST + asked * u64::from(per_mille) / 1000
    }

    /// The peer was asked before, and never had a block. (An answer that comes after the want has
    /// ended is not held against it, but neither is it asked for.)
    pub(crate) fn had_its_chance(&self, member: &Member) -> bool {
        !member.had && (member.lacked || self.questioned.contains(&member.peer))
    }

    pub(crate) fn may_ask(&self, peer: Id) -> bool {
        !self.options.only || self.allowed.contains(&peer)
    }

    /// Bytes held outside of the value itself.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.members.capacity() * size_of::<Member>()
            + self.allowed.capacity() * size_of::<Id>()
            + self.questioned.len() * size_of::<Id>() * 3 / 2
            + self.queue.len() * size_of::<(Reverse<i32>, List)>() * 3 / 2
    }
}
