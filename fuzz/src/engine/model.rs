//! What local users must see: the wantlist of each session as a plain set.
//!
//! Every want ends exactly once, no block comes that nobody wants, and what is delivered is the
//! block. The model knows the calls and the outputs and nothing of how the engine works.

use std::collections::{BTreeMap, BTreeSet};

use bitswap_core::{Event, Output, SessionId};
use cid::Cid;

use super::{Call, Peer, Reply, blocks};

/// The wantlists of all sessions.
#[derive(Clone, Debug, Default)]
pub struct Model {
    sessions: BTreeMap<SessionId, BTreeSet<Cid>>,
}

impl Model {
    /// A call and what it returned.
    ///
    /// # Panics
    ///
    /// When two sessions have one name.
    pub fn call(&mut self, call: &Call, reply: Reply) {
        match (call, reply) {
            (Call::OpenSession { .. }, Reply::Session(Ok(session))) => {
                let before = self.sessions.insert(session, BTreeSet::new());
                assert_eq!(before, None, "two sessions have one name");
            }
            (Call::CloseSession { session }, _) => _ = self.sessions.remove(session),
            (Call::Want { session, wants }, Reply::Wanted(Ok(()))) => {
                if let Some(wanted) = self.sessions.get_mut(session) {
                    wanted.extend(wants.iter().map(|want| want.cid));
                }
            }
            (Call::Cancel { session, cids }, _) => {
                if let Some(wanted) = self.sessions.get_mut(session) {
                    cids.iter().for_each(|cid| _ = wanted.remove(cid));
                }
            }
            _ => {}
        }
    }

    /// An output.
    ///
    /// # Panics
    ///
    /// When a want ends that nobody has, or another block is delivered.
    pub fn output(&mut self, output: &Output<Peer>) {
        let Output::Event(event) = output else { return };
        match event {
            Event::Block { session, block, .. } => {
                self.end(*session, block.cid());
                let genuine = blocks().iter().find(|genuine| genuine.cid() == block.cid());
                assert_eq!(genuine, Some(block), "what is delivered is the block");
            }
            Event::Stored { session, cid } | Event::Failed { session, cid, .. } => {
                self.end(*session, cid);
            }
            _ => {}
        }
    }

    fn end(&mut self, session: SessionId, cid: &Cid) {
        let wanted = self.sessions.get_mut(&session);
        let ended = wanted.is_some_and(|wanted| wanted.remove(cid));
        assert!(ended, "the end of a want is told that {session:?} does not have: {cid}");
    }

    /// The sessions and what each waits for.
    pub fn waiting(&self) -> impl Iterator<Item = (SessionId, &BTreeSet<Cid>)> {
        self.sessions.iter().map(|(session, wanted)| (*session, wanted))
    }

    /// All wants.
    #[must_use]
    pub fn wants(&self) -> usize {
        self.sessions.values().map(BTreeSet::len).sum()
    }
}
