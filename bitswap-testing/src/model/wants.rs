//! What local users want: every want ends exactly once.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec::Vec;
use core::fmt::Debug;

use cid::Cid;

use super::proof::Proofs;
use super::{Verdict, ensure};
use bitswap_core::Block;
use bitswap_core::Timestamp;
use bitswap_core::{BlockInfo, LookupId, SessionId, WantFailure};
use bitswap_core::{PeerSet, SessionOptions, WhenMissing};

#[derive(Debug)]
struct Session<P> {
    only: Option<BTreeSet<P>>,
    preferred: Option<BTreeSet<P>>,
    options: SessionOptions<P>,
    unreleased: u64,
}

/// What one session wants of one CID.
#[derive(Clone, Copy, Debug)]
struct SessionWant {
    since: Timestamp,
    live: bool,
    /// Ends that must be reported in the next drain: the want has ended and the user does not know yet.
    must: u32,
    /// Ends that may be reported: it was wanted again when it may have failed already.
    may: u32,
    /// Whether it is live is not known before the next drain.
    unsure: bool,
}

#[derive(Debug)]
pub(crate) struct Wants<P> {
    sessions: BTreeMap<SessionId, Session<P>>,
    session_wants: BTreeMap<Cid, BTreeMap<SessionId, SessionWant>>,
    /// Live ones among them, and CIDs that have a live one.
    wants: usize,
    cids: usize,
    /// Who brought a block since the last drain.
    bringers: BTreeSet<(Cid, P)>,
    /// Wanted blocks that were stored since the last drain.
    stored: BTreeSet<Cid>,
    searches: BTreeMap<LookupId, SessionId>,
    /// Searches that were answered to the end since the last drain: they may be stopped still.
    answered: BTreeSet<LookupId>,
    proofs: Proofs,
    shut: bool,
    /// Nothing happened since the last drain.
    drained: bool,
}

impl<P> Default for Wants<P> {
    fn default() -> Self {
        Self {
            sessions: BTreeMap::new(),
            session_wants: BTreeMap::new(),
            wants: 0,
            cids: 0,
            bringers: BTreeSet::new(),
            stored: BTreeSet::new(),
            searches: BTreeMap::new(),
            answered: BTreeSet::new(),
            proofs: Proofs::default(),
            shut: false,
            drained: true,
        }
    }
}

impl<P: Copy + Ord + Debug> Wants<P> {
    /// Live wants, one for each session.
    pub(super) fn wants(&self) -> usize {
        self.wants
    }

    /// Live wants, each CID once.
    pub(super) fn cids(&self) -> usize {
        self.cids
    }

    pub(super) fn sessions(&self) -> usize {
        self.sessions.len()
    }

    pub(super) fn has_session(&self, session: SessionId) -> bool {
        self.sessions.contains_key(&session)
    }

    fn live_sessions(&self, cid: &Cid) -> impl Iterator<Item = &SessionId> {
        let wants = self.session_wants.get(cid).into_iter().flatten();
        wants.filter(|(_, want)| want.live).map(|(session, _)| session)
    }

    pub(super) fn is_wanted(&self, cid: &Cid) -> bool {
        self.live_sessions(cid).next().is_some()
    }

    /// Whether a session that wants the CID may ask the peer.
    pub(super) fn may_ask(&self, peer: P, cid: &Cid) -> bool {
        self.live_sessions(cid).any(|session| self.admits(session, peer))
    }

    /// Whether the session wants the CID.
    pub(super) fn is_wanted_by(&self, session: SessionId, cid: &Cid) -> bool {
        self.live_sessions(cid).any(|other| *other == session)
    }

    /// The peers that the session asks first, if it does.
    pub(super) fn preferred(&self, session: SessionId) -> Option<&BTreeSet<P>> {
        self.sessions.get(&session)?.preferred.as_ref()
    }

    /// Whether the peer comes first in a session that wants the CID.
    pub(super) fn prefers(&self, peer: P, cid: &Cid) -> bool {
        let mut preferred = self.live_sessions(cid).filter_map(|session| self.preferred(*session));
        preferred.any(|preferred| preferred.contains(&peer))
    }

    /// Live wants whose sessions may ask the peer.
    pub(crate) fn waiting_for(&self, peer: P) -> usize {
        let sessions = self.session_wants.keys().flat_map(|cid| self.live_sessions(cid));
        sessions.filter(|session| self.admits(session, peer)).count()
    }

    fn admits(&self, session: &SessionId, peer: P) -> bool {
        let only = self.sessions.get(session).and_then(|session| session.only.as_ref());
        only.is_none_or(|only| only.contains(&peer))
    }

