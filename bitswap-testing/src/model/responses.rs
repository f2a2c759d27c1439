//! What each peer wants of us, what the store answered, and what was sent.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec::Vec;
use core::fmt::Debug;

use cid::Cid;

use super::peer_wants::{Peer, PeerWant};
use super::store_answers::{ANSWERS, StoreAnswer, contradictory};
use super::{Verdict, ensure};
use bitswap_core::Config;
use bitswap_core::Prefix;
use bitswap_core::Timestamp;
use bitswap_core::message::{Entry, Message, Version, WantKind, Wantlist};
use bitswap_core::testing::Settings;
use bitswap_core::{BlockInfo, Load, LoadAnswer, LoadId, LoadKind, Loaded, SendId};

#[derive(Debug)]
struct Lookup<P> {
    peer: P,
    open: BTreeSet<Cid>,
    kind: LoadKind,
}

/// A message on its way.
#[derive(Debug)]
struct Sending<P> {
    peer: P,
    responses: Vec<Response>,
}

/// What a message says of one CID.
#[derive(Debug)]
struct Response {
    cid: Cid,
    is_block: bool,
    /// The want that it answers, if there is one.
    serial: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Responses<P> {
    peers: BTreeMap<P, Peer>,
    loads: BTreeMap<LoadId, Lookup<P>>,
    sending: BTreeMap<SendId, Sending<P>>,
    serials: u64,
    serve: bool,
    shut: bool,
    block_bytes_max: usize,
    small: usize,
    loads_max: usize,
    entries_max: usize,
    ledger_max: usize,
    ledger_per_peer: usize,
}

impl<P: Copy + Ord + Debug> Responses<P> {
    pub(super) fn new(config: &Config) -> Self {
        let Settings { limits, serve, block_bytes_max, replace_have_bytes, .. } = config.settings();
        Self {
            peers: BTreeMap::new(),
            loads: BTreeMap::new(),
            sending: BTreeMap::new(),
            serials: 0,
            serve,
            shut: false,
            block_bytes_max: block_bytes_max as usize,
            small: replace_have_bytes.unwrap_or(0) as usize,
            loads_max: limits.loads_per_peer as usize,
            entries_max: limits.entries_per_message as usize,
            ledger_max: limits.ledger as usize,
            ledger_per_peer: limits.ledger_per_peer as usize,
        }
    }

    pub(super) fn connected(&mut self, peer: P) {
        self.peers.insert(peer, Peer::default());
    }

    pub(super) fn disconnected(&mut self, peer: P) {
        self.peers.remove(&peer);
        self.loads.retain(|_, load| load.peer != peer);
        self.sending.retain(|_, sending| sending.peer != peer);
    }

    /// The stream for responses is open for this version.
    pub(crate) fn opened(&mut self, peer: P, version: Version) {
        if let Some(row) = self.peers.get_mut(&peer) {
            row.oldest = Some(row.oldest.map_or(version, |oldest| oldest.min(version)));
        }
    }

    pub(super) fn wanted(&mut self, peer: P, list: &Wantlist) {
        let Some(row) = self.peers.get_mut(&peer) else {
            return;
        };
        let on_their_way: BTreeSet<Cid> = self
            .sending
            .values()
            .filter(|sending| sending.peer == peer)
            .flat_map(|sending| sending.responses.iter().map(|response| response.cid))
            .collect();
        if list.full {
            // What is on its way is the answer to a want that goes on, unless less is asked for now.
            row.wants.retain(|cid, ask| {
                let repeats = |entry: &Entry| {
                    let as_much =
                        entry.kind >= ask.kind && (entry.send_dont_have || !ask.dont_have);
                    !entry.cancel && entry.cid == *cid && as_much
                };
                on_their_way.contains(cid) && list.entries.iter().any(repeats)
            });
            row.ambiguous.clear();
        }
        let mut wanted = BTreeSet::new();
        let mut cancelled = BTreeSet::new();
        // What a message cancels at its end had its place until then.
        let mut most = row.wants.len();
        for (place, entry) in list.entries.iter().enumerate() {
            let is_skipped = place >= self.entries_max;
            if is_skipped {
                row.ambiguous.insert(entry.cid);
            }
            if entry.cancel {
                cancelled.insert(entry.cid);
                row.wants.remove(&entry.cid);
                if !is_skipped {
                    row.known.remove(&entry.cid);
                }
            } else {
                wanted.insert(entry.cid);
                self.serials += 1;
                row.ask(entry, on_their_way.contains(&entry.cid), self.serials);
                most = most.max(row.wants.len());
            }
        }
        row.ambiguous.extend(wanted.intersection(&cancelled));
        self.overflow(peer, most);
    }

