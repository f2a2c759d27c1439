//! What a waiter waits for.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cid::Cid;

use crate::node::routes::Call;

/// What a waiter waits for, in the order in which it was wanted: the one place that says whether a want is still
/// open.
///
/// Clones are the same list. A want that is on its way to the node's task looks here when it arrives there, and is not
/// begun if it was cancelled meanwhile; a cancel has the number of the last call before it, and ends none of a later one.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenWants(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    calls: u64,
    begun: u64,
    wants: HashMap<Cid, (Call, u64)>,
    by_age: BTreeMap<u64, Cid>,
}

impl Book {
    fn remove(&mut self, cid: &Cid) {
        if let Some((_, number)) = self.wants.remove(cid) {
            self.by_age.remove(&number);
        }
    }
}

impl OpenWants {
    /// Blocks are wanted. One that is wanted already stays with the call that wanted it.
    pub(super) fn want(&self, cids: impl IntoIterator<Item = Cid>) -> Call {
        let mut book = self.lock();
        book.calls += 1;
        let call = Call(book.calls);
        for cid in cids {
            if book.wants.contains_key(&cid) {
                continue;
            }
            let number = book.begun;
            book.begun += 1;
            book.wants.insert(cid, (call, number));
            book.by_age.insert(number, cid);
        }
        call
    }

    /// Blocks are wanted no more. The last call so far.
    pub(super) fn unwant(&self, cids: &[Cid]) -> Call {
        let mut book = self.lock();
        cids.iter().for_each(|cid| book.remove(cid));
        Call(book.calls)
    }

    /// Whether a block is waited for since this call.
    pub(super) fn is_open(&self, cid: &Cid, call: Call) -> bool {
        self.lock().wants.get(cid).is_some_and(|(of, _)| *of == call)
    }

    /// A block is here. The call that waited for it, if one did.
    pub(super) fn end(&self, cid: &Cid) -> Option<Call> {
        let mut book = self.lock();
        let (call, _) = book.wants.get(cid).copied()?;
        book.remove(cid);
        Some(call)
    }

    /// A call is answered without the block: that ends nothing that was cancelled and wanted again. False when there is
    /// nothing to end.
    pub(super) fn end_call(&self, cid: &Cid, call: Call) -> bool {
        let mut book = self.lock();
        let waits = book.wants.get(cid).is_some_and(|(last, _)| *last == call);
        if waits {
            book.remove(cid);
        }
        waits
    }

    pub(super) fn len(&self) -> usize {
        self.lock().wants.len()
    }

    /// Up to `max` of those that were wanted first.
    pub(super) fn oldest(&self, max: usize) -> Vec<Cid> {
        self.lock().by_age.values().take(max).copied().collect()
    }

    /// Ends all.
    pub(super) fn take(&self) -> Vec<Cid> {
        let book = std::mem::take(&mut *self.lock());
        book.by_age.into_values().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use bitswap_core::Block;

    use super::*;

    fn cid(name: &'static str) -> Cid {
        *Block::raw(name).cid()
    }

    #[test]
    fn a_late_failure_of_an_earlier_call_ends_nothing_and_a_late_block_does() {
        let open = OpenWants::default();
        let first = open.want([cid("twice")]);
        open.unwant(&[cid("twice")]);
        assert!(!open.is_open(&cid("twice"), first));
        let second = open.want([cid("twice")]);
        assert!(!open.end_call(&cid("twice"), first), "it was cancelled");
        assert!(open.is_open(&cid("twice"), second) && !open.is_open(&cid("twice"), first));
        assert_eq!(open.end(&cid("twice")), Some(second), "a block is a block");
        assert_eq!((open.end(&cid("twice")), open.end_call(&cid("twice"), second)), (None, false));
        assert_eq!(open.take(), []);
    }

    #[test]
    fn wants_are_in_the_order_of_their_age_and_taken_once() {
        let open = OpenWants::default();
        let first = open.want([cid("a"), cid("b"), cid("c")]);
        let last = open.want([cid("a"), cid("d")]);
        assert!(open.is_open(&cid("a"), first), "the call that wanted it is on its way");
        assert_eq!((open.len(), open.oldest(2)), (4, vec![cid("a"), cid("b")]));
        assert_eq!(open.unwant(&[cid("b")]), last);
        assert!(open.end_call(&cid("d"), last));
        assert_eq!(open.oldest(9), [cid("a"), cid("c")]);
        assert_eq!((open.take(), open.take()), (vec![cid("a"), cid("c")], vec![]));
    }
}
