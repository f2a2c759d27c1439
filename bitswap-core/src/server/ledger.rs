//! The ledger: what every peer wants of us, and what of it waits for what.
//!
//! It puts two parts together: [`WantTable`], which finds wants, and a [`TaskQueue`] per peer, which orders them.
//!
//! Invariant: a want is in exactly the queue of its state. All changes to a want go through [`Ledger::update`], which
//! takes it out of its queue, has it changed by a method of [`Want`], and puts it into the queue of its new state.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use crate::config::Config;
use crate::key::Key;
use crate::message::Entry;
use crate::output::LoadKind;
use crate::peer::Peer;
use crate::time::Timestamp;
use crate::util::rows::{Id, Ref};

use super::consistent;
use super::eviction::{Evicted, Eviction};
use super::task_queue::{TaskQueue, TaskQueues};
use super::want::{Position, Response, State, Want, can_be_served};
use super::want_table::WantTable;

/// Answered wants that are remembered per peer until they count as delivered.
const UNCONFIRMED_MAX: u32 = 64;
/// How long an answered want may be put back. What the transport took longer ago has arrived, or the peer has asked
/// others since.
const UNCONFIRMED_FOR: Duration = Duration::from_secs(10);

/// What an entry of a wantlist did.
#[derive(Clone, Copy, Debug)]
pub(super) enum Applied {
    Cancelled,
    /// The want is in the ledger.
    Wanted {
        evicted: Option<Evicted>,
    },
    /// The want is beyond a limit, or for a CID that cannot be served.
    Skipped,
}

/// The wants of all peers, each in the queue of its state.
#[derive(Debug)]
pub(super) struct Ledger {
    table: WantTable,
    queues: TaskQueues,
    eviction: Eviction,
    replace_have_bytes: Option<u32>,
    next_age: u64,
}

impl Ledger {
    pub(super) fn new(config: &Config, seed: &[u8; 32]) -> Self {
        Self {
            table: WantTable::new(seed),
            queues: TaskQueues::default(),
            eviction: Eviction::new(&config.limits),
            replace_have_bytes: config.replace_have_bytes,
            next_age: 0,
        }
    }

    pub(super) fn connected(&mut self, peer: Ref<Peer>) {
        self.table.connected(peer);
        self.queues.connected(peer);
    }

    pub(super) fn disconnected(&mut self, peer: Ref<Peer>) {
        self.forget(peer);
        self.table.disconnected(peer);
        self.queues.disconnected(peer);
    }

    /// Ends all wants of a peer.
    pub(super) fn forget(&mut self, peer: Ref<Peer>) {
        while let Some(row) = self.table.latest_of(peer) {
            self.remove(row);
        }
    }

    /// What waits at a peer.
    pub(super) fn queue(&self, peer: Ref<Peer>) -> Option<&TaskQueue> {
        self.queues.of(peer)
    }

    pub(super) fn at(&self, row: Ref<Want>) -> Option<&Want> {
        consistent(self.table.at(row), "a queue names a want that is gone")
    }

    pub(super) fn id(&self, row: Ref<Want>) -> Option<Id<Want>> {
        consistent(self.table.id(row), "a queue names a want that is gone")
    }

    /// The row of this id, unless the want ended since.
    pub(super) fn row(&self, id: Id<Want>) -> Option<Ref<Want>> {
        self.table.row(id)
    }

    // Inputs.