    /// Which wants were evicted where there are too many is not known from outside. `most`: of this peer there
    /// were so many at a time.
    fn overflow(&mut self, peer: P, most: usize) {
        let others = self.peers.iter().filter(|(other, _)| **other != peer);
        let all = most + others.map(|(_, row)| row.wants.len()).sum::<usize>();
        for (other, row) in &mut self.peers {
            if all > self.ledger_max || *other == peer && most > self.ledger_per_peer {
                row.ambiguous.extend(row.wants.keys());
            }
        }
    }

    /// Responses may be lost: blocks may go again, and so may what was said.
    pub(super) fn lost(&mut self, peer: P, now: Timestamp) {
        if let Some(row) = self.peers.get_mut(&peer) {
            row.lost(now);
        }
    }

    pub(super) fn load(&mut self, load: &Load<P>) -> Verdict {
        let Load { id, peer, cids, kind } = load;
        ensure!(self.serve, "the store was asked although nobody is served");
        ensure!(!cids.is_empty(), "the store was asked nothing for {peer:?}");
        let open: BTreeSet<Cid> = cids.iter().copied().collect();
        ensure!(open.len() == cids.len(), "the store was asked one CID twice for {peer:?}");
        if let Some(row) = self.peers.get(peer) {
            for cid in cids {
                ensure!(
                    row.wants.contains_key(cid) || row.ambiguous.contains(cid),
                    "the store was asked for {cid}, which {peer:?} does not want"
                );
            }
        }
        let again = self.loads.insert(*id, Lookup { peer: *peer, open, kind: *kind });
        ensure!(again.is_none(), "the name {id:?} was used again");
        let under_way: usize =
            self.loads.values().filter(|load| load.peer == *peer).map(|load| load.open.len()).sum();
        ensure!(
            under_way <= self.loads_max,
            "{under_way} blocks are looked up for {peer:?}, the limit is {}",
            self.loads_max
        );
        Ok(())
    }

    pub(crate) fn loaded(&mut self, id: LoadId, answers: &[Loaded]) {
        let Some(load) = self.loads.get_mut(&id) else {
            return;
        };
        for Loaded { cid, answer } in answers {
            if !load.open.remove(cid) {
                continue;
            }
            let known = match answer {
                LoadAnswer::Size(size) if *size as usize > self.block_bytes_max => {
                    StoreAnswer::Absent
                }
                LoadAnswer::Data(data) if data.len() > self.block_bytes_max => StoreAnswer::Absent,
                // Not what was asked for: as good as a failure.
                LoadAnswer::Size(_) if load.kind == LoadKind::Data => StoreAnswer::Failed,
                LoadAnswer::Size(_) => StoreAnswer::Size,
                LoadAnswer::Data(data) => StoreAnswer::Data(data.clone()),
                LoadAnswer::NotFound => StoreAnswer::Absent,
                LoadAnswer::Failed => StoreAnswer::Failed,
            };
            if let Some(row) = self.peers.get_mut(&load.peer) {
                let words = row.known.entry(*cid).or_default();
                // Who cancels and wants again has many lookups answered that nobody waits for: what they
                // repeat must not push out what was said before.
                words.retain(|word| *word != known);
                if words.len() == ANSWERS {
                    words.remove(0);
                }
                words.push(known);
            }
        }
        if load.open.is_empty() {
            self.loads.remove(&id);
        }
    }

