//! Who said HAVE, for those who show it.
//!
//! A peer may say HAVE of anything, as often as it likes. So what waits here to be polled is bounded, and what is
//! beyond the bound is left out: nothing depends on it.

use std::collections::VecDeque;

use bitswap_core::Message;
use cid::Cid;
use libp2p_identity::PeerId;

use crate::event::Event;

/// Blocks that are named of what a peer says at once.
const CIDS_MAX: usize = 32;

/// Events that wait.
const EVENTS_MAX: usize = 64;

/// HAVEs that wait to be polled.
#[derive(Debug, Default)]
pub(super) struct Haves(VecDeque<(PeerId, Vec<Cid>)>);

impl Haves {
    /// A peer said this.
    pub(super) fn said(&mut self, peer: PeerId, messages: &[Message]) {
        if self.0.len() >= EVENTS_MAX {
            return;
        }
        let presences = messages.iter().flat_map(|message| &message.presences);
        let haves = presences.filter(|presence| presence.have);
        let cids: Vec<Cid> = haves.map(|presence| presence.cid).take(CIDS_MAX).collect();
        if !cids.is_empty() {
            self.0.push_back((peer, cids));
        }
    }

    /// The next event.
    pub(super) fn poll(&mut self) -> Option<Event> {
        self.0.pop_front().map(|(peer, cids)| Event::Haves { peer, cids })
    }
}

#[cfg(test)]
mod tests {
    use bitswap_core::{Block, Presence};

    use super::*;

    #[test]
    fn haves_are_told_and_a_peer_that_says_many_holds_a_bounded_number() {
        let (mut haves, peer) = (Haves::default(), PeerId::random());
        let cids: Vec<Cid> = (0..100_u8).map(|n| *Block::raw(vec![n]).cid()).collect();
        let presences = |have| cids.iter().map(move |cid| Presence { cid: *cid, have }).collect();
        let message = |have| Message { presences: presences(have), ..Message::default() };
        haves.said(peer, &[message(false)]);
        assert!(haves.poll().is_none(), "it has none of them");
        for _ in 0..2 * EVENTS_MAX {
            haves.said(peer, &[message(true), message(true)]);
        }
        let told = std::iter::from_fn(|| haves.poll()).map(|event| match event {
            Event::Haves { peer: of, cids: some } => {
                assert_eq!((of, &some[..]), (peer, &cids[..CIDS_MAX]));
            }
            other => panic!("{other:?}"),
        });
        assert_eq!(told.count(), EVENTS_MAX);
    }
}
