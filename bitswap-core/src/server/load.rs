//! Lookups in the local store.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::key::Key;
use crate::message::Version;
use crate::output::{LoadAnswer, Loaded, What};
use crate::rows::Id;
use crate::time::Timestamp;

use super::memory::Turn;
use super::want::State;
use super::{Output, Server};

/// Blocks in one lookup: enough to share the host's cost of a call, few enough to find an answer's
/// place by looking.
const BATCH: usize = 64;

/// A lookup under way.
#[derive(Debug)]
pub(super) struct Lookup {
    peer: u32,
    what: What,
    items: Vec<Item>,
    unanswered: usize,
}

#[derive(Debug)]
pub(super) struct Item {
    key: Key,
    want: Id,
    /// Bytes expected.
    reserved: u32,
    answered: bool,
}

impl Lookup {
    pub(super) fn heap_bytes(&self) -> usize {
        let keys: usize = self.items.iter().map(|item| item.key.heap_bytes()).sum();
        self.items.capacity() * size_of::<Item>() + keys
    }
}

impl Server {
    /// Starts the next lookup for a peer, within its bounds and those of all peers.
    pub(super) fn start_lookup(&mut self, number: u32, now: Timestamp) -> Option<Output> {
        let room = {
            let peer = self.peers.get(number)?;
            let most = self.settings.limits.loads_per_peer;
            (most.saturating_sub(peer.lookups) as usize).min(BATCH)
        };
        if room == 0 {
            self.note_starved(number, false, now);
            return None;
        }
        // Sizes first: they cost no memory, and their answers are small.
        let (mut what, mut items) = (What::Size, self.take_sizes(number, room));
        if items.is_empty() {
            (what, items) = (What::Data, self.take_datas(number, room, now));
        }
        if items.is_empty() {
            // No memory for more blocks: whose absence has to be said need not wait for it.
            (what, items) = (What::Size, self.take_unsure(number, room));
        }
        if items.is_empty() {
            return None;
        }
        let cids = items.iter().map(|item| item.key.cid()).collect();
        let reserved: u64 = items.iter().map(|item| u64::from(item.reserved)).sum();
        let unanswered = items.len();
        let id = self.lookups.insert(Lookup { peer: number, what, items, unanswered });
        let peer = self.peers.get_mut(number)?;
        peer.loads.push(id.index);
        peer.lookups += unanswered as u32;
        peer.reserved += reserved;
        if reserved > 0 {
            peer.fed = now;
        }
        self.settle(number);
        let id = u64::from(id.age) << 32 | u64::from(id.index);
        Some(Output::Load { id, peer: number, cids, what })
    }

    fn take_sizes(&mut self, number: u32, room: usize) -> Vec<Item> {
        let mut items = Vec::new();
        while items.len() < room
            && let Some(peer) = self.peers.get(number)
            && !peer.lane.is_refused()
            && let Some(place) = peer.queues.sizes.first().copied()
        {
            items.extend(self.take_item(place.row, What::Size, 0));
        }
        items
    }

    fn take_unsure(&mut self, number: u32, room: usize) -> Vec<Item> {
        let mut items = Vec::new();
        while items.len() < room
            && let Some(peer) = self.peers.get(number)
            && peer.lane.version().is_none_or(Version::has_presence)
            && !peer.lane.is_refused()
            && let Some(place) = peer.queues.unsure.first().copied()
        {
            items.extend(self.take_item(place.row, What::Size, 0));
        }
        items
    }

    fn take_datas(&mut self, number: u32, room: usize, now: Timestamp) -> Vec<Item> {
        let mut items = Vec::new();
        let (mut reserved, mut starved) = (0, false);
        while items.len() < room
            && let Some(peer) = self.peers.get(number)
            && peer.can_load()
            && !peer.is_late(now)
            && let Some(place) = peer.queues.datas.first().copied()
        {
            let used = peer.used() + reserved;
            if used >= peer.window {
                break;
            }
            let turn = Turn::of(number, peer, used);
            if !self.may_have_memory(turn, self.answer_bytes + reserved) {
                starved = self.is_little(used);
                if reserved == 0 {
                    self.wait_for_memory(number);
                }
                break;
            }
            let (version, estimate) = (peer.lane.version(), peer.estimate);
            let Some(want) = self.ledger.at(place.row) else { break };
            if version.is_some_and(|version| !version.can_carry(&want.key.cid())) {
                self.turn(place.row, State::Idle);
                continue;
            }
            let bytes = want.size.unwrap_or(estimate);
            if !self.fits(used, bytes) {
                break;
            }
            reserved += u64::from(bytes);
            items.extend(self.take_item(place.row, What::Data, bytes));
        }
        self.note_starved(number, starved, now);
        items
    }

    /// A block of this size stays within what a peer may hold that uses so many bytes. A block beyond the
    /// limit is held alone.
    fn fits(&self, used: u64, size: u32) -> bool {
        let most = u64::from(self.settings.limits.answer_bytes_per_peer);
        used == 0 || used + u64::from(size) <= most
    }