    /// Delivered and not yet taken.
    pub(super) fn unreleased(&self) -> u64 {
        self.sessions.values().map(|session| session.unreleased).sum()
    }

    // Inputs.

    pub(crate) fn session(&mut self, id: SessionId, options: SessionOptions<P>) -> Verdict {
        ensure!(!self.has_session(id), "{id:?} was given to two sessions");
        let set = |peers: &[P]| Some(peers.iter().copied().collect());
        let (only, preferred) = match &options.peers {
            PeerSet::Any => (None, None),
            PeerSet::Only(peers) => (set(peers), None),
            PeerSet::Prefer(peers) => (None, set(peers)),
            other => return Err(format!("the checker does not know {other:?}")),
        };
        self.sessions.insert(id, Session { only, preferred, options, unreleased: 0 });
        Ok(())
    }

    pub(crate) fn close(&mut self, session: SessionId) {
        if self.sessions.remove(&session).is_some() {
            let cids: Vec<Cid> = self.session_wants.keys().copied().collect();
            self.cancel(session, &cids);
        }
    }

    pub(crate) fn want(&mut self, session: SessionId, cids: &[Cid], now: Timestamp) {
        let may_fail = !self.drained
            && self.sessions.get(&session).is_some_and(|session| {
                let options = &session.options;
                options.when_missing == WhenMissing::Fail || options.want_timeout.is_some()
            });
        for cid in cids {
            // A block that has just come ends a new want for it at once, or the want is a new one.
            let came = self.bringers.iter().any(|(brought, _)| brought == cid);
            let unsure = came || may_fail;
            self.change(session, cid, |want| match want {
                Some(want) if want.live || came => {
                    let may = want.may + u32::from(unsure);
                    Some(SessionWant { live: true, may, unsure: unsure || want.unsure, ..want })
                }
                // The end that is not reported yet belongs to the earlier time.
                Some(want) => Some(SessionWant { live: true, ..want }),
                None => Some(SessionWant { since: now, live: true, must: 0, may: 0, unsure: came }),
            });
        }
    }

    pub(crate) fn cancel(&mut self, session: SessionId, cids: &[Cid]) {
        for cid in cids {
            self.change(session, cid, |_| None);
        }
    }

    /// Changes one want and keeps the counts.
    fn change(
        &mut self,
        session: SessionId,
        cid: &Cid,
        change: impl FnOnce(Option<SessionWant>) -> Option<SessionWant>,
    ) {
        let sessions = self.session_wants.entry(*cid).or_default();
        let any = |sessions: &BTreeMap<_, SessionWant>| sessions.values().any(|want| want.live);
        let (was_any, before) = (any(sessions), sessions.remove(&session));
        self.wants -= usize::from(before.is_some_and(|want| want.live));
        if let Some(want) = change(before) {
            self.wants += usize::from(want.live);
            if want.live || want.must > 0 {
                sessions.insert(session, want);
            }
        }
        self.cids = self.cids + usize::from(any(sessions)) - usize::from(was_any);
        if sessions.is_empty() {
            self.session_wants.remove(cid);
        }
    }

    /// Every live want of the CID ends now.
    fn all_end(&mut self, cid: &Cid) {
        let sessions: Vec<SessionId> = self.live_sessions(cid).copied().collect();
        for session in sessions {
            self.change(session, cid, |want| {
                want.map(|want| match want.unsure {
                    true => SessionWant { may: want.may + 1, ..want },
                    false => SessionWant { live: false, must: want.must + 1, ..want },
                })
            });
        }
    }

