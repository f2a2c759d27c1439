//! What each peer was sent of our wants: the truth that the engine's own view must equal.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::fmt::Debug;

use cid::Cid;

use super::preferences::Preferences;
use super::{Verdict, Wants, ensure};
use bitswap_core::Config;
use bitswap_core::message::{Version, WantKind, Wantlist};

/// Wants that servers keep of one peer.
const SERVERS_KEEP: usize = 1024;

#[derive(Debug, Default)]
struct Peer {
    /// Wants that the peer keeps for us.
    wants: BTreeMap<Cid, WantKind>,
    /// Want-haves among them that the peer answered with HAVE: some servers forget them then.
    answered: BTreeSet<Cid>,
    /// Wants of which it is not known whether the peer has them: a message about them was lost.
    unsure: BTreeSet<Cid>,
    /// CIDs that the peer was sent and has not answered about.
    unanswered: BTreeSet<Cid>,
    /// CIDs that it was sent again before it answered: it may deliver the block and hear of the
    /// want once more after that.
    again: BTreeSet<Cid>,
    /// It speaks a version without DONT_HAVE.
    old: bool,
    /// Blocks that it delivered while it was old: it may have taken the message for lost, and lost the
    /// block since. Then it keeps the want and cannot say so.
    served: BTreeSet<Cid>,
    /// CIDs that the peer answered about although we did not want them any more, or did not ask it.
    unsolicited: BTreeSet<Cid>,
}

impl Peer {
    fn may_know(&self, cid: &Cid) -> bool {
        self.wants.contains_key(cid) || self.unsure.contains(cid)
    }
}

#[derive(Debug)]
pub(crate) struct Requests<P> {
    peers: BTreeMap<P, Peer>,
    per_peer_max: usize,
}

impl<P: Copy + Ord + Debug> Requests<P> {
    pub(super) fn new(config: &Config) -> Self {
        let limit = config.settings().limits.sent_wants_per_peer as usize;
        Self { peers: BTreeMap::new(), per_peer_max: limit.min(SERVERS_KEEP) }
    }

    pub(super) fn connected(&mut self, peer: P) {
        self.peers.insert(peer, Peer::default());
    }

    pub(super) fn disconnected(&mut self, peer: P) {
        self.peers.remove(&peer);
    }

    /// The peer delivered the block: it has forgotten our want.
    pub(super) fn delivered(&mut self, peer: P, cid: &Cid, wanted: bool) {
        if let Some(row) = self.peers.get_mut(&peer) {
            row.wants.remove(cid);
            row.answered.remove(cid);
            row.unsure.remove(cid);
            row.unanswered.remove(cid);
            if row.old {
                row.served.insert(*cid);
            }
            if !wanted | row.again.remove(cid) {
                row.unsolicited.insert(*cid);
            }
        }
    }

    /// The peer sent HAVE or DONT_HAVE.
    pub(super) fn answered(&mut self, peer: P, cid: &Cid, have: bool, wanted: bool) {
        if let Some(row) = self.peers.get_mut(&peer) {
            if have && row.wants.get(cid) == Some(&WantKind::Have) {
                row.answered.insert(*cid);
            }
            row.unanswered.remove(cid);
            row.again.remove(cid);
            if !wanted || !row.wants.contains_key(cid) {
                row.unsolicited.insert(*cid);
            }
        }
    }

    /// Whether the peer was sent the want, and no cancel since.
    pub(super) fn may_know(&self, peer: P, cid: &Cid) -> bool {
        self.peers.get(&peer).is_some_and(|row| row.may_know(cid))
    }

    /// Messages on the stream for wants may be lost.
    pub(super) fn lost(&mut self, peer: P) {
        if let Some(row) = self.peers.get_mut(&peer) {
            let wants = core::mem::take(&mut row.wants);
            row.unsure.extend(wants.into_keys());
        }
    }

    /// Checks and applies a wantlist that was sent.
    pub(super) fn send(
        &mut self,
        peer: P,
        version: Version,
        list: &Wantlist,
        wants: &Wants<P>,
        preferences: &Preferences<P>,
    ) -> Verdict {
        let Some(row) = self.peers.get_mut(&peer) else {
            return Ok(());
        };
        let mut known: BTreeSet<Cid> = BTreeSet::new();
        if list.full {
            known.extend(row.wants.keys().chain(&row.unsure));
            let before = core::mem::take(row);
            row.unanswered = before.unanswered;
        }
        row.old = !version.has_presence();
        let mut named = BTreeSet::new();
        for entry in &list.entries {
            let cid = entry.cid;
            ensure!(named.insert(cid), "{cid} is twice in one message to {peer:?}");
            if entry.cancel {
                ensure!(!list.full, "a whole wantlist to {peer:?} holds a cancel of {cid}");
                row.answered.remove(&cid);
                row.unanswered.remove(&cid);
                row.again.remove(&cid);
                let known = row.wants.remove(&cid).is_some()
                    | row.unsure.remove(&cid)
                    | row.unsolicited.remove(&cid);
                ensure!(
                    known,
                    "{peer:?} was sent a cancel for {cid}, of which it was sent nothing, or which \
                     it delivered"
                );
                continue;
            }
            ensure!(
                version.has_presence() || entry.kind == WantKind::Block,
                "a want-have went to {peer:?} of {version:?}"
            );
            ensure!(wants.is_wanted(&cid), "{peer:?} was sent {cid}, which nobody wants");
            ensure!(
                wants.may_ask(peer, &cid),
                "privacy: {peer:?} learned of {cid}, which only sessions of other peers want"
            );
            if !known.contains(&cid) && !row.may_know(&cid) {
                preferences.told(peer, &cid, wants.prefers(peer, &cid))?;
            }
            if !row.unanswered.insert(cid) {
                row.again.insert(cid);
            }
            row.answered.remove(&cid);
            row.unsure.remove(&cid);
            row.unsolicited.remove(&cid);
            row.wants
                .entry(cid)
                .and_modify(|kind| *kind = entry.kind.max(*kind))
                .or_insert(entry.kind);
        }
        ensure!(
            row.wants.len() <= self.per_peer_max,
            "{peer:?} was sent {} wants, more than the {} that it keeps",
            row.wants.len(),
            self.per_peer_max
        );
        Ok(())
    }

    /// Wants that the peer must keep for us, and those that it may keep beside them.
    pub(crate) fn wants(&self, peer: P) -> (Vec<Cid>, Vec<Cid>) {
        let Some(row) = self.peers.get(&peer) else {
            return (Vec::new(), Vec::new());
        };
        let (may, must) = row.wants.keys().partition(|cid| row.answered.contains(cid));
        let others = row.unsure.union(&row.served).copied().collect();
        (must, [may, others].concat())
    }
}
