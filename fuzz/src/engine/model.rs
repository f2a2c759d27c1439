//! What local users must see: the wantlist of each session as a plain set.
//!
//! Every want ends exactly once, no block comes that nobody wants, and what is delivered is the
//! block. The model knows the calls and the outputs and nothing of how the engine works.
//!
//! A block that is wanted again before the end of its want was told may be a second want, with an
//! end of its own, or the same one: which of them shows once all outputs were taken.

use std::collections::BTreeMap;

use bitswap_core::{Event, Output, SessionId};
use cid::Cid;

use super::{Call, Peer, Reply, blocks};

/// What a session may be told of one block since all outputs were taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wish {
    /// Ends that may come at most.
    most: u32,
    /// An end was told.
    told: bool,
}

/// The wantlists of all sessions.
#[derive(Clone, Debug, Default)]
pub struct Model {
    sessions: BTreeMap<SessionId, BTreeMap<Cid, Wish>>,
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
        let wish = self.sessions.get_mut(&session).and_then(|wanted| wanted.get_mut(cid));
        let wish = wish.filter(|wish| wish.most > 0);
        let Some(wish) = wish else {
            panic!("the end of a want is told that {session:?} does not have: {cid}");
        };
        *wish = Wish { most: wish.most - 1, told: true };
    }

    /// All outputs were taken; `is_live` is what the engine says of its wants.
    ///
    /// # Panics
    ///
    /// When a want is gone whose end was not told, or goes on although all its ends were.
    pub fn rest(&mut self, is_live: impl Fn(SessionId, &Cid) -> bool) {
        for (session, wanted) in &mut self.sessions {
            wanted.retain(|cid, wish| {
                let live = is_live(*session, cid);
                assert!(live || wish.told, "the end of a want of {session:?} was not told: {cid}");
                assert!(!live || wish.most > 0, "an ended want of {session:?} goes on: {cid}");
                *wish = Wish { most: 1, told: false };
                live
            });
        }
    }

    /// The sessions and what each waits for.
    pub fn waiting(&self) -> impl Iterator<Item = (SessionId, &Cid)> {
        let waits = |(_, wish): &(&Cid, &Wish)| wish.most > 0;
        self.sessions.iter().flat_map(move |(session, wanted)| {
            wanted.iter().filter(waits).map(|(cid, _)| (*session, cid))
        })
    }
}