    fn take_item(&mut self, row: u32, what: What, reserved: u32) -> Option<Item> {
        self.turn(row, State::Loading(what));
        let (want, key) = (self.ledger.id(row)?, self.ledger.at(row)?.key.clone());
        Some(Item { key, want, reserved, answered: false })
    }

    /// The host's answer to a lookup, or a part of it; false when there is no such lookup.
    pub(crate) fn loaded(
        &mut self,
        id: u64,
        answers: impl Iterator<Item = Loaded>,
        _now: Timestamp,
    ) -> bool {
        let id = Id { index: id as u32, age: (id >> 32) as u32 };
        let Some(lookup) = self.lookups.get(id) else { return false };
        let (number, what) = (lookup.peer, lookup.what);
        for Loaded { cid, answer } in answers {
            let key = Key::new(&cid);
            let Some(lookup) = self.lookups.get_mut(id) else { break };
            let item = lookup.items.iter_mut().find(|item| !item.answered && item.key == key);
            let Some(item) = item else { continue };
            item.answered = true;
            let (want, reserved) = (item.want, item.reserved);
            lookup.unanswered -= 1;
            let done = lookup.unanswered == 0;
            if let Some(peer) = self.peers.get_mut(number) {
                peer.lookups -= 1;
                peer.reserved -= u64::from(reserved);
                if done {
                    peer.loads.retain(|load| *load != id.index);
                    if peer.loads.is_empty() {
                        peer.loads = Vec::new();
                    }
                }
            }
            if done {
                self.lookups.remove(id.index);
            }
            self.settle(number);
            if let Some(row) = self.ledger.row(want) {
                self.found(row, what, answer, reserved);
                self.settle(number);
            }
        }
        true
    }

    fn found(&mut self, row: u32, what: What, answer: LoadAnswer, reserved: u32) {
        match (what, answer) {
            (What::Size, LoadAnswer::Size(size)) => self.found_size(row, size as usize),
            (What::Size, LoadAnswer::Data(data)) => self.found_size(row, data.len()),
            (What::Data, LoadAnswer::Data(data)) => self.found_data(row, data, reserved),
            (_, LoadAnswer::NotFound | LoadAnswer::Failed) | (What::Data, LoadAnswer::Size(_)) => {
                self.missing(row);
            }
        }
    }

    /// The store does not have it, or will not say.
    fn missing(&mut self, row: u32) {
        let replace = self.settings.replace_have_bytes;
        self.change(row, |want| {
            want.state = if core::mem::take(&mut want.again) {
                State::Queued(want.lookup(replace))
            } else {
                want.size = None;
                if want.owes { State::Presence { have: false } } else { State::Idle }
            };
        });
    }

    fn found_size(&mut self, row: u32, size: usize) {
        if size > self.settings.block_bytes_max {
            return self.missing(row);
        }
        let replace = self.settings.replace_have_bytes;
        self.change(row, |want| {
            want.again = false;
            want.size = Some(size as u32);
            want.state = if want.takes_block(replace) {
                State::Queued(What::Data)
            } else {
                State::Presence { have: true }
            };
        });
    }

    fn found_data(&mut self, row: u32, data: Bytes, reserved: u32) {
        if data.len() > self.settings.block_bytes_max {
            return self.missing(row);
        }
        let replace = self.settings.replace_have_bytes;
        let size = data.len() as u32;
        let Some(want) = self.ledger.at(row) else { return };
        let Some(peer) = self.peers.get_mut(want.peer) else { return };
        peer.learn(size);
        // What was started on too low an estimate is kept only within the bounds. Otherwise it is
        // loaded again when there is room, now that its size is known.
        let (used, may) = (peer.used(), peer.can_load());
        let turn = Turn::of(want.peer, peer, used);
        let within =
            size <= reserved || (self.fits(used, size) && self.has_memory(turn, self.answer_bytes));
        let keep = within && may;
        let Some(want) = self.ledger.at_mut(row) else { return };
        want.again = false;
        want.size = Some(size);
        if !want.takes_block(replace) {
            self.turn(row, State::Presence { have: true });
        } else if keep {
            self.hold(row, data);
        } else {
            self.turn(row, State::Queued(What::Data));
        }
    }

    /// Lets go of the peer's blocks in memory: there is no lane for them.
    pub(super) fn unload(&mut self, number: u32) {
        while let Some(peer) = self.peers.get(number)
            && let Some((place, _)) = peer.queues.blocks.first_key_value()
        {
            let row = place.row;
            self.turn(row, State::Queued(What::Data));
        }
    }

    /// Forgets the peer's lookups; answers to them are ignored.
    pub(super) fn forget_lookups(&mut self, number: u32) {
        let Some(peer) = self.peers.get_mut(number) else { return };
        for lookup in core::mem::take(&mut peer.loads) {
            self.lookups.remove(lookup);
        }
        peer.lookups = 0;
        peer.reserved = 0;
    }
}
