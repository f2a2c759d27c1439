//! What a waiter waits for, and what has come of it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bitswap_core::Want;
use cid::Cid;
use futures::task::AtomicWaker;

use crate::node::routes::{Call, Delivery, Outcome};

/// What a waiter waits for, and the deliveries that it has not taken: the one place that says whether a want is still
/// open.
///
/// Clones are the same mailbox: the waiter has one, and each place that a delivery for it may come from. A want that is on
/// its way to the node's task looks here when it arrives there, and is not begun if it was cancelled meanwhile; a cancel
/// has the number of the last call before it, and ends none of a later one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mailbox(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    book: Mutex<Book>,
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct Book {
    calls: u64,
    begun: u64,
    /// Later calls have nothing but wants that are open and theirs.
    mixed: Call,
    is_closed: bool,
    open: HashMap<Cid, Open>,
    /// Whether the want is still open is only looked at when the waiter takes it.
    delivered: VecDeque<Delivery>,
}

/// A want that is waited for.
#[derive(Debug)]
struct Open {
    call: Call,
    /// Orders wants by age.
    number: u64,
    /// How often it was wanted.
    times: u32,
}

/// What came of a want.
#[derive(Debug)]
pub(crate) struct EndedWant {
    pub(crate) cid: Cid,
    /// How often it was wanted since it was not waited for.
    pub(crate) times: u32,
    pub(crate) outcome: Outcome,
    /// It was wanted again by a call that may have reached the node's task, and that one is answered as well.
    pub(super) again: bool,
}

impl Book {
    /// Takes the want that a delivery ends, if it ends one.
    ///
    /// A block ends whatever waits for it. Any other answer of a call ends nothing that was cancelled and wanted again.
    fn ended(&mut self, cid: &Cid, call: Call, is_block: bool) -> Option<Open> {
        let open = self.open.get(cid)?;
        if open.call != call && !is_block {
            return None;
        }
        if open.call != call {
            self.mixed = Call(self.calls);
        }
        self.open.remove(cid)
    }
}

impl Mailbox {
    /// Blocks are wanted. One that is wanted already stays with the call that wanted it.
    pub(crate) fn want(&self, cids: impl IntoIterator<Item = Cid>) -> Call {
        let mut book = self.lock();
        let Book { calls, begun, mixed, open, .. } = &mut *book;
        *calls += 1;
        let call = Call(*calls);
        for cid in cids {
            let new = || {
                *begun += 1;
                Open { call, number: *begun, times: 0 }
            };
            let want = open.entry(cid).or_insert_with(new);
            want.times += 1;
            if want.call != call {
                *mixed = call;
            }
        }
        call
    }

    /// Blocks are wanted no more. The last call so far.
    pub(crate) fn unwant(&self, cids: &[Cid]) -> Call {
        let mut book = self.lock();
        cids.iter().for_each(|cid| _ = book.open.remove(cid));
        book.mixed = Call(book.calls);
        book.mixed
    }

    /// Drops those of a call's wants that are waited for no more, or were wanted by another call already.
    pub(crate) fn retain_open(&self, call: Call, wants: &mut Vec<Want>) {
        let book = self.lock();
        if call > book.mixed {
            return;
        }
        wants.retain(|want| book.open.get(&want.cid).is_some_and(|open| open.call == call));
    }

    /// Puts in a delivery. A waiter that was dropped meanwhile says so by itself.
    pub(crate) fn deliver(&self, delivery: Delivery) {
        let mut book = self.lock();
        if !book.is_closed {
            book.delivered.push_back(delivery);
            drop(book);
            self.0.waker.wake();
        }
    }

    /// The next want that has ended.
    pub(crate) fn poll_next(&self, cx: &Context<'_>) -> Poll<EndedWant> {
        if let Some(ended) = self.take_next() {
            return Poll::Ready(ended);
        }
        self.0.waker.register(cx.waker());
        // It may have come before the waker was there.
        self.take_next().map_or(Poll::Pending, Poll::Ready)
    }