    /// Blocks came into the store: that it lacked them no longer counts.
    pub(crate) fn blocks_stored(&mut self, blocks: &[BlockInfo]) {
        let is_lack =
            |word: &StoreAnswer| matches!(word, StoreAnswer::Absent | StoreAnswer::Failed);
        for row in self.peers.values_mut() {
            for block in blocks {
                let Some(words) = row.known.get_mut(&block.cid) else { continue };
                if !words.last().is_some_and(is_lack) {
                    continue;
                }
                // Bytes that it gave in answer to another lookup may be on their way.
                words.retain(|word| !is_lack(word));
                if words.is_empty() {
                    row.known.remove(&block.cid);
                }
                // Sent before, as another lookup had found it, or HAVE, if that is all that is asked for: nothing
                // more is owed.
                let is_owed = |ask: &&mut PeerWant| !ask.sent_block && !ask.sent_have;
                if let Some(ask) = row.wants.get_mut(&block.cid).filter(is_owed) {
                    ask.answered = false;
                }
            }
        }
    }

    /// The transport took a message, or not: then it has to be sent again.
    pub(crate) fn sent(&mut self, id: SendId, ok: bool, now: Timestamp) {
        let Some(Sending { peer, responses }) = self.sending.remove(&id) else {
            return;
        };
        let Some(row) = self.peers.get_mut(&peer) else {
            return;
        };
        for Response { cid, is_block, serial } in responses {
            row.confirmed += usize::from(ok);
            let Some(ask) = row.wants.get_mut(&cid) else { continue };
            if ok {
                ask.sent_block |= is_block && core::mem::take(&mut ask.lost_block);
                // Also one that was asked for again while it was on its way.
                if is_block && serial == Some(ask.serial) {
                    (ask.sent_block, ask.taken, ask.answered) = (true, Some(now), true);
                }
            } else {
                ask.failed(id);
            }
        }
    }

    /// The engine resets the peer's stream: what was on its way has to be sent again.
    pub(super) fn aborted(&mut self, peer: P, now: Timestamp) -> Verdict {
        let waits =
            |row: &Peer| !row.ambiguous.is_empty() || row.wants.values().any(|ask| !ask.answered);
        ensure!(
            self.peers.iter().any(|(other, row)| *other != peer && waits(row)),
            "the answers to {peer:?} are given up, but nobody else waits for any"
        );
        let on_their_way = self.sending.iter().filter(|(_, sending)| sending.peer == peer);
        let ids: Vec<SendId> = on_their_way.map(|(id, _)| *id).collect();
        for id in ids {
            self.sent(id, false, now);
        }
        self.lost(peer, now);
        Ok(())
    }

    /// Nobody is served any more. What is composed already may still go.
    pub(crate) fn shut(&mut self) {
        self.shut = true;
    }

    /// Wants of a peer that should have been answered by now. `version` is its answers stream's.
    pub(super) fn unanswered(&self, peer: P, version: Version) -> Vec<Cid> {
        let Some(row) = self.peers.get(&peer).filter(|_| self.serve && !self.shut) else {
            return Vec::new();
        };
        // What a stream could not carry waits until it is asked for again, also if the next one could.
        let version = row.oldest.map_or(version, |oldest| oldest.min(version));
        let due =
            |cid: &Cid, ask: &PeerWant| match row.known.get(cid).and_then(|words| words.last()) {
                _ if !is_servable(cid) => false,
                // Old versions cannot tell a receiver the CID of a block.
                _ if !version.has_prefix() && Prefix::of(cid) != Ok(Prefix::V0) => false,
                None => true,
                // What a server makes of a store that fails, or contradicts itself, is its own matter.
                Some(StoreAnswer::Failed) => false,
                _ if row.known.get(cid).is_some_and(|words| contradictory(words)) => false,
                Some(StoreAnswer::Absent) => {
                    ask.owed && !ask.knows_absence && version.has_presence()
                }
                Some(StoreAnswer::Size) => ask.kind == WantKind::Have && version.has_presence(),
                Some(StoreAnswer::Data(_)) => version.has_presence() || ask.kind == WantKind::Block,
            };
        let asks = row
            .wants
            .iter()
            .filter(|(cid, ask)| !ask.answered && !row.ambiguous.contains(cid) && due(cid, ask));
        asks.map(|(cid, _)| *cid).collect()
    }