    /// Ends the peer's wants that a full wantlist does not repeat. Looks at all of the peer's wants, of which the
    /// limits bound the number.
    pub(super) fn keep_only<'a>(
        &mut self,
        peer: Ref<Peer>,
        entries: impl Iterator<Item = &'a Entry>,
    ) {
        let repeated = |entry: &Entry| {
            let row = self.table.find(peer, &Key::new(&entry.cid))?;
            let want = self.table.at(row)?;
            (!want.exceeds(entry)).then_some(row)
        };
        let kept: BTreeSet<Ref<Want>> = entries.filter_map(repeated).collect();
        let all = self.table.of_peer(peer).map(|(row, _)| row);
        let gone: Vec<Ref<Want>> = all.filter(|row| !kept.contains(row)).collect();
        for row in gone {
            self.remove(row);
        }
    }

    /// Applies one entry of a peer's wantlist.
    pub(super) fn apply(&mut self, peer: Ref<Peer>, entry: &Entry) -> Applied {
        let key = Key::new(&entry.cid);
        let mut found = self.table.find(peer, &key);
        if entry.cancel {
            if let Some(row) = found {
                self.remove(row);
            }
            return Applied::Cancelled;
        }
        if !can_be_served(&entry.cid) {
            let answers = entry.send_dont_have && found.is_none();
            if answers && self.eviction.has_room(&self.table, peer) {
                let age = self.age();
                self.insert(Want::unservable(peer, key, entry, age));
            }
            return Applied::Skipped;
        }
        if let Some(row) = found
            && self.table.at(row).is_some_and(Want::is_unconfirmed)
        {
            // It was answered: this is another want.
            self.remove(row);
            found = None;
        }
        if let Some(row) = found {
            let replace = self.replace_have_bytes;
            self.update(row, |want| want.repeated(entry, replace));
            return Applied::Wanted { evicted: None };
        }
        let mut evicted = None;
        if !self.eviction.has_room(&self.table, peer) {
            let victim = self.eviction.victim(&mut self.table, &self.queues, peer, entry.priority);
            let Some(victim) = victim else { return Applied::Skipped };
            let Some(want) = self.remove(victim) else { return Applied::Skipped };
            evicted = Some(Evicted { peer: want.peer(), answered: want.is_unconfirmed() });
        }
        let age = self.age();
        self.insert(Want::new(peer, key, entry, age, self.replace_have_bytes));
        Applied::Wanted { evicted }
    }

    /// The wants of all peers for one CID.
    pub(super) fn of_cid(&self, key: &Key) -> Vec<Ref<Want>> {
        self.table.of_cid(key).collect()
    }

    /// Not even a want that was answered is remembered.
    pub(super) fn remembers_nothing(&self) -> bool {
        self.table.len() == 0
    }

    /// Somebody wants a block of this CID, or was answered lately.
    pub(super) fn is_wanted(&self, key: &Key) -> bool {
        self.table.of_cid(key).next().is_some()
    }

    /// The peer knows, or does not ask, that the block is not here.
    pub(super) fn waits_for_block(&self, row: Ref<Want>) -> bool {
        self.at(row).is_some_and(Want::waits_for_block)
    }

    /// A block is in the store now. The peer whose want that changes.
    pub(super) fn block_stored(&mut self, row: Ref<Want>, size: u32) -> Option<Ref<Peer>> {
        let replace = self.replace_have_bytes;
        let peer = self.at(row)?.peer();
        let mut changes = false;
        self.update(row, |want| changes = want.block_stored(size, replace));
        changes.then_some(peer)
    }

    // Lookups.

    /// A lookup of a want starts: what to remember it by, and what to look up.
    pub(super) fn lookup_started(
        &mut self,
        row: Ref<Want>,
        kind: LoadKind,
    ) -> Option<(Id<Want>, Key)> {
        self.update(row, |want| want.lookup_started(kind));
        Some((self.id(row)?, self.at(row)?.key().clone()))
    }

    /// The store does not have a wanted block, or does not tell.
    pub(super) fn not_found(&mut self, row: Ref<Want>) {
        let replace = self.replace_have_bytes;
        self.update(row, |want| want.not_found(replace));
    }

    /// The store has a wanted block, of this size.
    pub(super) fn size_found(&mut self, row: Ref<Want>, size: u32) {
        let replace = self.replace_have_bytes;
        self.update(row, |want| want.size_found(size, replace));
    }

    /// A wanted block was loaded. It stays in memory, if it is the response at all, only when `keep`.
    pub(super) fn block_found(&mut self, row: Ref<Want>, data: Bytes, keep: bool) {
        let replace = self.replace_have_bytes;
        let size = data.len() as u32;
        self.change(row, Some(data), |want| want.block_found(size, keep, replace));
    }

    /// Gives up the blocks that were loaded for a peer: they are to be loaded again.
    pub(super) fn unload(&mut self, peer: Ref<Peer>) {
        while let Some((row, _)) = self.queue(peer).and_then(TaskQueue::next_block) {
            self.update(row, Want::unloaded);
        }
    }

    // Responses.

    /// The stream's version has no way to send the response to a want. Another one may, if the want can be served.
    pub(super) fn cannot_be_sent(&mut self, row: Ref<Want>) {
        if self.at(row).is_some_and(Want::is_servable) {
            self.update(row, Want::cannot_be_sent);
        } else {
            self.remove(row);
        }
    }

    /// The response to a want is part of the message of this number.
    pub(super) fn sent(&mut self, row: Ref<Want>, response: Response, seq: u32) {
        self.update(row, |want| want.sent(response, seq));
    }

    /// The transport took the message of this number, with this response to a want: the response counts as received,
    /// unless the stream turns out to be lost.
    pub(super) fn transport_took(
        &mut self,
        want: Id<Want>,
        response: Response,
        seq: u32,
        now: Timestamp,
    ) {
        // The want may have ended or changed meanwhile: a HAVE for what has become a want-block is not its response.
        let Some(row) = self.row(want) else { return };
        let Some(want) = self.at(row) else { return };
        if want.state() != State::InFlight(response, seq) {
            return;
        }
        let peer = want.peer();
        if !want.is_servable() {
            self.remove(row);
            return;
        }
        self.update(row, |want| want.transport_took(response, now));
        if let Some(queue) = self.queue(peer)
            && queue.unconfirmed_len() > UNCONFIRMED_MAX
            && let Some(oldest) = queue.evictable()
        {
            self.remove(oldest);
        }
    }

    /// The message of this number, with this response to a want, was not sent.
    pub(super) fn send_failed(&mut self, want: Id<Want>, response: Response, seq: u32) {
        // The want may have ended meanwhile.
        if let Some(row) = self.row(want) {
            let replace = self.replace_have_bytes;
            self.update(row, |want| want.send_failed(response, seq, replace));
        }
    }

    /// The responses that the transport took last may be lost: they are sent again.
    pub(super) fn put_back_unconfirmed(&mut self, peer: Ref<Peer>, now: Timestamp) {
        let replace = self.replace_have_bytes;
        let lost: Vec<Ref<Want>> =
            self.queue(peer).into_iter().flat_map(TaskQueue::unconfirmed).collect();
        for row in lost {
            let has_arrived = |want: &Want| match want.state() {
                State::Unconfirmed(at) => at + UNCONFIRMED_FOR < now,
                _ => false,
            };
            if self.at(row).is_some_and(has_arrived) {
                self.remove(row);
            } else {
                self.update(row, |want| want.lost(replace));
            }
        }
    }

    /// The next peer whose connection is needed now and was not before, or the reverse.
    pub(super) fn next_changed_need(&mut self) -> Option<Ref<Peer>> {
        self.queues.next_changed_need()
    }

    // Queries.

    /// Whether the connection to a peer is needed: a want of it is remembered and not answered.
    pub(super) fn is_needed(&self, peer: Ref<Peer>) -> bool {
        self.queues.is_needed(peer)
    }

    /// The peer's wants, most urgent first.
    pub(super) fn peer_wantlist(&self, peer: Ref<Peer>) -> Vec<Entry> {
        let mut wants: Vec<(Position, Entry)> = self
            .table
            .of_peer(peer)
            .filter(|(_, want)| want.is_servable() && !want.is_unconfirmed())
            .map(|(row, want)| (want.position(row), want.entry()))
            .collect();
        wants.sort_unstable_by_key(|(position, _)| *position);
        wants.into_iter().map(|(_, entry)| entry).collect()
    }

    /// An input has been applied: the order of peers by their wants is brought up to date.
    pub(super) fn order_peers(&mut self) {
        self.table.put_in_place();
    }

    /// How many wants are remembered.
    pub(super) fn len(&self) -> u32 {
        self.table.len() as u32 - self.queues.unconfirmed_len()
    }

    /// The same of one peer.
    pub(super) fn len_of(&self, peer: Ref<Peer>) -> u32 {
        self.table.len_of(peer) - self.queue(peer).map_or(0, TaskQueue::unconfirmed_len)
    }

    /// Bytes allocated, and of the blocks in memory.
    pub(super) fn bytes(&self) -> usize {
        self.table.bytes() + self.queues.bytes()
    }

    /// The most bytes of so many rows whose CIDs take so many bytes each, of one peer or of several with at most
    /// `of_peer` rows each, without the loaded blocks.
    pub(super) fn bytes_max(rows: u64, of_peer: u64, cid_bytes: u64) -> u64 {
        let queued = TaskQueue::bytes_max(of_peer).div_ceil(of_peer.max(1));
        WantTable::bytes_max(rows) + rows * (queued + cid_bytes)
    }

    /// The most bytes of a peer without wants, beside `peers` others at most.
    pub(super) const fn peer_bytes_max(peers: u64) -> u64 {
        WantTable::peer_bytes_max(peers) + TaskQueues::bytes_max_each(peers)
    }

    /// The most bytes that are kept for peers that are gone, and for each of so many that are there.
    pub(super) const fn lists_bytes_max(peers: u64) -> u64 {
        WantTable::order_bytes_max(peers)
    }

    // How a want changes.

    /// Changes a want, and its place in the queues of its peer. A block that was loaded for it goes unless it remains
    /// loaded.
    fn update(&mut self, row: Ref<Want>, how: impl FnOnce(&mut Want)) {
        self.change(row, None, how);
    }

    /// The same; when the want becomes loaded, its block is `loaded`.
    fn change(&mut self, row: Ref<Want>, loaded: Option<Bytes>, how: impl FnOnce(&mut Want)) {
        let want = consistent(self.table.at_mut(row), "a want that is gone is changed");
        let Some(want) = want else { return };
        let peer = want.peer();
        self.queues.update(peer, |queue| {
            let held = queue.leave(want, row);
            how(want);
            let data = held.or(loaded).filter(|_| want.state() == State::Loaded);
            queue.join(want, row, data);
        });
        self.update_need(peer);
    }

    fn insert(&mut self, want: Want) {
        let Some(row) = self.table.insert(want) else { return };
        let Some(want) = self.table.at(row) else { return };
        let peer = want.peer();
        self.queues.update(peer, |queue| queue.join(want, row, None));
        self.update_need(peer);
    }

    /// Ends a want.
    fn remove(&mut self, row: Ref<Want>) -> Option<Want> {
        let want = self.table.remove(row)?;
        self.queues.update(want.peer(), |queue| _ = queue.leave(&want, row));
        self.update_need(want.peer());
        Some(want)
    }

    /// The number of a peer's wants may have changed.
    fn update_need(&mut self, peer: Ref<Peer>) {
        let is_needed = self.len_of(peer) > 0;
        self.queues.set_needed(peer, is_needed);
    }

    const fn age(&mut self) -> u64 {
        self.next_age += 1;
        self.next_age
    }

    /// What breaks the invariant, if anything does: for tests.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(&self) -> Result<(), &'static str> {
        self.table.validate()?;
        self.queues.validate(&self.table)
    }
}

#[cfg(test)]
mod tests;
