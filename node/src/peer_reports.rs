//! How reports of peers are written, for people to read.

use std::fmt;

use bitswap_core::{PeerOutcome, PeerReport};
use libp2p::PeerId;

use crate::node::LostPeer;

/// Displays the answers of peers about a block.
pub(crate) struct PeerReports<'a>(pub(crate) &'a [PeerReport<PeerId>]);

impl fmt::Display for PeerReports<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no peer was asked");
        }
        for (at, report) in self.0.iter().enumerate() {
            let separator = if at == 0 { "asked " } else { "; " };
            write!(f, "{separator}{}: {}", report.peer, outcome(report.outcome))?;
        }
        Ok(())
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

/// What a peer did, in a word or two.
fn outcome(outcome: PeerOutcome) -> &'static str {
    match outcome {
        PeerOutcome::Asked => "no answer yet",
        PeerOutcome::Have => "HAVE, the block is under way",
        PeerOutcome::HaveThenSilent => "HAVE then silent",
        PeerOutcome::Silent => "silent",
        PeerOutcome::DontHave => "DONT_HAVE",
        PeerOutcome::NoBitswap => "does not speak Bitswap",
        PeerOutcome::Unreachable => "no stream to it opens",
        _ => "unknown",
    }
}
