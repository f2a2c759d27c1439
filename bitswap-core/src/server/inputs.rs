//! What the network, the host and the local user tell the server: each input goes to the parts that it concerns, and
//! what they return to the others.

use bytes::Bytes;
use cid::Cid;

use crate::error::{OpenError, SendError};
use crate::key::Key;
use crate::message::{Version, Wantlist};
use crate::outbound_stream::OutboundStream;
use crate::output::{BlockInfo, LoadAnswer, LoadKind, Loaded, Rates};
use crate::peer::Peer;
use crate::stats::Served;
use crate::time::Timestamp;
use crate::trace::log;
use crate::util::rows::Ref;

use super::Server;
use super::ledger::Applied;
use super::loader::Answered;
use super::peer_state::can_hold_blocks;
use super::want::{Response, Want};

impl Server {
    /// The host's answer to [`Output::Open`](super::Output::Open); false when there was none to answer.
    pub(crate) fn opened(
        &mut self,
        peer: Ref<Peer>,
        result: Result<Version, OpenError>,
        now: Timestamp,
    ) -> bool {
        let known = self.peers.update(peer, |state| state.opened(result, now)) == Some(true);
        if known {
            self.memory.expects_nothing(peer);
        }
        if known
            && result.is_err()
            && !self.peers.stream(peer).is_some_and(OutboundStream::is_closed)
        {
            self.ledger.unload(peer);
        }
        self.refresh(peer);
        known
    }

    /// Applies a wantlist, entry by entry in its order. What does not fit the limits is counted and skipped.
    pub(crate) fn wantlist(&mut self, peer: Ref<Peer>, wantlist: Wantlist, _now: Timestamp) {
        if !self.settings.serve || self.closing {
            return;
        }
        self.peers.update(peer, |state| state.revive());
        let most = self.settings.entries_per_message;
        let beyond = wantlist.entries.len().saturating_sub(most) as u64;
        self.peers.count(peer, |served| served.skipped_entries += beyond);
        if wantlist.full {
            self.ledger.keep_only(peer, wantlist.entries.iter().take(most));
        }
        for entry in wantlist.entries.iter().take(most) {
            let applied = self.ledger.apply(peer, entry);
            self.peers.count(peer, |served| match applied {
                Applied::Cancelled => served.cancels += 1,
                Applied::Wanted { .. } => served.wants += 1,
                Applied::Skipped => {
                    served.wants += 1;
                    served.skipped_entries += 1;
                }
            });
            if let Applied::Wanted { evicted: Some(evicted) } = applied {
                let lost = u64::from(!evicted.answered);
                log!(debug, "a want is given up for another", row = evicted.peer, lost = lost);
                self.peers.count(evicted.peer, |served| served.evicted_wants += lost);
                if evicted.peer != peer {
                    self.refresh(evicted.peer);
                }
            }
        }
        self.refresh(peer);
    }

