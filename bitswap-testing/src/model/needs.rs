//! Whose connection the engine says that it needs.

use alloc::collections::BTreeMap;
use core::fmt::Debug;

use bitswap_core::{Engine, PeerStats};

use super::{Verdict, ensure};

/// Peers that are looked at after each drain; of more, only now and then.
const FEW: usize = 16;

/// What was told last of each connected peer.
#[derive(Debug)]
pub(super) struct Needs<P>(BTreeMap<P, bool>);

impl<P> Default for Needs<P> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<P: Copy + Ord + Debug> Needs<P> {
    pub(super) fn connected(&mut self, peer: P) {
        self.0.insert(peer, false);
    }

    pub(super) fn disconnected(&mut self, peer: P) {
        self.0.remove(&peer);
    }

    /// The engine says whether connections are needed.
    pub(super) fn told(&mut self, peer: P, needed: bool) -> Verdict {
        let Some(before) = self.0.insert(peer, needed) else {
            return Err(alloc::format!("{peer:?} is not connected, and needed or not"));
        };
        ensure!(before != needed, "it was said already whether {peer:?} is needed: {needed}");
        Ok(())
    }

    /// Nothing else is to be said: what was told is so.
    pub(super) fn at_rest(&self, engine: &Engine<P>, drains: u64) -> Verdict {
        if self.0.len() > FEW && !drains.is_multiple_of(16) {
            return Ok(());
        }
        for (peer, needed) in &self.0 {
            let PeerStats { sent_wants, ledger, .. } = engine.peer_stats(*peer).unwrap_or_default();
            ensure!(
                *needed == (sent_wants > 0 || ledger > 0),
                "it was said of {peer:?} that it is needed: {needed}; {sent_wants} wants are sent to it, \
                 {ledger} of its own wait"
            );
        }
        Ok(())
    }
}
