//! The baseline client: want-haves to all until one answers; then a want-block to one that has it and
//! want-haves to the others that ever answered.

use std::collections::BTreeMap;
use std::time::Duration;

use bitswap_core::{Entry, Message, Timestamp, WantKind};
use cid::Cid;

use crate::actor::Context;
use crate::draw;
use crate::fetch::Plan;
use crate::node::Node;
use crate::rng::Rng;

/// CIDs that are asked of all peers at a time.
const BROADCAST_MAX: usize = 64;
/// Least time between two messages to a peer.
const PAUSE: Duration = Duration::from_millis(20);
/// Added for each connected peer beyond what fits into the least time.
const PAUSE_PER_PEER: Duration = Duration::from_micros(125);

#[derive(Debug)]
pub(super) struct Client {
    plan: Plan,
    rng: Rng,
    outboxes: BTreeMap<Node, Outbox>,
    wants: BTreeMap<Cid, Asked>,
    /// The order in which blocks were wanted.
    order: Vec<Cid>,
    /// Peers that answered, with the number of blocks they delivered first.
    partners: BTreeMap<Node, u64>,
    began: bool,
    pub(super) finished: Option<Timestamp>,
}

/// What was asked about one want.
#[derive(Debug, Default)]
struct Asked {
    presence: BTreeMap<Node, bool>,
    block_from: Option<Node>,
    broadcast: bool,
}

/// What waits to be said to one peer.
#[derive(Debug, Default)]
struct Outbox {
    pending: Vec<Entry>,
    cancels: Vec<Cid>,
    told: BTreeMap<Cid, WantKind>,
    ready_at: Timestamp,
}

impl Outbox {
    fn want(&mut self, cid: Cid, kind: WantKind, ask: bool) {
        self.cancels.retain(|other| *other != cid);
        let told = self.told.get(&cid).copied();
        if told == Some(WantKind::Block) || told == Some(kind) {
            return;
        }
        match self.pending.iter_mut().find(|entry| entry.cid == cid) {
            Some(entry) if kind == WantKind::Block => *entry = Entry::want(cid, kind, 1, ask),
            Some(_) => {}
            None => self.pending.push(Entry::want(cid, kind, 1, ask)),
        }
    }

    fn cancel(&mut self, cid: Cid) {
        self.pending.retain(|entry| entry.cid != cid);
        if self.told.remove(&cid).is_some() {
            self.cancels.push(cid);
        }
    }
}

impl Client {
    pub(super) fn new(plan: Plan, seed: u64) -> Self {
        Self {
            plan,
            rng: Rng::new(&draw::seed(seed, 1), "naive"),
            outboxes: BTreeMap::new(),
            wants: BTreeMap::new(),
            order: Vec::new(),
            partners: BTreeMap::new(),
            began: false,
            finished: None,
        }
    }

    pub(super) fn connected(&mut self, peer: Node) {
        self.outboxes.entry(peer).or_default();
    }

    pub(super) fn started(&self) -> bool {
        self.began
    }

    pub(super) fn next_round(&mut self, now: Timestamp) {
        self.began = true;
        let Some(round) = self.plan.rounds.pop_front() else {
            self.finished.get_or_insert(now);
            return;
        };
        self.order = round.iter().flatten().map(|want| want.cid).collect();
        for cid in &self.order {
            self.wants.insert(*cid, Asked::default());
        }
        if self.partners.is_empty() {
            let first: Vec<Cid> = self.order.iter().take(BROADCAST_MAX).copied().collect();
            self.broadcast(&first);
        }
        self.ask();
    }

    pub(super) fn received(&mut self, from: Node, message: &Message, now: Timestamp) {
        let mut useful = false;
        for block in &message.blocks {
            if let Some(asked) = self.wants.remove(block.cid()) {
                useful = true;
                self.order.retain(|cid| cid != block.cid());
                *self.partners.entry(from).or_default() += 1;
                for outbox in self.outboxes.values_mut() {
                    outbox.cancel(*block.cid());
                }
                drop(asked);
            }
        }
        for presence in &message.presences {
            if let Some(asked) = self.wants.get_mut(&presence.cid) {
                let known = asked.presence.entry(from).or_insert(presence.have);
                *known |= presence.have;
                if presence.have {
                    useful = true;
                    self.partners.entry(from).or_default();
                } else if asked.block_from == Some(from) {
                    asked.block_from = None;
                }
            }
        }
        if useful || !message.presences.is_empty() {
            self.ask();
        }
        if self.began && self.wants.is_empty() {
            self.next_round(now);
        }
    }

    /// Asks the partners for everything that is not asked of one of them.
    fn ask(&mut self) {
        let mut exhausted = Vec::new();
        for cid in &self.order {
            let Some(asked) = self.wants.get_mut(cid) else {
                continue;
            };
            if asked.block_from.is_none() {
                let lacks = |peer: &Node| asked.presence.get(peer) == Some(&false);
                let has = |peer: &Node| asked.presence.get(peer) == Some(&true);
                let any_has = self.partners.keys().any(has);
                let best: Vec<(Node, u64)> = self
                    .partners
                    .iter()
                    .filter(|(peer, _)| if any_has { has(peer) } else { !lacks(peer) })
                    .map(|(peer, blocks)| (*peer, blocks + 1))
                    .collect();
                if best.is_empty() {
                    if !self.partners.is_empty() && !asked.broadcast {
                        exhausted.push(*cid);
                    }
                    continue;
                }
                let mut ticket = self.rng.below(best.iter().map(|(_, weight)| weight).sum());
                for (peer, weight) in best {
                    if ticket < weight {
                        asked.block_from = Some(peer);
                        break;
                    }
                    ticket -= weight;
                }
            }
            for peer in self.partners.keys() {
                if let Some(outbox) = self.outboxes.get_mut(peer) {
                    let chosen = asked.block_from == Some(*peer);
                    let kind = if chosen { WantKind::Block } else { WantKind::Have };
                    outbox.want(*cid, kind, true);
                }
            }
        }
        self.broadcast(&exhausted);
    }

    fn broadcast(&mut self, cids: &[Cid]) {
        for cid in cids {
            if let Some(asked) = self.wants.get_mut(cid) {
                asked.broadcast = true;
            }
            for outbox in self.outboxes.values_mut() {
                outbox.want(*cid, WantKind::Have, false);
            }
        }
    }

    /// Sends what waits, one message to a peer and then none for a while.
    pub(super) fn flush(&mut self, context: &mut Context<'_>) {
        let pause = (PAUSE_PER_PEER * self.outboxes.len() as u32).max(PAUSE);
        for (peer, outbox) in &mut self.outboxes {
            if outbox.pending.is_empty() && outbox.cancels.is_empty() {
                continue;
            }
            if outbox.ready_at > context.now {
                context.wake_at(outbox.ready_at);
                continue;
            }
            let mut message = Message::default();
            message.wantlist.entries.extend(outbox.cancels.drain(..).map(Entry::cancel));
            for entry in outbox.pending.drain(..) {
                outbox.told.insert(entry.cid, entry.kind);
                message.wantlist.entries.push(entry);
            }
            outbox.ready_at = context.now + pause;
            context.send(*peer, message);
        }
    }
}
