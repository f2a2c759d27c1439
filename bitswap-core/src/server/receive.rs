//! Wantlists come in; blocks become available.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use cid::Cid;

use crate::key::Key;
use crate::message::{Entry, WantKind, Wantlist};
use crate::output::BlockInfo;
use crate::prefix::Prefix;
use crate::time::Timestamp;

use super::Server;
use super::want::{Said, State, Want};

impl Server {
    /// Applies a wantlist, entry by entry in its order. What does not fit the limits is counted
    /// and skipped.
    pub(crate) fn wantlist(&mut self, peer: u32, wantlist: Wantlist, _now: Timestamp) {
        let Some(state) = self.peers.get_mut(peer) else { return };
        if !self.settings.serve || self.closing {
            return;
        }
        state.lane.revive();
        let most = self.settings.limits.entries_per_message as usize;
        let skipped = wantlist.entries.len().saturating_sub(most) as u64;
        self.count(peer, |served| served.skipped_entries += skipped);
        if wantlist.full {
            self.keep_only(peer, wantlist.entries.iter().take(most));
        }
        for entry in wantlist.entries.iter().take(most) {
            self.entry(peer, entry);
        }
        self.settle(peer);
    }

    /// These blocks are in the store now: wants for them that were answered by absence, or may be
    /// about to be, are looked up again. The lookup asks the host, which may refuse the peer.
    pub(crate) fn announce(&mut self, blocks: &[BlockInfo], _now: Timestamp) {
        for block in blocks {
            let rows: Vec<u32> = self.ledger.of_cid(&Key::new(&block.cid)).collect();
            for row in rows {
                self.available(row, block.size);
            }
        }
    }

    fn available(&mut self, row: u32, size: u32) {
        let Some(want) = self.ledger.at_mut(row) else { return };
        let peer = want.peer;
        let replace = self.settings.replace_have_bytes;
        match want.state {
            _ if !want.servable => return,
            State::Loading(_) => want.again = true,
            State::Idle
            | State::Queued(_)
            | State::Presence { have: false }
            | State::Sending(Said::DontHave, _) => {
                self.change(row, |want| {
                    want.size = Some(size);
                    want.state = State::Queued(want.lookup(replace));
                });
            }
            // These answers say what has become true.
            State::Presence { have: true }
            | State::Block
            | State::Sending(Said::Have | Said::Block(_), _)
            | State::Sent(_) => return,
        }
        self.settle(peer);
    }

