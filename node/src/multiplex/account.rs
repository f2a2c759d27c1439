//! What one peer holds below its streams, over all its connections.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use libp2p::PeerId;

use super::unread::FRAME_BYTES_MAX;

/// Memory of the frames of a peer that were not read to their end. More than the longest frames need: a
/// stream on which nothing is expected any more may keep its last, small one until it is dropped.
pub(super) const UNREAD_MAX: usize = 4 * FRAME_BYTES_MAX + (16 << 10);

/// Streams that a peer may have opened and that are not dropped yet, over all its connections; further
/// ones are reset. Other implementations answer a long wantlist in hundreds of streams at once.
const STREAMS_MAX: usize = 768;

/// Those of them on which it has not said yet what they are for. That takes the most memory and the least
/// time: it comes with the stream.
const UNDECIDED_MAX: usize = 256;

/// The accounts of all peers that are connected. A handle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accounts(Arc<Mutex<HashMap<PeerId, Weak<Mutex<Sums>>>>>);

impl Accounts {
    /// The account of a peer: one for all its connections.
    pub(super) fn of(&self, peer: PeerId) -> Account {
        let mut all = lock(&self.0);
        if let Some(known) = all.get(&peer).and_then(Weak::upgrade) {
            return Account(known);
        }
        // The number of connections is limited, so there is never much to look at.
        all.retain(|_, account| account.strong_count() > 0);
        let account = Account::default();
        all.insert(peer, Arc::downgrade(&account.0));
        account
    }
}

/// The account of one peer. A handle.
#[derive(Clone, Debug, Default)]
pub(super) struct Account(Arc<Mutex<Sums>>);

#[derive(Debug, Default)]
struct Sums {
    /// Memory of frames.
    unread: usize,
    /// Inbound streams.
    streams: usize,
    /// Those of them for which no protocol is agreed on.
    undecided: usize,
    /// Who waits for room, and for how much.
    waiting: Vec<(usize, Waker)>,
}

impl Sums {
    /// A frame that is alone always has room.
    const fn has_room(&self, wanted: usize) -> bool {
        self.unread == 0 || self.unread + wanted <= UNREAD_MAX
    }
}

impl Account {
    /// Takes room for a frame; else the task is woken when there is some.
    pub(super) fn poll_take(&self, wanted: usize, cx: &Context<'_>) -> Poll<()> {
        let mut sums = lock(&self.0);
        if sums.has_room(wanted) {
            sums.unread += wanted;
            return Poll::Ready(());
        }
        let task = cx.waker();
        sums.waiting.retain(|(_, waiting)| !waiting.will_wake(task));
        sums.waiting.push((wanted, task.clone()));
        Poll::Pending
    }

    /// Gives room back.
    pub(super) fn give(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let mut sums = lock(&self.0);
        sums.unread -= bytes;
        let (woken, waiting) = std::mem::take(&mut sums.waiting)
            .into_iter()
            .partition::<Vec<_>, _>(|(wanted, _)| sums.has_room(*wanted));
        sums.waiting = waiting;
        drop(sums);
        woken.into_iter().for_each(|(_, task)| task.wake());
    }

    /// A permit for one more inbound stream, unless the peer has too many.
    pub(super) fn stream_permit(&self) -> Option<StreamPermit> {
        let mut sums = lock(&self.0);
        let free = sums.streams < STREAMS_MAX && sums.undecided < UNDECIDED_MAX;
        sums.streams += usize::from(free);
        sums.undecided += usize::from(free);
        free.then(|| StreamPermit { account: self.clone(), undecided: true })
    }

    #[cfg(test)]
    pub(super) fn unread(&self) -> usize {
        lock(&self.0).unread
    }
}

/// The permit for one inbound stream. Dropping it returns it.
#[derive(Debug)]
pub(super) struct StreamPermit {
    account: Account,
    undecided: bool,
}

impl StreamPermit {
    /// A protocol is agreed on.
    pub(super) fn decided(&mut self) {
        if std::mem::take(&mut self.undecided) {
            lock(&self.account.0).undecided -= 1;
        }
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.decided();
        lock(&self.account.0).streams -= 1;
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds the lock.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::multiplex::tests::Wakes;

    #[test]
    fn the_connections_of_a_peer_share_an_account_and_none_is_kept_of_who_has_left() {
        let accounts = Accounts::default();
        let peers = [PeerId::random(), PeerId::random()];
        let (first, again) = (accounts.of(peers[0]), accounts.of(peers[0]));
        assert!(Arc::ptr_eq(&first.0, &again.0));
        drop(first);
        let other = accounts.of(peers[1]);
        assert!(!Arc::ptr_eq(&other.0, &again.0));
        assert_eq!(lock(&accounts.0).len(), 2);
        drop((again, other));
        let last = accounts.of(PeerId::random());
        assert_eq!(lock(&accounts.0).len(), 1);
        drop(last);
    }

    #[test]
    fn room_is_for_so_much_or_for_one_and_who_waits_is_woken_when_it_suffices() {
        let account = Account::default();
        let (wakes, task) = Wakes::new();
        let (others, other) = Wakes::new();
        let take = |task: &Waker, bytes| account.poll_take(bytes, &Context::from_waker(task));
        assert!(take(&task, 2 * UNREAD_MAX).is_ready(), "it is alone");
        assert!(take(&task, 1).is_pending() && take(&task, 2).is_pending());
        assert!(take(&other, UNREAD_MAX).is_pending());
        account.give(2 * UNREAD_MAX - 10);
        assert_eq!((wakes.count(), others.count()), (1, 0), "once, and not who needs more");
        assert!(take(&task, UNREAD_MAX - 10).is_ready());
        assert!(take(&task, 1).is_pending());
        account.give(UNREAD_MAX - 1);
        assert_eq!((wakes.count(), others.count()), (2, 0));
        account.give(1);
        assert_eq!((wakes.count(), others.count(), account.unread()), (2, 1, 0));
    }

    #[test]
    fn a_peer_opens_so_many_streams_over_all_its_connections() {
        let account = Account::default();
        let mut permits = Vec::new();
        for undecided in [UNDECIDED_MAX, UNDECIDED_MAX, UNDECIDED_MAX, 0] {
            let more: Vec<StreamPermit> = std::iter::from_fn(|| account.stream_permit()).collect();
            assert_eq!(more.len(), undecided);
            permits.extend(more);
            permits.iter_mut().for_each(StreamPermit::decided);
        }
        assert_eq!(permits.len(), STREAMS_MAX);
        permits.pop();
        assert!(account.stream_permit().is_some());
        permits.truncate(100);
        let more: Vec<StreamPermit> = std::iter::from_fn(|| account.stream_permit()).collect();
        assert_eq!(more.len(), UNDECIDED_MAX);
        drop(more);
        let sums = lock(&account.0);
        assert_eq!((sums.streams, sums.undecided), (100, 0));
        // The permits that are left need the account.
        drop(sums);
    }
}
