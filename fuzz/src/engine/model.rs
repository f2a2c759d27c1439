//! What local users must see: the wantlist of each session as a plain set.
//!
//! Every want ends exactly once, no block comes that nobody wants, and what is delivered is the
//! block. The model knows the calls and the outputs and nothing of how the engine works.
//!
//! A block that is wanted again before the end of its want was reported may be a second want, with an
//! end of its own, or the same one: which of them shows once all outputs were taken.

use std::collections::BTreeMap;

use bitswap_core::{Event, Output, SessionId};
use bitswap_testing::{Call, Reply};
use cid::Cid;

use super::{Peer, all_blocks};

/// What may be reported to a session of one block since all outputs were taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wanted {
    /// Ends that may come at most.
    most: u32,
    /// An end was reported.
    ended: bool,
}

/// The wantlists of all sessions.
#[derive(Clone, Debug, Default)]
pub struct Model {
    sessions: BTreeMap<SessionId, BTreeMap<Cid, Wanted>>,
}

impl Model {
    /// A call and what it returned.
    ///
    /// # Panics
    ///
    /// When two sessions have one name.
    pub fn call(&mut self, call: &Call<Peer>, reply: Reply) {
        match (call, reply) {
            (Call::OpenSession { .. }, Reply::Session(Ok(session))) => {
                let before = self.sessions.insert(session, BTreeMap::new());
                assert_eq!(before, None, "two sessions have one name");
            }
            (Call::CloseSession { session }, _) => _ = self.sessions.remove(session),
            (Call::Want { session, wants }, Reply::Wanted(Ok(()))) => {
                if let Some(wanted) = self.sessions.get_mut(session) {
                    for want in wants {
                        wanted.entry(want.cid).or_default().most += 1;
                    }
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
                let genuine = all_blocks().iter().find(|genuine| genuine.cid() == block.cid());
                assert_eq!(genuine, Some(block), "what is delivered is the block");
            }
            Event::Stored { session, cid } | Event::Failed { session, cid, .. } => {
                self.end(*session, cid);
            }
            _ => {}
        }
    }

    fn end(&mut self, session: SessionId, cid: &Cid) {
        let want = self.sessions.get_mut(&session).and_then(|wanted| wanted.get_mut(cid));
        let want = want.filter(|want| want.most > 0);
        let Some(want) = want else {
            panic!("the end of a want is reported that {session:?} does not have: {cid}");
        };
        *want = Wanted { most: want.most - 1, ended: true };
    }

    /// All outputs were taken; `is_live` is what the engine says of its wants.
    ///
    /// # Panics
    ///
    /// When a want is gone whose end was not reported, or goes on although all its ends were.
    pub fn rest(&mut self, is_live: impl Fn(SessionId, &Cid) -> bool) {
        for (session, wanted) in &mut self.sessions {
            wanted.retain(|cid, want| {
                let live = is_live(*session, cid);
                assert!(
                    live || want.ended,
                    "the end of a want of {session:?} was not reported: {cid}"
                );
                assert!(!live || want.most > 0, "an ended want of {session:?} goes on: {cid}");
                *want = Wanted { most: 1, ended: false };
                live
            });
        }
    }

    /// The sessions and what each waits for.
    pub fn waiting(&self) -> impl Iterator<Item = (SessionId, &Cid)> {
        let waits = |(_, want): &(&Cid, &Wanted)| want.most > 0;
        self.sessions.iter().flat_map(move |(session, wanted)| {
            wanted.iter().filter(waits).map(|(cid, _)| (*session, cid))
        })
    }
}