    /// A peer that fetches itself sent these blocks, which are not stored yet: others may have got them from it as well.
    pub(crate) fn blocks_came<'a>(&mut self, cids: impl Iterator<Item = &'a Cid>, now: Timestamp) {
        for key in cids.map(Key::new) {
            if self.ledger.is_wanted(&key) {
                self.relays.hold(key, now);
            }
        }
    }

    /// These blocks are in the store now: wants for them that were answered by absence, or may be about to be, are
    /// looked up again. The lookup asks the host, which may refuse the peer.
    pub(crate) fn notify_new_blocks(&mut self, blocks: &[BlockInfo], _now: Timestamp) {
        for block in blocks {
            let key = Key::new(&block.cid);
            let is_held = self.relays.stored(&key, block.size);
            for row in self.ledger.of_cid(&key) {
                // To others something is said that is not true any more, or soon would be.
                if !(is_held && self.ledger.waits_for_block(row)) {
                    self.block_stored(row, block.size);
                }
            }
        }
    }

    /// Sends on what was held and is due.
    pub(super) fn relay(&mut self, now: Timestamp) {
        while let Some((key, size)) = self.relays.next(now) {
            for row in self.ledger.of_cid(&key) {
                self.block_stored(row, size);
            }
        }
    }

    fn block_stored(&mut self, row: Ref<Want>, size: u32) {
        if let Some(peer) = self.ledger.block_stored(row, size) {
            self.refresh(peer);
        }
    }

    /// The host's answer to a lookup, or a part of it; false when there is no such lookup.
    pub(crate) fn loaded(
        &mut self,
        id: u64,
        answers: impl Iterator<Item = Loaded>,
        _now: Timestamp,
    ) -> bool {
        if !self.loader.is_under_way(id) {
            return false;
        }
        for Loaded { cid, answer } in answers {
            if let Some(answered) = self.loader.answered(id, &cid) {
                self.refresh(answered.peer);
                self.found(answered, answer);
                self.refresh(answered.peer);
            }
        }
        true
    }

    /// The store told of one block.
    fn found(&mut self, lookup: Answered, answer: LoadAnswer) {
        // The want may have ended meanwhile.
        let Some(row) = self.ledger.row(lookup.want) else { return };
        let size = match (lookup.kind, &answer) {
            (LoadKind::Size, LoadAnswer::Size(size)) => Some(*size as usize),
            (_, LoadAnswer::Data(data)) => Some(data.len()),
            (_, LoadAnswer::NotFound | LoadAnswer::Failed)
            | (LoadKind::Data, LoadAnswer::Size(_)) => None,
        };
        match (size.filter(|size| *size <= self.settings.block_bytes_max), answer) {
            (None, _) => self.ledger.not_found(row),
            (Some(_), LoadAnswer::Data(data)) if lookup.kind == LoadKind::Data => {
                let keep = self.may_keep(lookup, &data);
                self.ledger.block_found(row, data, keep);
            }
            (Some(size), _) => self.ledger.size_found(row, size as u32),
        }
    }

    /// Whether a block that was loaded may stay in memory.
    fn may_keep(&mut self, lookup: Answered, data: &Bytes) -> bool {
        let (peer, size) = (lookup.peer, data.len() as u32);
        self.loader.learn(peer, size);
        self.peers.stream(peer).is_some_and(can_hold_blocks)
            && self.memory.may_keep(peer, size, lookup.reserved)
    }

    /// The transport took a message, or could not; false when there is no such message.
    pub(crate) fn sent(
        &mut self,
        peer: Ref<Peer>,
        seq: u32,
        result: Result<(), SendError>,
        now: Timestamp,
    ) -> bool {
        let ok = result.is_ok();
        let sent = self.peers.update(peer, |state| state.sent(seq, ok, now)).flatten();
        let Some((bytes, responses)) = sent else { return false };
        if ok {
            self.memory.took(peer, bytes, now);
        } else {
            self.memory.took_nothing(peer);
            self.peers.count(peer, |served| served.failed_sends += 1);
        }
        if self.peers.stream(peer).is_some_and(|stream| stream.bytes() == 0) {
            self.memory.expects_nothing(peer);
        }
        for sent in responses {
            if ok {
                self.peers.count(peer, |served| count(served, sent.response));
                self.ledger.transport_took(sent.want, sent.response, seq, now);
            } else {
                self.ledger.send_failed(sent.want, sent.response, seq);
            }
        }
        self.unload_if_retrying(peer);
        self.refresh(peer);
        true
    }

    /// The stream is gone, and the end of what was sent on it may be lost.
    pub(crate) fn reset(&mut self, peer: Ref<Peer>, now: Timestamp) {
        self.peers.update(peer, |state| state.reset(now));
        self.ledger.put_back_unconfirmed(peer, now);
        self.unload_if_retrying(peer);
        self.refresh(peer);
    }

    /// A stream that is not tried again yet holds no blocks.
    fn unload_if_retrying(&mut self, peer: Ref<Peer>) {
        if self.peers.stream(peer).is_some_and(|stream| stream.retry_at().is_some()) {
            self.ledger.unload(peer);
        }
    }

    pub(crate) fn set_rates(&mut self, rates: Rates, now: Timestamp) {
        self.scheduler.set_rates(rates, now);
        self.agenda.touch_all();
    }

    /// Forgets all wants; streams close as soon as nothing is on its way on them.
    pub(crate) fn shutdown(&mut self, _now: Timestamp) {
        self.closing = true;
        self.relays.clear();
        for peer in self.peers.all() {
            self.ledger.forget(peer);
            self.loader.forget(peer);
            self.refresh(peer);
        }
    }
}

/// Counts a response that the transport took.
fn count(served: &mut Served, response: Response) {
    match response {
        Response::Block(bytes) => {
            served.blocks += 1;
            served.bytes += u64::from(bytes);
        }
        Response::Have => served.haves += 1,
        Response::DontHave => served.dont_haves += 1,
    }
}
