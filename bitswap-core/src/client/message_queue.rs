//! What one peer is still to be sent, and what it was sent.
//!
//! Wants and cancels meet here: a want that ended before it was sent is never sent, and a cancel waits a
//! little for other entries to go with. Each peer want of the peer is in one of two lists: that of the
//! pending ones exactly while something is to be sent for it.

use alloc::vec::Vec;
use core::time::Duration;

use cid::Cid;

use super::peer_want::{PeerWant, Pending};
use super::want_table::OfPeer;
use crate::time::Timestamp;
use crate::util::list::List;
use crate::util::rows::{Ref, Rows};

/// Cancels that go at once.
const CANCELS_MAX: u32 = 512;
/// How long the cancel of a block waits for other entries to go with.
const CANCEL_PAUSE: Duration = Duration::from_millis(10);
/// The same when the peer has nothing to send.
const IDLE_CANCEL_PAUSE: Duration = Duration::from_millis(250);
/// The same when the peer fetches itself: it may be about to get the block from others, and sends it on as soon as it has
/// it ([`Relays`](crate::server)).
const FETCHING_CANCEL_PAUSE: Duration = Duration::from_millis(2);
/// Who wanted something of us so long ago still counts as fetching.
const FETCHES_FOR: Duration = Duration::from_secs(10);
/// Cancels of what a peer answers and was not sent, kept for it.
const UNSOLICITED_MAX: usize = 16;
/// Cancels owed for what was sent again before it arrived, at most: without one the peer sends a block twice.
const AGAIN_MAX: usize = 48;
/// Messages to a peer only to cancel what it answers and nobody wants are this far apart.
const UNSOLICITED_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct MessageQueue {
    /// Peer wants with something to be sent.
    pending: List<PeerWant, OfPeer>,
    /// Of these, the cancels.
    cancels: u32,
    /// Peer wants with nothing to be sent.
    settled: List<PeerWant, OfPeer>,
    /// When the cancels are to be sent, with other entries or without.
    cancel_at: Option<Timestamp>,
    /// CIDs for which a cancel is owed although no peer want is left.
    owed_cancels: Vec<Cid>,
    /// No message goes only for their sake before this.
    owed_at: Timestamp,
    /// The next message replaces all that the peer was sent before: that may be lost, or belong to an earlier
    /// connection.
    full_due: bool,
    /// Something was sent on this connection.
    has_sent: bool,
    /// The peer wanted something of us then.
    asked_at: Option<Timestamp>,
    /// Entries sent so far: gives equal priorities their order on the wire.
    entries: u32,
}

