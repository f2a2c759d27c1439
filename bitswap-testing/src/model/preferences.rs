//! Sessions that prefer peers: nobody else is asked for a want, or looked for, before these have failed for it.
//!
//! From outside it is not seen when a deadline passes. So the rule is held to where no peer can have been silent: from
//! when something is wanted until the shortest deadline, and of peers that have delivered since the last such time. It is
//! held to for wants of one session alone, because others ask whom they like.

use alloc::collections::{BTreeMap, BTreeSet};
use core::fmt::Debug;
use core::time::Duration;

use cid::Cid;

use super::{Verdict, ensure};
use bitswap_core::{Config, Timestamp};

/// What may stand against waiting for a connected peer.
#[derive(Clone, Copy, Debug, Default)]
struct Peer {
    /// It could not be reached, or a stream to it was lost.
    is_shaky: bool,
    /// It may have let a deadline pass since it delivered last.
    may_be_silent: bool,
}

/// Since when something is wanted without a pause.
#[derive(Clone, Copy, Debug)]
struct Busy {
    since: Timestamp,
    /// A deadline may have passed since then.
    is_long: bool,
}

/// The preferred peers that cannot have failed.
#[derive(Debug)]
pub(super) struct Preferences<P> {
    deadline_min: Duration,
    peers: BTreeMap<P, Peer>,
    busy: Option<Busy>,
    /// Of each want the peers, if one session wants it that prefers peers. The want stays with them.
    kept: BTreeMap<Cid, BTreeSet<P>>,
}

impl<P: Copy + Ord + Debug> Preferences<P> {
    pub(super) fn new(config: &Config) -> Self {
        let deadline_min = config.settings().deadline_min;
        Self { deadline_min, peers: BTreeMap::new(), busy: None, kept: BTreeMap::new() }
    }

    /// Time has come to `now`, with something wanted all the while or not.
    pub(super) fn pass(&mut self, is_wanting: bool, now: Timestamp) {
        if !is_wanting {
            self.busy = None;
            self.kept.clear();
        } else if let Some(busy) = &mut self.busy
            && !busy.is_long
            && now >= busy.since + self.deadline_min
        {
            busy.is_long = true;
            self.kept.clear();
            self.peers.values_mut().for_each(|peer| peer.may_be_silent = true);
        }
    }

    pub(super) fn connected(&mut self, peer: P) {
        let may_be_silent = self.busy.is_some_and(|busy| busy.is_long);
        self.peers.insert(peer, Peer { is_shaky: false, may_be_silent });
    }

    pub(super) fn disconnected(&mut self, peer: P) {
        self.peers.remove(&peer);
        self.fails(peer);
    }

    /// A stream to the peer was lost or refused, or may have been.
    pub(super) fn lost(&mut self, peer: P) {
        if let Some(row) = self.peers.get_mut(&peer) {
            row.is_shaky = true;
        }
        self.fails(peer);
    }

    fn fails(&mut self, peer: P) {
        self.kept.values_mut().for_each(|peers| {
            peers.remove(&peer);
        });
    }

    /// The peer answered that it lacks the block.
    pub(super) fn lacks(&mut self, peer: P, cid: &Cid) {
        if let Some(peers) = self.kept.get_mut(cid) {
            peers.remove(&peer);
        }
    }

    /// The peer delivered the last block that was wanted, so no deadline is left.
    pub(super) fn delivered_all(&mut self, peer: P) {
        if let Some(row) = self.peers.get_mut(&peer) {
            row.may_be_silent = false;
        }
    }

    /// A session wants what no session wanted. `may_know`: peers that were sent it before, and answered perhaps.
    pub(super) fn keep(
        &mut self,
        cid: Cid,
        preferred: &BTreeSet<P>,
        may_know: impl Fn(P) -> bool,
        now: Timestamp,
    ) {
        self.wanted(now);
        let may_serve = |peer: &P| {
            let row = self.peers.get(peer);
            row.is_some_and(|row| !row.is_shaky && !row.may_be_silent) && !may_know(*peer)
        };
        let peers = preferred.iter().copied().filter(may_serve).collect();
        self.kept.insert(cid, peers);
    }

    /// A session wants it that asks whom it likes, or is not the only one.
    pub(super) fn share(&mut self, cid: &Cid, now: Timestamp) {
        self.wanted(now);
        self.kept.remove(cid);
    }

    fn wanted(&mut self, now: Timestamp) {
        self.busy.get_or_insert(Busy { since: now, is_long: false });
    }

    // Outputs.

    /// A peer learns of a want that it did not know.
    pub(super) fn told(&self, peer: P, cid: &Cid, is_preferred: bool) -> Verdict {
        ensure!(
            is_preferred || !self.is_kept(cid),
            "preference: {peer:?} learned of {cid} before {:?}, who come first, have failed",
            self.kept.get(cid)
        );
        Ok(())
    }

    /// Providers of a want are looked for.
    pub(super) fn searched(&self, cid: &Cid) -> Verdict {
        ensure!(
            !self.is_kept(cid),
            "preference: providers of {cid} are looked for before {:?}, who come first, have failed",
            self.kept.get(cid)
        );
        Ok(())
    }

    fn is_kept(&self, cid: &Cid) -> bool {
        self.kept.get(cid).is_some_and(|peers| !peers.is_empty())
    }
}
