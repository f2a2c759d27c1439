//! What local users want: every want ends exactly once.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec::Vec;
use core::fmt::Debug;

use bytes::Bytes;
use cid::Cid;

use super::{Verdict, ensure};
use crate::block::Block;
use crate::client::{PeerSet, SessionOptions, WhenMissing};
use crate::output::{BlockInfo, LookupId, SessionId, WantFailure};
use crate::testing::sha256::sha256;
use crate::time::Timestamp;

/// SHA2-256 in the table of multihash codes.
const SHA2_256: u64 = 0x12;
/// Blocks whose hash is remembered, so that one block given to many nodes is hashed once.
const PROVEN_MAX: usize = 4096;

#[derive(Debug)]
struct Session<P> {
    only: Option<BTreeSet<P>>,
    options: SessionOptions<P>,
    untaken: u64,
}

/// Why a want must end in the next drain.
#[derive(Clone, Copy, Debug, Default)]
struct Due {
    arrived: bool,
    stored: bool,
}

#[derive(Debug)]
pub(in crate::testing) struct Wishes<P> {
    sessions: BTreeMap<SessionId, Session<P>>,
    /// Live wants, with the time at which each was wanted.
    live: BTreeMap<Cid, BTreeMap<SessionId, Timestamp>>,
    wants: usize,
    due: BTreeMap<(Cid, SessionId), Due>,
    /// Who brought a block since the last drain.
    bringers: BTreeSet<(Cid, P)>,
    searches: BTreeMap<LookupId, SessionId>,
    /// Blocks that were hashed: they are kept, so that their place in memory names them.
    proven: BTreeMap<(usize, usize), (Cid, Bytes)>,
    shut: bool,
}

impl<P> Default for Wishes<P> {
    fn default() -> Self {
        Self {
            sessions: BTreeMap::new(),
            live: BTreeMap::new(),
            wants: 0,
            due: BTreeMap::new(),
            bringers: BTreeSet::new(),
            searches: BTreeMap::new(),
            proven: BTreeMap::new(),
            shut: false,
        }
    }
}

impl<P: Copy + Ord + Debug> Wishes<P> {
    /// Live wants, one for each session.
    pub(super) fn wants(&self) -> usize {
        self.wants
    }

    /// Live wants, each CID once.
    pub(super) fn cids(&self) -> usize {
        self.live.len()
    }

    pub(super) fn sessions(&self) -> usize {
        self.sessions.len()
    }

    pub(super) fn has_session(&self, session: SessionId) -> bool {
        self.sessions.contains_key(&session)
    }

    pub(super) fn is_wanted(&self, cid: &Cid) -> bool {
        self.live.contains_key(cid)
    }

    /// Whether a session that wants the CID may ask the peer.
    pub(super) fn may_ask(&self, peer: P, cid: &Cid) -> bool {
        let sessions = self.live.get(cid).into_iter().flat_map(BTreeMap::keys);
        self.admitting(sessions, peer) > 0
    }

    /// Live wants whose sessions may ask the peer.
    pub(in crate::testing) fn waiting_for(&self, peer: P) -> usize {
        self.admitting(self.live.values().flat_map(BTreeMap::keys), peer)
    }