    pub(crate) fn release_capacity(&mut self, session: SessionId, bytes: u64) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.unreleased = session.unreleased.saturating_sub(bytes);
        }
    }

    /// A block came. Whether somebody wants it.
    pub(super) fn arrived(&mut self, peer: P, block: &Block) -> bool {
        let wanted = self.is_wanted(block.cid());
        if wanted {
            self.bringers.insert((*block.cid(), peer));
            self.all_end(block.cid());
        }
        wanted
    }

    pub(crate) fn blocks_stored(&mut self, blocks: &[BlockInfo]) {
        for block in blocks {
            if self.is_wanted(&block.cid) {
                self.stored.insert(block.cid);
                self.all_end(&block.cid);
            }
        }
    }

    pub(crate) fn shut(&mut self) {
        self.shut = true;
        let cids: Vec<Cid> = self.session_wants.keys().copied().collect();
        for cid in cids {
            self.all_end(&cid);
        }
    }

    /// The engine had an input.
    pub(super) fn input(&mut self) {
        self.drained = false;
    }

    pub(crate) fn found(&mut self, id: LookupId, last: bool) {
        if last && self.searches.remove(&id).is_some() {
            self.answered.insert(id);
        }
    }

    // Outputs.

    /// An end of a want is reported to the user.
    fn must_end(&mut self, session: SessionId, cid: &Cid) -> Verdict {
        let known =
            self.session_wants.get(cid).is_some_and(|sessions| sessions.contains_key(&session));
        ensure!(
            known,
            "contract 7: an end was reported of {cid}, which {session:?} does not want (any more)"
        );
        self.change(session, cid, |want| {
            want.map(|want| match want {
                SessionWant { must: 1.., .. } => SessionWant { must: want.must - 1, ..want },
                SessionWant { may: 1.., .. } => SessionWant { may: want.may - 1, ..want },
                _ => SessionWant { live: false, ..want },
            })
        });
        Ok(())
    }

    pub(super) fn delivered(
        &mut self,
        session: SessionId,
        block: &Block,
        from: Option<P>,
    ) -> Verdict {
        let cid = *block.cid();
        self.must_end(session, &cid)?;
        let mut bringers = self.bringers.iter().filter(|(brought, _)| *brought == cid);
        ensure!(bringers.clone().count() > 0, "{cid} was delivered, but no peer brought it");
        ensure!(
            from.is_none_or(|from| bringers.any(|(_, peer)| *peer == from)),
            "{cid} was delivered in the name of {from:?}, who did not bring it"
        );
        if let Some(session) = self.sessions.get_mut(&session) {
            session.unreleased += block.data().len() as u64;
        }
        self.proofs.check(block)
    }

    /// The block is what its CID says.
    pub(super) fn trust(&mut self, block: &Block) {
        self.proofs.trust(block);
    }

    pub(super) fn stored(&mut self, session: SessionId, cid: &Cid) -> Verdict {
        self.must_end(session, cid)?;
        ensure!(self.stored.contains(cid), "{cid} was reported as stored, but nobody stored it");
        Ok(())
    }

    pub(super) fn failed(
        &mut self,
        session: SessionId,
        cid: &Cid,
        reason: &WantFailure<P>,
        now: Timestamp,
    ) -> Verdict {
        let want = self.session_wants.get(cid).and_then(|sessions| sessions.get(&session));
        let since = want.map(|want| want.since);
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
            other => Err(format!("{cid} failed for a reason without a rule: {other:?}")),
        }
    }

    pub(super) fn search(&mut self, id: LookupId, session: SessionId, cid: &Cid) -> Verdict {
        let options = self.sessions.get(&session);
        ensure!(
            options.is_some_and(|session| session.only.is_none() && session.options.find_providers),
            "{session:?} searches for providers although it is closed or must not"
        );
        ensure!(
            self.is_wanted_by(session, cid),
            "{session:?} searches for {cid}, which it does not want"
        );
        ensure!(self.searches.insert(id, session).is_none(), "the name {id:?} was used again");
        Ok(())
    }

    pub(super) fn stop_search(&mut self, id: LookupId) -> Verdict {
        ensure!(
            self.searches.remove(&id).is_some() || self.answered.remove(&id),
            "the search {id:?} was stopped, but it does not run"
        );
        Ok(())
    }

    /// Checks that nothing was held back.
    pub(super) fn settled(&self) -> Verdict {
        for (cid, sessions) in &self.session_wants {
            let held = sessions.iter().find(|(_, want)| want.must > 0);
            ensure!(held.is_none(), "contract 7: the end of {cid} was not reported: {held:?}");
        }
        let orphan = self.searches.iter().find(|(_, session)| !self.has_session(**session));
        ensure!(orphan.is_none(), "a search goes on for a session that was closed: {orphan:?}");
        Ok(())
    }

    /// Wants that may or may not have ended before they were wanted again: only the engine can tell.
    pub(super) fn resolve(&mut self, is_live: impl Fn(SessionId, &Cid) -> bool) {
        let unsure: Vec<(Cid, SessionId)> = self
            .session_wants
            .iter()
            .flat_map(|(cid, sessions)| sessions.iter().map(move |(id, want)| (*cid, *id, want)))
            .filter(|(_, _, want)| want.unsure)
            .map(|(cid, session, _)| (cid, session))
            .collect();
        for (cid, session) in unsure {
            let live = is_live(session, &cid);
            self.change(session, &cid, |want| {
                want.map(|want| SessionWant { live, may: 0, unsure: false, ..want })
            });
        }
    }

    /// Everything due was reported; late copies count for nothing.
    pub(super) fn drained(&mut self) {
        self.bringers.clear();
        self.stored.clear();
        self.answered.clear();
        self.drained = true;
    }
}