    /// Checks and notes an answer that was sent.
    pub(super) fn send(
        &mut self,
        id: SendId,
        peer: P,
        version: Version,
        message: &Message,
    ) -> Verdict {
        ensure!(self.serve, "{peer:?} was answered although nobody is served");
        let small = self.small;
        let blocks = message.blocks.iter().map(|block| (*block.cid(), true));
        let presences = message.presences.iter().map(|presence| (presence.cid, false));
        let asks = self.peers.get(&peer).map(|row| &row.wants);
        let serial = |cid: &Cid| asks.and_then(|asks| asks.get(cid)).map(|ask| ask.serial);
        let responses = blocks.chain(presences);
        let responses =
            responses.map(|(cid, is_block)| Response { cid, is_block, serial: serial(&cid) });
        self.sending.insert(id, Sending { peer, responses: responses.collect() });
        let Some(row) = self.peers.get_mut(&peer) else {
            return Ok(());
        };
        let mut named = BTreeSet::new();
        for block in &message.blocks {
            let cid = *block.cid();
            ensure!(named.insert(cid), "{cid} is twice in one message to {peer:?}");
            ensure!(
                version.has_prefix() || Prefix::of(&cid) == Ok(Prefix::V0),
                "{cid} went to {peer:?} of {version:?}, which cannot carry its CID"
            );
            let words = row.known.get(&cid).into_iter().flatten();
            let given = words
                .filter(|word| matches!(word, StoreAnswer::Data(data) if data == block.data()))
                .count();
            ensure!(given > 0, "{peer:?} was sent {cid} with bytes that the store did not give");
            if row.ambiguous.contains(&cid) {
                if let Some(ask) = row.wants.get_mut(&cid) {
                    ask.respond_block(id);
                }
                continue;
            }
            let Some(ask) = row.wants.get_mut(&cid) else {
                return Err(format!(
                    "{peer:?} was sent {cid}, for which it does not ask (any more)"
                ));
            };
            ensure!(
                ask.kind == WantKind::Block || block.data().len() <= small,
                "{peer:?} asked whether we have {cid} and was sent {} bytes",
                block.data().len()
            );
            ensure!(!ask.sent_block, "{peer:?} was sent {cid} twice for one want");
            ask.respond_block(id);
        }
        for presence in &message.presences {
            let cid = presence.cid;
            ensure!(named.insert(cid), "{cid} is twice in one message to {peer:?}");
            if row.ambiguous.contains(&cid) {
                if let Some(ask) = row.wants.get_mut(&cid) {
                    ask.respond_presence(id, presence.have);
                }
                continue;
            }
            let known = row.known.get(&cid).map_or(&[][..], |words| words);
            let Some(ask) = row.wants.get_mut(&cid) else {
                return Err(format!(
                    "{peer:?} was sent a presence of {cid}, for which it does not ask (any more)"
                ));
            };
            ensure!(!ask.sent_block, "{peer:?} was sent a presence of {cid} after the block");
            if presence.have {
                ensure!(
                    known
                        .iter()
                        .any(|word| matches!(word, StoreAnswer::Size | StoreAnswer::Data(_))),
                    "HAVE for {cid} went to {peer:?}, but the store said {known:?}"
                );
                ensure!(
                    ask.kind == WantKind::Have,
                    "{peer:?} asked for {cid} itself and was sent HAVE"
                );
                ensure!(!ask.sent_have, "{peer:?} was sent HAVE for {cid} twice");
            } else {
                ensure!(
                    ask.dont_have,
                    "{peer:?} was sent DONT_HAVE for {cid} and did not ask for it"
                );
                let unservable = !is_servable(&cid);
                ensure!(
                    unservable
                        || known
                            .iter()
                            .any(|word| matches!(word, StoreAnswer::Absent | StoreAnswer::Failed)),
                    "DONT_HAVE for {cid} went to {peer:?}, but the store said {known:?}"
                );
                ensure!(!ask.sent_dont_have, "{peer:?} was sent DONT_HAVE for {cid} twice");
            }
            ask.respond_presence(id, presence.have);
        }
        Ok(())
    }
}

/// Whether a block of this CID can be proved by its bytes, so that the store is asked for it at all.
fn is_servable(cid: &Cid) -> bool {
    Prefix::of(cid).is_ok_and(|prefix| prefix.fetchable().is_ok())
}
