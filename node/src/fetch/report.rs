//! What a fetch waits for.

use std::fmt;

use bitswap_core::chunk::StallReason;
use bitswap_core::{PeerReport, PeerReports};
use cid::Cid;
use libp2p::PeerId;

use crate::node::{LostPeer, LostPeers};

/// What a fetch waits for, for people to read and programs to look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct StallReport {
    /// Why nothing may come; `None` when nothing is asked for. It is a guess of the node, made new each time.
    pub reason: Option<StallReason>,
    /// Peers that are connected.
    pub peers: usize,
    /// Blocks that are asked for.
    pub blocks: usize,
    /// The ones asked for longest, at most three.
    pub oldest: Vec<StalledWant>,
    /// Peers that the user named and whose connection was lost.
    pub lost: Vec<LostPeer>,
    /// Bytes of blocks that the node has received since its start, and of those under way: while it grows,
    /// something comes.
    pub received: u64,
}

/// A block that is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct StalledWant {
    /// The block.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serde_text::serialize"))]
    pub cid: Cid,
    /// What each peer that was asked for it did.
    pub reports: Vec<PeerReport<PeerId>>,
}

impl fmt::Display for StallReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.peers, self.oldest.first()) {
            (0, _) if self.lost.is_empty() => f.write_str("no peer is connected"),
            (0, _) => LostPeers(&self.lost).fmt(f),
            (_, None) => f.write_str("nothing is asked for"),
            (_, Some(wait)) => {
                write!(f, "{wait}")?;
                match self.blocks.saturating_sub(1) {
                    0 => Ok(()),
                    more => write!(f, " (and {more} more)"),
                }
            }
        }
    }
}

impl fmt::Display for StalledWant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "block {}: {}", self.cid, PeerReports(&self.reports))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bitswap_core::PeerOutcome;

    use super::*;

    #[test]
    fn it_says_whom_it_asked_and_what_they_said() {
        let (a, b) = (PeerId::random(), PeerId::random());
        let reports = [(a, PeerOutcome::HaveThenSilent), (b, PeerOutcome::DontHave)];
        let reports = reports.map(|(peer, outcome)| PeerReport { peer, outcome }).to_vec();
        let cid: Cid =
            "bafkreiffsgtnic7uebaeuaixgph3pmmq2ywglpylzwrswv5so7m23hyuny".parse().unwrap();
        let oldest = vec![StalledWant { cid, reports }];
        let waiting = StallReport { peers: 2, blocks: 3, oldest, ..StallReport::default() };
        assert_eq!(
            waiting.to_string(),
            format!("block {cid}: asked {a}: HAVE then silent; {b}: DONT_HAVE (and 2 more)")
        );
        let alone = StallReport { peers: 0, ..waiting };
        assert_eq!(alone.to_string(), "no peer is connected");
        let lost = |reason| LostPeer { peer: a, ago: Duration::from_millis(4_700), reason };
        let text = |reason| StallReport { lost: vec![lost(reason)], ..alone.clone() }.to_string();
        let begin = format!("the connection to {a} was lost 4 s ago");
        assert_eq!(text(None), begin);
        let refused = format!("{begin}, and connecting again failed: refused");
        assert_eq!(text(Some("refused".into())), refused);
    }

    #[test]
    fn it_is_serialized_with_peers_and_blocks_as_text() {
        let peer = PeerId::random();
        let cid = *bitswap_core::Block::raw("wanted").cid();
        let reports = vec![PeerReport { peer, outcome: PeerOutcome::Silent }];
        let lost = LostPeer { peer, ago: Duration::from_secs(1), reason: Some("refused".into()) };
        let oldest = vec![StalledWant { cid, reports }];
        let report = StallReport { oldest, lost: vec![lost], ..StallReport::default() };
        let json = serde_json::to_value(report).unwrap();
        assert_eq!(json["oldest"][0]["cid"], cid.to_string());
        assert_eq!(json["oldest"][0]["reports"][0]["peer"], peer.to_string());
        assert_eq!(json["lost"][0]["reason"], "refused");
    }
}
