//! How reports of peers are written, for people to read.

use std::fmt;

use bitswap_core::{PeerDid, PeerReport};
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
            write!(f, "{separator}{}: {}", report.peer, did(report.did))?;
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
fn did(did: PeerDid) -> &'static str {
    match did {
        PeerDid::Asked => "no answer yet",
        PeerDid::Have => "HAVE, the block is under way",
        PeerDid::HaveThenSilent => "HAVE then silent",
        PeerDid::Silent => "silent",
        PeerDid::DontHave => "DONT_HAVE",
        PeerDid::NoBitswap => "does not speak Bitswap",
        PeerDid::Unreachable => "no stream to it opens",
        _ => "unknown",
    }
}