impl MessageQueue {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            pending: List::default(),
            cancels: 0,
            settled: List::default(),
            cancel_at: None,
            owed_cancels: Vec::new(),
            owed_at: now,
            full_due: true,
            has_sent: false,
            asked_at: None,
            entries: 0,
        }
    }

    // Peer wants.

    /// Adds a new peer want, with nothing to be sent yet.
    pub(super) fn insert(&mut self, rows: &mut Rows<PeerWant>, at: Ref<PeerWant>) {
        self.settled.push_back(rows, at);
    }

    /// Sets what is to be sent for a peer want.
    pub(super) fn set_pending(
        &mut self,
        rows: &mut Rows<PeerWant>,
        at: Ref<PeerWant>,
        pending: Option<Pending>,
        now: Timestamp,
    ) {
        let Some(row) = rows.at_mut(at) else {
            debug_assert!(false, "something is to be sent for no peer want");
            return;
        };
        // Only a block that may still be sent is worth stopping soon.
        let pause = match row.may_bring_block() {
            _ if self.peer_fetches(now) => FETCHING_CANCEL_PAUSE,
            true => CANCEL_PAUSE,
            false => IDLE_CANCEL_PAUSE,
        };
        let before = row.set_pending(pending);
        self.cancels -= u32::from(before == Some(Pending::Cancel));
        if self.cancels == 0 {
            self.cancel_at = None;
        }
        if pending == Some(Pending::Cancel) {
            self.cancels += 1;
            let due = now + pause;
            self.cancel_at = Some(self.cancel_at.map_or(due, |other| other.min(due)));
        }
        match (before.is_some(), pending.is_some()) {
            (false, true) => {
                self.settled.remove(rows, at);
                self.pending.push_back(rows, at);
            }
            (true, false) => {
                self.pending.remove(rows, at);
                self.settled.push_back(rows, at);
            }
            _ => {}
        }
    }

    /// Takes out a peer want with nothing to be sent.
    pub(super) fn remove(&mut self, rows: &mut Rows<PeerWant>, at: Ref<PeerWant>) {
        self.settled.remove(rows, at);
    }

    /// Peer wants with nothing to be sent, those sent first first.
    pub(super) fn oldest<'a>(
        &self,
        rows: &'a Rows<PeerWant>,
    ) -> impl Iterator<Item = &'a PeerWant> + use<'a> {
        self.settled.iter(rows).map(|(_, row)| row)
    }

    /// Peer wants of the peer, the latest first: those to be sent before those that were.
    pub(super) fn latest<'a>(
        &self,
        rows: &'a Rows<PeerWant>,
    ) -> impl Iterator<Item = (Ref<PeerWant>, &'a PeerWant)> + use<'a> {
        self.pending.iter_back(rows).chain(self.settled.iter_back(rows))
    }

    pub(super) const fn first_pending(&self) -> Option<Ref<PeerWant>> {
        self.pending.first()
    }

    /// Some peer want, of those with something to be sent first.
    pub(super) fn any(&self) -> Option<Ref<PeerWant>> {
        self.pending.first().or_else(|| self.settled.first())
    }

    pub(super) fn pending(&self, rows: &Rows<PeerWant>) -> Vec<Ref<PeerWant>> {
        self.pending.iter(rows).map(|(at, _)| at).collect()
    }

    /// All peer wants, those with nothing to be sent first.
    pub(super) fn all(&self, rows: &Rows<PeerWant>) -> Vec<Ref<PeerWant>> {
        self.settled.iter(rows).chain(self.pending.iter(rows)).map(|(at, _)| at).collect()
    }

    pub(super) const fn len(&self) -> u32 {
        self.pending.len() + self.settled.len()
    }

    // Cancels that are owed although no peer want is left.

    /// The peer answers what nobody wants, or what it was not sent: it seems not to know, so it is sent a
    /// cancel. Whether there is something new to be sent.
    pub(super) fn owe_cancel_for_unsolicited(&mut self, cid: Cid) -> bool {
        self.owe(cid, UNSOLICITED_MAX, self.has_sent && !self.owed_cancels.contains(&cid))
    }

    /// A block was the answer to an earlier sending of a want than the last one.
    pub(super) fn owe_cancel_for_resent(&mut self, cid: Cid) -> bool {
        self.owe(cid, UNSOLICITED_MAX + AGAIN_MAX, true)
    }

    fn owe(&mut self, cid: Cid, most: usize, wanted: bool) -> bool {
        let owes = wanted && self.owed_cancels.len() < most;
        if owes {
            self.owed_cancels.push(cid);
        }
        owes
    }

    /// The peer has forgotten a want with its block.
    pub(super) fn disown_cancel(&mut self, cid: &Cid) {
        self.owed_cancels.retain(|owed| owed != cid);
        if self.owed_cancels.is_empty() {
            self.owed_cancels = Vec::new();
        }
    }

    pub(super) fn take_owed_cancels(&mut self, now: Timestamp) -> Vec<Cid> {
        if !self.owed_cancels.is_empty() {
            self.owed_at = now + UNSOLICITED_PAUSE;
        }
        core::mem::take(&mut self.owed_cancels)
    }

    // What the peer wants of us.

    pub(super) const fn was_asked(&mut self, now: Timestamp) {
        self.asked_at = Some(now);
    }

    /// The peer fetches itself, as far as it told us lately.
    pub(super) fn peer_fetches(&self, now: Timestamp) -> bool {
        self.asked_at.is_some_and(|at| now.since(at) < FETCHES_FOR)
    }

    // Messages.

    /// The next message is the whole wantlist, if anything was sent before: what the peer was sent may be
    /// lost, or it may remember what it should not.
    pub(super) const fn make_full(&mut self) {
        self.full_due |= self.has_sent;
    }

    /// The same for a peer that is not to be asked any more.
    pub(super) fn give_up(&mut self) {
        self.make_full();
        self.owed_cancels = Vec::new();
    }

    /// The next message is the whole wantlist.
    pub(super) const fn is_full_due(&self) -> bool {
        self.full_due
    }

    pub(super) const fn take_full(&mut self) -> bool {
        core::mem::replace(&mut self.full_due, false)
    }

    /// A message is composed.
    pub(super) const fn mark_sent(&mut self) {
        self.has_sent = true;
    }

    /// The place of the next entry in the order of sending.
    pub(super) const fn next_order(&mut self) -> u32 {
        let order = self.entries;
        self.entries = order.wrapping_add(1);
        order
    }

    /// There is something to be sent that does not wait any longer.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.pending.len() > self.cancels
            || self.cancels >= CANCELS_MAX
            || (self.full_due && self.has_sent)
            || (!self.owed_cancels.is_empty() && self.owed_at <= now)
            || self.cancel_at.is_some_and(|at| at <= now)
    }

    /// When cancels that wait for other entries are sent without.
    pub(super) fn cancels_due_at(&self) -> Option<Timestamp> {
        let owed = (!self.owed_cancels.is_empty()).then_some(self.owed_at);
        self.cancel_at.into_iter().chain(owed).min()
    }

    /// Bytes held outside of the value itself.
    pub(super) fn heap_bytes(&self) -> usize {
        self.owed_cancels.capacity() * size_of::<Cid>()
    }

    pub(super) const fn heap_bytes_max() -> u64 {
        crate::memory::list::<Cid>((UNSOLICITED_MAX + AGAIN_MAX) as u64)
    }

    /// What is wrong with the lists, if anything; else how many peer wants they hold.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(&self, rows: &Rows<PeerWant>) -> Result<u32, &'static str> {
        self.pending.validate(rows)?;
        self.settled.validate(rows)?;
        let cancels = self.pending.iter(rows).filter(|(_, of)| of.is_cancelled()).count();
        if cancels != self.cancels as usize || (cancels > 0) != self.cancel_at.is_some() {
            return Err("a peer has another number of pending cancels");
        }
        if self.pending.iter(rows).any(|(_, of)| of.pending().is_none())
            || self.settled.iter(rows).any(|(_, of)| of.pending().is_some())
        {
            return Err("a peer want is in the wrong list of its peer");
        }
        Ok(self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::peer_want::Answer;
    use crate::message::WantKind;

    const START: Timestamp = Timestamp::ZERO;
    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn cid(n: u8) -> Cid {
        Cid::new_v1(0x55, cid::multihash::Multihash::wrap(0x12, &[n; 32]).unwrap())
    }

    /// A queue with so many peer wants.
    fn queue(wants: u32) -> (MessageQueue, Rows<PeerWant>, Vec<Ref<PeerWant>>) {
        let (mut queue, mut rows) = (MessageQueue::new(START), Rows::default());
        let all = (0..wants)
            .map(|place| {
                let new = PeerWant::new(Ref::from_place(place), Ref::from_place(0), START);
                let at = rows.insert(new).at();
                queue.insert(&mut rows, at);
                at
            })
            .collect();
        (queue, rows, all)
    }

    #[test]
    fn cancels_wait_for_other_entries_and_not_long() {
        let (mut queue, mut rows, all) = queue(3);
        for at in &all {
            queue.set_pending(&mut rows, *at, Some(Pending::Want(WantKind::Block)), START);
        }
        assert!(queue.is_due(START));
        for at in &all {
            rows.at_mut(*at).unwrap().mark_sent(WantKind::Block, START);
            queue.set_pending(&mut rows, *at, None, START);
        }
        assert!(!queue.is_due(START) && queue.first_pending().is_none());
        rows.at_mut(all[1]).unwrap().set_answer(Answer::DontHave);
        queue.set_pending(&mut rows, all[1], Some(Pending::Cancel), START);
        assert_eq!(queue.cancels_due_at(), Some(START + MS(250)), "it has nothing to send");
        queue.set_pending(&mut rows, all[0], Some(Pending::Cancel), START);
        assert_eq!(queue.cancels_due_at(), Some(START + MS(10)), "it may be sending a block");
        assert!(!queue.is_due(START + MS(9)) && queue.is_due(START + MS(10)));
        queue.set_pending(&mut rows, all[2], Some(Pending::Want(WantKind::Have)), START);
        assert!(queue.is_due(START), "they go with a want");
        assert_eq!(queue.validate(&rows), Ok(3));
        assert_eq!(queue.pending(&rows), [all[1], all[0], all[2]]);
    }

    #[test]
    fn cancels_to_a_peer_that_fetches_hardly_wait() {
        let (mut queue, mut rows, all) = queue(2);
        queue.was_asked(START);
        queue.set_pending(&mut rows, all[0], Some(Pending::Cancel), START + MS(9_999));
        assert_eq!(queue.cancels_due_at(), Some(START + MS(10_001)), "it may send it any moment");
        queue.set_pending(&mut rows, all[0], None, START);
        queue.set_pending(&mut rows, all[1], Some(Pending::Cancel), START + MS(10_000));
        assert_eq!(queue.cancels_due_at(), Some(START + MS(10_250)), "it has long been quiet");
    }

    #[test]
    fn many_cancels_do_not_wait() {
        let (mut queue, mut rows, all) = queue(CANCELS_MAX);
        for (count, at) in all.iter().enumerate() {
            assert!(!queue.is_due(START), "{count}");
            queue.set_pending(&mut rows, *at, Some(Pending::Cancel), START);
        }
        assert!(queue.is_due(START));
    }

    #[test]
    fn few_unsolicited_answers_are_cancelled_and_rarely() {
        let (mut queue, ..) = queue(0);
        assert!(!queue.owe_cancel_for_unsolicited(cid(0)), "it was sent nothing");
        queue.take_full();
        queue.mark_sent();
        for n in 0..UNSOLICITED_MAX as u8 {
            assert!(queue.owe_cancel_for_unsolicited(cid(n)));
            assert!(!queue.owe_cancel_for_unsolicited(cid(n)));
        }
        assert!(!queue.owe_cancel_for_unsolicited(cid(99)));
        assert!(queue.owe_cancel_for_resent(cid(99)), "that one is more important");
        assert!(queue.is_due(START));
        queue.disown_cancel(&cid(3));
        assert_eq!(queue.take_owed_cancels(START).len(), UNSOLICITED_MAX);
        assert!(queue.owe_cancel_for_unsolicited(cid(5)));
        assert!(!queue.is_due(START + MS(999)) && queue.is_due(START + MS(1000)));
        assert_eq!(queue.cancels_due_at(), Some(START + MS(1000)));
    }

    #[test]
    fn the_whole_wantlist_replaces_only_what_was_sent() {
        let (mut queue, ..) = queue(0);
        assert!(queue.is_full_due() && !queue.is_due(START), "nothing is to be replaced");
        assert!(queue.take_full());
        queue.make_full();
        assert!(!queue.is_full_due());
        queue.mark_sent();
        queue.make_full();
        assert!(queue.is_full_due() && queue.is_due(START));
    }
}
