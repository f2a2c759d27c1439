//! What peers said about a block, for people to read.

use std::fmt;

use bitswap_core::{PeerDid, PeerReport};
use libp2p::PeerId;

use crate::node::LostPeer;

/// What peers said about a block.
pub(crate) struct Said<'a>(pub(crate) &'a [PeerReport<PeerId>]);

impl fmt::Display for Said<'_> {
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

/// Peers that were lost.
pub(crate) struct Losses<'a>(pub(crate) &'a [LostPeer]);

impl fmt::Display for Losses<'_> {
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
