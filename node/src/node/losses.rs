//! What becomes of wants when peers are lost.
//!
//! A session that fails when a block is missing fails on answers. Until a peer that the user named is
//! back, or its grace is over, or the first dial to it has ended, "all others lack it" is no answer: such
//! an end is held, and the block wanted again as soon as somebody connects.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bitswap_core::{PeerReport, SessionId, Want, WantFailure};
use cid::Cid;
use libp2p::PeerId;

use super::driver::Driver;
use crate::error::{GetError, NodeClosed};
use crate::fetch::StallReport;

/// A peer that the user named and whose connection was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LostPeer {
    /// The peer.
    pub peer: PeerId,
    /// How long ago its last connection closed.
    pub ago: Duration,
    /// Why the last attempt to connect again failed, for people; `None` before the first has ended.
    #[cfg_attr(feature = "serde", serde(serialize_with = "reason"))]
    pub reason: Option<Arc<str>>,
}

#[cfg(feature = "serde")]
fn reason<S: serde::Serializer>(reason: &Option<Arc<str>>, to: S) -> Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&reason.as_deref(), to)
}

impl fmt::Display for LostPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { peer, ago, reason } = self;
        write!(f, "the connection to {peer} was lost {} s ago", ago.as_secs())?;
        match reason {
            Some(reason) => write!(f, ", and connecting again failed: {reason}"),
            None => Ok(()),
        }
    }
}

/// Displays peers whose connections were lost.
pub(crate) struct LostPeers<'a>(pub(crate) &'a [LostPeer]);

impl fmt::Display for LostPeers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, lost) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{lost}")?;
        }
        Ok(())
    }
}

impl Driver {
    /// A want has ended without a block.
    pub(super) fn want_failed(
        &mut self,
        session: SessionId,
        cid: Cid,
        failure: WantFailure<PeerId>,
    ) {
        let error = match failure {
            WantFailure::NotFound(reports) if self.dialling.expects() => {
                return self.routes.hold(session, cid, reports);
            }
            WantFailure::NotFound(reports) => self.not_found(reports),
            WantFailure::TimedOut(reports) => GetError::TimedOut(reports),
            _ => GetError::NodeClosed(NodeClosed),
        };
        self.routes.failed(session, cid, &error);
    }

    /// Somebody connected: what the others lack may be there.
    pub(super) fn want_held(&mut self) {
        let mut wanted = Vec::new();
        for (session, cid, _) in self.routes.take_held() {
            match self.bitswap().want(session, [Want::from(cid)]) {
                Ok(()) if self.routes.takes_stored(session, &cid) => wanted.push(cid),
                Ok(()) => {}
                Err(error) => self.routes.failed(session, cid, &error.into()),
            }
        }
        self.look_again(wanted);
    }

    /// Ends what only waits for peers that are not expected back. True when there was any.
    pub(super) fn give_up_lost(&mut self) -> bool {
        let now = self.now();
        self.dialling.dialer_mut().end_graces(now);
        if self.dialling.expects() {
            return false;
        }
        let mut any = false;
        for (session, cid, reports) in self.routes.take_held() {
            let error = self.not_found(reports);
            self.routes.failed(session, cid, &error);
            any = true;
        }
        any
    }

    /// Ends what nobody is left for: those who were connected are lost and not expected back, and nobody
    /// looks for others. True when there was any. For when the swarm has nothing to say: until then it may be
    /// about to ask for a lookup.
    pub(super) fn give_up_alone(&mut self) -> bool {
        let lost = self.dialling.dialer().lost(self.now());
        if lost.is_empty()
            || self.dialling.expects()
            || self.swarm.connected_peers().next().is_some()
        {
            return false;
        }
        let error = GetError::ConnectionLost { lost, reports: Vec::new() };
        let mut any = false;
        for (session, cids) in self.routes.that_fail() {
            if self.searches.is_running(session) {
                continue;
            }
            self.bitswap().cancel(session, cids.iter().copied());
            for cid in cids {
                self.routes.failed(session, cid, &error);
                any = true;
            }
        }
        any
    }

    /// What all sessions wait for.
    pub(super) fn diagnose(&mut self) -> StallReport {
        let (blocks, oldest) = self.routes.oldest(3);
        self.stall_report(blocks, oldest)
    }

    /// Nobody who is left has a block.
    fn not_found(&self, reports: Vec<PeerReport<PeerId>>) -> GetError {
        let lost = self.dialling.dialer().lost(self.now());
        if lost.is_empty() {
            GetError::NotFound(reports)
        } else {
            GetError::ConnectionLost { lost, reports }
        }
    }
}
