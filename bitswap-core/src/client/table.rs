//! The client's rows: what is wanted, by which session, and what each peer was told of it.
//!
//! * A [`WantRow`] is one CID. It lives while a session is interested in it or a peer has been, or
//!   is to be, told about it.
//! * An [`Interest`] is one session's wish for it. It is in one of its session's lists.
//! * A [`Pair`] is one peer that has been, or is to be, told about it. It is in one of its peer's
//!   lists.
//!
//! Rows are linked by their places; no link is followed without the row behind it being live.

use alloc::boxed::Box;

use bytes::Bytes;

use crate::key::Key;
use crate::message::WantKind;
use crate::rows::{Id, NONE, Rows};
use crate::time::Timestamp;

/// One CID that is wanted, or about which a peer has to hear that it is not any more.
#[derive(Debug)]
pub(crate) struct WantRow {
    pub(crate) key: Key,
    /// First of the interests in it.
    pub(crate) interests: u32,
    /// First of its pairs.
    pub(crate) pairs: u32,
    /// Next want that waits for a decision, while `undecided`.
    pub(crate) next_undecided: u32,
    pub(crate) undecided: bool,
    /// The first guess at who has it is still open.
    pub(crate) guessing: bool,
    /// Pairs that hold it to a request for the block.
    pub(crate) requests: u16,
    /// Pairs in all.
    pub(crate) pairs_len: u16,
    /// Interests that have not ended.
    pub(crate) live: u32,
    /// How often a request of it passed its deadline: doubles the number of peers asked.
    pub(crate) rounds: u8,
    /// When unanswered want-haves stop holding up the next guess.
    pub(crate) linger: Option<Timestamp>,
    /// The block, from its arrival until its sessions were told.
    pub(crate) delivered: Option<Box<Delivered>>,
}

/// A block on its way to the sessions that wanted it.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) data: Bytes,
    pub(crate) from: Id,
}

/// One session's interest in one want.
#[derive(Debug)]
pub(crate) struct Interest {
    pub(crate) session: u32,
    pub(crate) want: u32,
    /// Next interest in the same want.
    pub(crate) next_of_want: u32,
    /// Neighbours in the session's list.
    pub(crate) links: Links,
    pub(crate) priority: i32,
    /// The block's size as the caller told or as it was estimated when it was asked for.
    pub(crate) size: u32,
    pub(crate) stage: Stage,
    /// A provider lookup for it has ended in vain since it started waiting.
    pub(crate) searched: bool,
    /// When the session's time for it is up.
    pub(crate) expires: Option<Timestamp>,
}

/// Where an interest stands, and which list it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Not asked yet; in the queue of its priority.
    Queued,
    /// Asked, or about to be.
    Asked,
    /// Nobody can be asked now.
    Waiting,
    /// Over; the session is to be told.
    Ended(End),
}

/// How a want ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Block,
    Stored,
    NotFound,
    TimedOut,
    ShutDown,
}

/// One peer and one want.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) want: u32,
    pub(crate) peer: u32,
    /// Next pair of the same want.
    pub(crate) next_of_want: u32,
    /// Neighbours among the peer's pairs that are to be told (`say` is set) or have been.
    pub(crate) links: Links,
    /// What is to be said next.
    pub(crate) say: Option<Say>,
    /// What the peer was told and has not been told to forget.
    pub(crate) told: Option<WantKind>,
    /// How often it was told since it last answered. With more than once a block may be the answer to
    /// an earlier telling, and the latest is then still to be called off.
    pub(crate) unanswered: u8,
    pub(crate) answer: Answer,
    /// It counts as a request for the block that holds up further requests.
    pub(crate) request: bool,
    /// When it was last told, or decided.
    pub(crate) asked: Timestamp,
    pub(crate) deadline: Option<Timestamp>,
    /// Until when other blocks of the peer excuse it: put off no further with the deadline.
    pub(crate) last_chance: Timestamp,
    /// Bytes charged to the peer's and the sender's queue for it.
    pub(crate) charged: u32,
    /// Bytes that were asked of the peer before it.
    pub(crate) queue: u64,
}

/// Something to be said to a peer about a want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Say {
    Want(WantKind),
    Cancel,
}

/// What a peer answered last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    None,
    Have,
    DontHave,
    /// It let the deadline pass.
    Silent,
    /// It said HAVE, was asked for the block, and let the deadline pass.
    HaveThenSilent,
}

/// Neighbours in a doubly linked list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Links {
    pub(crate) prev: u32,
    pub(crate) next: u32,
}

impl Links {
    pub(crate) const NONE: Self = Self { prev: NONE, next: NONE };
}

/// A row that is in a list.
pub(crate) trait Linked {
    fn links(&mut self) -> &mut Links;
    fn next(&self) -> u32;
}

impl Linked for Interest {
    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
    fn next(&self) -> u32 {
        self.links.next
    }
}

impl Linked for Pair {
    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
    fn next(&self) -> u32 {
        self.links.next
    }
}

/// A doubly linked list through rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    pub(crate) head: u32,
    tail: u32,
    len: u32,
}

impl Default for List {
    fn default() -> Self {
        Self { head: NONE, tail: NONE, len: 0 }
    }
}

impl List {
    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a row that is in no list.
    pub(crate) fn push<T: Linked>(&mut self, rows: &mut Rows<T>, row: u32) {
        if let Some(this) = rows.at_mut(row) {
            *this.links() = Links { prev: self.tail, next: NONE };
        }
        match rows.at_mut(self.tail) {
            Some(tail) => tail.links().next = row,
            None => self.head = row,
        }
        self.tail = row;
        self.len += 1;
    }

    /// Takes out a row that is in this list.
    pub(crate) fn remove<T: Linked>(&mut self, rows: &mut Rows<T>, row: u32) {
        let Some(this) = rows.at_mut(row) else { return };
        let Links { prev, next } = core::mem::replace(this.links(), Links::NONE);
        match rows.at_mut(prev) {
            Some(before) => before.links().next = next,
            None => self.head = next,
        }
        match rows.at_mut(next) {
            Some(after) => after.links().prev = prev,
            None => self.tail = prev,
        }
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    struct Row(Links);

    impl Linked for Row {
        fn links(&mut self) -> &mut Links {
            &mut self.0
        }
        fn next(&self) -> u32 {
            self.0.next
        }
    }

    #[test]
    fn lists_keep_their_order_when_rows_leave() {
        let mut rows = Rows::default();
        let mut list = List::default();
        let ids: Vec<u32> = (0..5).map(|_| rows.insert(Row(Links::NONE)).index).collect();
        for id in &ids {
            list.push(&mut rows, *id);
        }
        for gone in [ids[2], ids[0], ids[4]] {
            list.remove(&mut rows, gone);
        }
        assert_eq!((list.head, list.len()), (ids[1], 2));
        assert_eq!(rows.at(ids[1]).unwrap().next(), ids[3]);
        assert_eq!(rows.at(ids[3]).unwrap().next(), NONE);
        list.remove(&mut rows, ids[3]);
        list.remove(&mut rows, ids[1]);
        assert!(list.is_empty());
        assert_eq!(list.head, NONE);
    }

    #[test]
    fn a_queued_want_is_small() {
        assert!(size_of::<WantRow>() + size_of::<Interest>() <= 176);
    }
}