    fn take_next(&self) -> Option<EndedWant> {
        let mut book = self.lock();
        loop {
            let Delivery { cid, call, outcome } = book.delivered.pop_front()?;
            let is_block = matches!(outcome, Outcome::Block(_) | Outcome::Here(_));
            if let Some(open) = book.ended(&cid, call, is_block) {
                let again = open.call != call;
                return Some(EndedWant { cid, times: open.times, outcome, again });
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().open.len()
    }

    /// Up to `max` of those that were wanted first. Looks at all.
    pub(super) fn oldest(&self, max: usize) -> Vec<Cid> {
        let book = self.lock();
        let mut oldest: Vec<_> = book.open.iter().map(|(cid, open)| (open.number, *cid)).collect();
        drop(book);
        if oldest.len() > max {
            oldest.select_nth_unstable(max);
            oldest.truncate(max);
        }
        oldest.sort_unstable();
        oldest.into_iter().map(|(_, cid)| cid).collect()
    }

    /// Ends all: nothing is waited for any more, and what has come or comes yet is let go of.
    pub(super) fn close(&self) -> Vec<Cid> {
        let mut book = self.lock();
        book.is_closed = true;
        book.mixed = Call(book.calls);
        book.delivered = VecDeque::new();
        std::mem::take(&mut book.open).into_keys().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        // Nothing panics while it holds the lock.
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use bitswap_core::Block;
    use futures::task::noop_waker_ref;

    use super::*;
    use crate::error::{GetError, NodeClosed};

    fn cid(name: &'static str) -> Cid {
        *Block::raw(name).cid()
    }

    fn here(name: &'static str, call: Call) -> Delivery {
        let block = Block::raw(name);
        Delivery { cid: *block.cid(), call, outcome: Outcome::Here(block) }
    }

    fn failed(name: &'static str, call: Call) -> Delivery {
        let error = GetError::NodeClosed(NodeClosed);
        Delivery { cid: cid(name), call, outcome: Outcome::Failed(error) }
    }

    /// What has ended: the block, how often it was wanted, whether it is asked for again.
    fn ended(mailbox: &Mailbox) -> Vec<(Cid, u32, bool)> {
        let cx = Context::from_waker(noop_waker_ref());
        let next = || match mailbox.poll_next(&cx) {
            Poll::Ready(EndedWant { cid, times, again, .. }) => Some((cid, times, again)),
            Poll::Pending => None,
        };
        std::iter::from_fn(next).collect()
    }

    /// Those of a call's wants that are begun when it reaches the node's task.
    fn begun(mailbox: &Mailbox, call: Call, names: &[&'static str]) -> Vec<Cid> {
        let mut wants = names.iter().map(|name| Want::from(cid(name))).collect();
        mailbox.retain_open(call, &mut wants);
        wants.into_iter().map(|want| want.cid).collect()
    }

    #[test]
    fn a_late_failure_of_an_earlier_call_ends_nothing_and_a_late_block_does() {
        let mailbox = Mailbox::default();
        let first = mailbox.want([cid("twice")]);
        mailbox.unwant(&[cid("twice")]);
        assert_eq!(begun(&mailbox, first, &["twice"]), []);
        let second = mailbox.want([cid("twice")]);
        assert_eq!(begun(&mailbox, first, &["twice"]), []);
        assert_eq!(begun(&mailbox, second, &["twice"]), [cid("twice")]);
        mailbox.deliver(failed("twice", first));
        assert_eq!(ended(&mailbox), [], "it was cancelled");
        mailbox.deliver(here("twice", first));
        assert_eq!(ended(&mailbox), [(cid("twice"), 1, true)], "a block is a block");
        assert_eq!(begun(&mailbox, second, &["twice"]), [], "it has come before the call arrived");
        mailbox.deliver(here("twice", second));
        mailbox.deliver(failed("twice", second));
        assert_eq!(ended(&mailbox), []);
        assert_eq!(mailbox.close(), []);
    }

    #[test]
    fn what_is_wanted_several_times_is_begun_and_delivered_once() {
        let mailbox = Mailbox::default();
        let first = mailbox.want([cid("a"), cid("b"), cid("a")]);
        let second = mailbox.want([cid("c"), cid("a")]);
        let third = mailbox.want([cid("d")]);
        assert_eq!(begun(&mailbox, first, &["a", "b"]), [cid("a"), cid("b")]);
        assert_eq!(begun(&mailbox, second, &["c", "a"]), [cid("c")]);
        assert_eq!(begun(&mailbox, third, &["d"]), [cid("d")]);
        mailbox.deliver(here("a", first));
        mailbox.deliver(failed("c", second));
        assert_eq!(ended(&mailbox), [(cid("a"), 3, false), (cid("c"), 1, false)]);
        assert_eq!(mailbox.len(), 2);
    }

    #[test]
    fn what_was_cancelled_after_it_came_is_not_taken() {
        let mailbox = Mailbox::default();
        let call = mailbox.want([cid("a"), cid("b")]);
        mailbox.deliver(here("a", call));
        mailbox.deliver(here("b", call));
        assert_eq!(mailbox.unwant(&[cid("a")]), call);
        assert_eq!(ended(&mailbox), [(cid("b"), 1, false)]);
    }

    #[test]
    fn wants_are_in_the_order_of_their_age() {
        let mailbox = Mailbox::default();
        mailbox.want(["a", "b", "c"].map(cid));
        mailbox.want(["a", "d"].map(cid));
        assert_eq!((mailbox.len(), mailbox.oldest(2)), (4, vec![cid("a"), cid("b")]));
        mailbox.unwant(&[cid("b")]);
        assert_eq!(mailbox.oldest(3), ["a", "c", "d"].map(cid));
        assert_eq!(mailbox.oldest(9), ["a", "c", "d"].map(cid));
    }

    #[test]
    fn a_closed_mailbox_keeps_nothing() {
        let mailbox = Mailbox::default();
        let call = mailbox.want([cid("a"), cid("b")]);
        let (block, data) = (Block::raw(vec![7; 9]), |block: &Block| block.data().clone());
        let bytes = data(&block);
        let deliver = |cid, block| {
            mailbox.deliver(Delivery { cid, call, outcome: Outcome::Here(block) });
        };
        deliver(cid("a"), block.clone());
        assert_eq!(mailbox.close().len(), 2);
        deliver(cid("b"), block);
        assert!(bytes.is_unique(), "nobody holds the block");
        assert_eq!(begun(&mailbox, call, &["a"]), []);
    }
}