    /// Ends the peer's wants that a full wantlist does not repeat.
    fn keep_only<'a>(&mut self, peer: u32, entries: impl Iterator<Item = &'a Entry>) {
        let kept: BTreeSet<u32> = entries.filter_map(|entry| self.kept(peer, entry)).collect();
        let Some(state) = self.peers.get(peer) else { return };
        let gone: Vec<u32> = self
            .ledger
            .of_peer(state.first)
            .map(|(row, _)| row)
            .filter(|row| !kept.contains(row))
            .collect();
        for row in gone {
            self.remove(row);
        }
    }

    /// The want that an entry of a full wantlist repeats, unless the entry asks for less.
    fn kept(&self, peer: u32, entry: &Entry) -> Option<u32> {
        let row = self.ledger.find(peer, &Key::new(&entry.cid))?;
        let want = self.ledger.at(row)?;
        let less = entry.kind < want.kind || (want.asks && !entry.send_dont_have);
        (!less).then_some(row)
    }

    fn entry(&mut self, peer: u32, entry: &Entry) {
        let key = Key::new(&entry.cid);
        let found = self.ledger.find(peer, &key);
        if entry.cancel {
            self.count(peer, |served| served.cancels += 1);
            if let Some(row) = found {
                self.remove(row);
            }
            return;
        }
        self.count(peer, |served| served.wants += 1);
        if !is_servable(&entry.cid) {
            self.count(peer, |served| served.skipped_entries += 1);
            if entry.send_dont_have && found.is_none() && self.has_room(peer) {
                let mut want = Want::new(peer, key, entry, self.age());
                want.servable = false;
                want.state = State::Presence { have: false };
                self.insert(want);
            }
            return;
        }
        let answered = |row: &u32| {
            self.ledger.at(*row).is_some_and(|want| matches!(want.state, State::Sent(_)))
        };
        match found {
            Some(row) if answered(&row) => {
                self.remove(row);
                self.want(peer, key, entry);
            }
            Some(row) => self.repeat(row, entry),
            None => self.want(peer, key, entry),
        }
    }

    /// A want that is not in the ledger yet.
    fn want(&mut self, peer: u32, key: Key, entry: &Entry) {
        if !self.make_room(peer, entry.priority) {
            self.count(peer, |served| served.skipped_entries += 1);
            return;
        }
        let mut want = Want::new(peer, key, entry, self.age());
        want.state = State::Queued(want.lookup(self.settings.replace_have_bytes));
        self.insert(want);
    }

    /// A want that is in the ledger already. It takes the new priority and the stronger kind, and
    /// is answered again, unless the answer is on its way already.
    fn repeat(&mut self, row: u32, entry: &Entry) {
        let replace = self.settings.replace_have_bytes;
        self.change(row, |want| {
            want.priority = entry.priority;
            want.kind = want.kind.max(entry.kind);
            want.asks |= entry.send_dont_have;
            want.owes |= entry.send_dont_have;
            let again = match want.state {
                State::Idle | State::Queued(_) => true,
                State::Presence { have } => have && want.kind == WantKind::Block,
                // A block is not sent twice for one want; presences cost nothing.
                State::Sending(Said::Have | Said::DontHave, _) => true,
                State::Sending(Said::Block(_), _)
                | State::Loading(_)
                | State::Block
                | State::Sent(_) => false,
            };
            if again {
                want.state = State::Queued(want.lookup(replace));
            }
        });
    }

    /// Makes room for one more want; false when there is none to be had.
    ///
    /// Evicted first is what is answered, then the oldest wants whose blocks are not here, then the
    /// least urgent of those that nothing was done for yet. In a ledger that is full with the wants of
    /// others, those of the peer with the most are evicted for a peer with fewer, whatever their
    /// state: a peer that takes no answers must not keep its place by that.
    fn make_room(&mut self, peer: u32, priority: i32) -> bool {
        if self.has_room(peer) {
            return true;
        }
        let len = self.peers.get(peer).map_or(0, |peer| peer.len);
        if len < self.settings.limits.ledger_per_peer
            && let Some(&(most, greedy)) = self.by_wants.last()
            && greedy != peer
            && most > len + 1
            && let Some(row) = self.expendable(greedy, None).or_else(|| self.latest(greedy))
        {
            self.evict(row);
            self.settle(greedy);
            return true;
        }
        let row = self.expendable(peer, Some(priority));
        row.is_some_and(|row| self.evict(row))
    }

    fn has_room(&self, peer: u32) -> bool {
        let limits = &self.settings.limits;
        self.ledger.len() < limits.ledger as usize
            && self.peers.get(peer).is_some_and(|peer| peer.len < limits.ledger_per_peer)
    }

    /// The want of a peer that costs least to give up, before an answer to it was composed. A queued
    /// one is given up only for one that is no less urgent.
    fn expendable(&self, peer: u32, newcomer: Option<i32>) -> Option<u32> {
        let queues = &self.peers.get(peer)?.queues;
        let queued = queues.last_queued();
        let beaten = queued.filter(|last| newcomer.is_none_or(|new| last.priority.0 <= new));
        queues.spare().or_else(|| beaten.map(|last| last.row))
    }

    /// The want of a peer that was added last: its answer is most likely the last one due.
    fn latest(&self, peer: u32) -> Option<u32> {
        let first = self.peers.get(peer)?.first;
        self.ledger.at(first).map(|_| first)
    }

    fn evict(&mut self, row: u32) -> bool {
        let Some(want) = self.ledger.at(row) else { return false };
        let (peer, answered) = (want.peer, matches!(want.state, State::Sent(_)));
        self.count(peer, |served| served.evicted_wants += u64::from(!answered));
        self.remove(row);
        true
    }

    const fn age(&mut self) -> u64 {
        self.next_age += 1;
        self.next_age
    }
}

/// Whether a store could have a block of this CID, and the peer could check it.
fn is_servable(cid: &Cid) -> bool {
    Prefix::of(cid).is_ok_and(|prefix| prefix.fetchable().is_ok())
}
