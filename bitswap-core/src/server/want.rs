//! One want of one peer: a row of the ledger.

use core::cmp::Reverse;

use crate::key::Key;
use crate::message::{Entry, WantKind};
use crate::output::What;
use crate::rows::NONE;
use crate::time::Timestamp;

/// Where a want stands. All changes go through [`super::Server::turn`], which keeps the want in
/// the one queue that belongs to its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The block was not there, and the peer was told so if it had asked: waits for the block.
    Idle,
    /// To be looked up.
    Queued(What),
    /// Being looked up. A later answer to the same lookup finds the want by its generational id.
    Loading(What),
    /// HAVE or DONT_HAVE is to be said.
    Presence { have: bool },
    /// The block is in memory and is to be sent.
    Block,
    /// This answer is within the message of this number.
    Sending(Said, u32),
    /// Answered then, as far as the transport knows. No want any more, but put back should the
    /// transport report that the end of the stream was lost.
    Sent(Timestamp),
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The block itself, of so many bytes.
    Block(u32),
    Have,
    DontHave,
}

/// Neighbours in a list of rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links {
    pub(super) previous: u32,
    pub(super) next: u32,
}

impl Links {
    pub(super) const ALONE: Self = Self { previous: NONE, next: NONE };
}

/// One want of one peer.
#[derive(Debug)]
pub(super) struct Want {
    pub(super) key: Key,
    pub(super) peer: u32,
    pub(super) priority: i32,
    /// Counts up over all wants: the order among equal priorities.
    pub(super) age: u64,
    /// The block's size, once the store or an announcement told it.
    pub(super) size: Option<u32>,
    pub(super) state: State,
    pub(super) kind: WantKind,
    /// The entry asked to be told DONT_HAVE.
    pub(super) asks: bool,
    /// A DONT_HAVE is still owed: asked for, and not said since.
    pub(super) owes: bool,
    /// The block was stored while the want was being looked up: absence is stale news.
    pub(super) again: bool,
    /// False for a CID that no store can serve: the want ends with its DONT_HAVE.
    pub(super) servable: bool,
    /// Neighbours among the wants of the same peer.
    pub(super) of_peer: Links,
    /// Neighbours among the wants of the same CID.
    pub(super) of_cid: Links,
}

/// The position of a want in its peer's queues: most urgent first, then oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) priority: Reverse<i32>,
    pub(super) age: u64,
    pub(super) row: u32,
}

impl Want {
    pub(super) fn new(peer: u32, key: Key, entry: &Entry, age: u64) -> Self {
        Self {
            key,
            peer,
            priority: entry.priority,
            age,
            size: None,
            state: State::Idle,
            kind: entry.kind,
            asks: entry.send_dont_have,
            owes: entry.send_dont_have,
            again: false,
            servable: true,
            of_peer: Links::ALONE,
            of_cid: Links::ALONE,
        }
    }

    pub(super) const fn place(&self, row: u32) -> Place {
        Place { priority: Reverse(self.priority), age: self.age, row }
    }

    /// What has to be looked up before the want can be answered.
    pub(super) fn lookup(&self, replace_have_bytes: Option<u32>) -> What {
        if self.takes_block(replace_have_bytes) { What::Data } else { What::Size }
    }

    /// The block itself is the answer, as far as its size is known.
    pub(super) fn takes_block(&self, replace_have_bytes: Option<u32>) -> bool {
        self.kind == WantKind::Block
            || matches!((self.size, replace_have_bytes), (Some(size), Some(most)) if size <= most)
    }

    /// The want as the peer would say it.
    pub(super) fn entry(&self) -> Entry {
        Entry::want(self.key.cid(), self.kind, self.priority, self.asks)
    }
}