    fn admitting<'a>(&self, sessions: impl Iterator<Item = &'a SessionId>, peer: P) -> usize {
        sessions
            .filter(|session| {
                let only = self.sessions.get(session).and_then(|session| session.only.as_ref());
                only.is_none_or(|only| only.contains(&peer))
            })
            .count()
    }

    /// Delivered and not yet taken.
    pub(super) fn untaken(&self) -> u64 {
        self.sessions.values().map(|session| session.untaken).sum()
    }

    // Inputs.

    pub(in crate::testing) fn session(&mut self, id: SessionId, options: SessionOptions<P>) -> Verdict {
        ensure!(!self.has_session(id), "{id:?} was given to two sessions");
        let only = match &options.peers {
            PeerSet::Any => None,
            PeerSet::Only(peers) => Some(peers.iter().copied().collect()),
        };
        self.sessions.insert(id, Session { only, options, untaken: 0 });
        Ok(())
    }

    pub(in crate::testing) fn close(&mut self, session: SessionId) {
        if self.sessions.remove(&session).is_some() {
            let cids: Vec<Cid> = self.live.keys().copied().collect();
            for cid in cids {
                self.end(session, &cid);
            }
        }
    }

    pub(in crate::testing) fn want(&mut self, session: SessionId, cids: &[Cid], now: Timestamp) {
        for cid in cids {
            let sessions = self.live.entry(*cid).or_default();
            if sessions.insert(session, now).is_none() {
                self.wants += 1;
            }
        }
    }

    pub(in crate::testing) fn cancel(&mut self, session: SessionId, cids: &[Cid]) {
        for cid in cids {
            self.end(session, cid);
        }
    }

    pub(in crate::testing) fn taken(&mut self, session: SessionId, bytes: u64) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.untaken = session.untaken.saturating_sub(bytes);
        }
    }

    /// A block came. Whether somebody wants it.
    pub(super) fn arrived(&mut self, peer: P, block: &Block) -> bool {
        let Some(sessions) = self.live.get(block.cid()) else {
            return false;
        };
        self.bringers.insert((*block.cid(), peer));
        for session in sessions.keys() {
            self.due.entry((*block.cid(), *session)).or_default().arrived = true;
        }
        true
    }

    pub(in crate::testing) fn announced(&mut self, blocks: &[BlockInfo]) {
        for block in blocks {
            for session in self.live.get(&block.cid).into_iter().flat_map(BTreeMap::keys) {
                self.due.entry((block.cid, *session)).or_default().stored = true;
            }
        }
    }

    pub(in crate::testing) fn shut(&mut self) {
        self.shut = true;
        for (cid, sessions) in &self.live {
            for session in sessions.keys() {
                self.due.entry((*cid, *session)).or_default();
            }
        }
    }

    pub(in crate::testing) fn found(&mut self, id: LookupId, last: bool) {
        if last {
            self.searches.remove(&id);
        }
    }

    // Outputs.

    /// Ends a want. False when it is not live.
    fn end(&mut self, session: SessionId, cid: &Cid) -> bool {
        let Some(sessions) = self.live.get_mut(cid) else {
            return false;
        };
        let ended = sessions.remove(&session).is_some();
        if sessions.is_empty() {
            self.live.remove(cid);
        }
        self.wants -= usize::from(ended);
        self.due.remove(&(*cid, session));
        ended
    }

    fn must_end(&mut self, session: SessionId, cid: &Cid) -> Verdict {
        ensure!(
            self.end(session, cid),
            "contract 7: an end was told of {cid}, which {session:?} does not want (any more)"
        );
        Ok(())
    }

    pub(super) fn delivered(
        &mut self,
        session: SessionId,
        block: &Block,
        from: Option<P>,
    ) -> Verdict {
        let cid = *block.cid();
        let due = self.due.get(&(cid, session)).copied().unwrap_or_default();
        self.must_end(session, &cid)?;
        ensure!(due.arrived, "{cid} was delivered, but no peer brought it");
        ensure!(
            from.is_none_or(|peer| self.bringers.contains(&(cid, peer))),
            "{cid} was delivered in the name of {from:?}, who did not bring it"
        );
        if let Some(session) = self.sessions.get_mut(&session) {
            session.untaken += block.data().len() as u64;
        }
        self.prove(block)
    }

    /// Hashes a delivered block again.
    fn prove(&mut self, block: &Block) -> Verdict {
        let place = (block.data().as_ptr() as usize, block.data().len());
        let known = self.proven.get(&place).is_some_and(|(cid, _)| cid == block.cid());
        if known || block.cid().hash().code() != SHA2_256 {
            return Ok(());
        }
        ensure!(
            sha256(block.data()).starts_with(block.cid().hash().digest()),
            "safety: the delivered bytes do not hash to {}",
            block.cid()
        );
        if self.proven.len() < PROVEN_MAX {
            self.proven.insert(place, (*block.cid(), block.data().clone()));
        }
        Ok(())
    }

    pub(super) fn stored(&mut self, session: SessionId, cid: &Cid) -> Verdict {
        let due = self.due.get(&(*cid, session)).copied().unwrap_or_default();
        self.must_end(session, cid)?;
        ensure!(due.stored, "{cid} is told to be stored, but nobody announced it");
        Ok(())
    }

    pub(super) fn failed(
        &mut self,
        session: SessionId,
        cid: &Cid,
        reason: &WantFailure<P>,
        now: Timestamp,
    ) -> Verdict {
        let since = self.live.get(cid).and_then(|sessions| sessions.get(&session)).copied();
        self.must_end(session, cid)?;
        let options = self.sessions.get(&session).map(|session| &session.options);
        match reason {
            WantFailure::NotFound(_) => {
                let may = options.is_some_and(|options| options.when_missing == WhenMissing::Fail);
                ensure!(may, "{cid} failed as not found in a session that waits");
                Ok(())
            }
            WantFailure::TimedOut(_) => {
                let limit = options.and_then(|options| options.want_timeout);
                let took = since.map(|since| now.since(since));
                ensure!(
                    limit.is_some() && took >= limit,
                    "{cid} timed out after {took:?}, its session allows {limit:?}"
                );
                Ok(())
            }
            WantFailure::ShutDown => {
                ensure!(self.shut, "{cid} failed by a shutdown that did not happen");
                Ok(())
            }
        }
    }

    pub(super) fn search(&mut self, id: LookupId, session: SessionId, cid: &Cid) -> Verdict {
        let options = self.sessions.get(&session);
        ensure!(
            options.is_some_and(|session| session.only.is_none() && session.options.find_providers),
            "{session:?} searches for providers although it is closed or must not"
        );
        let wants = self.live.get(cid).is_some_and(|sessions| sessions.contains_key(&session));
        ensure!(wants, "{session:?} searches for {cid}, which it does not want");
        ensure!(
            self.searches.insert(id, session).is_none(),
            "the name {id:?} was used again"
        );
        Ok(())
    }

    pub(super) fn stop_search(&mut self, id: LookupId) -> Verdict {
        ensure!(
            self.searches.remove(&id).is_some(),
            "the search {id:?} was stopped, but it does not run"
        );
        Ok(())
    }

    /// Checks that nothing was held back.
    pub(super) fn settled(&self) -> Verdict {
        if let Some(((cid, session), due)) = self.due.first_key_value() {
            return Err(format!("contract 7: {session:?} was not told the end of {cid}: {due:?}"));
        }
        let orphan = self.searches.iter().find(|(_, session)| !self.has_session(**session));
        ensure!(
            orphan.is_none(),
            "a search goes on for a session that was closed: {orphan:?}"
        );
        Ok(())
    }

    /// Everything due was told; late copies count for nothing.
    pub(super) fn calm(&mut self) {
        self.bringers.clear();
    }
}
