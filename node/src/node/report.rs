//! What a running node says of itself, its peers and what went wrong.

use bitswap_core::chunk::{Holders, StallReason};
use bitswap_core::{PeerOutcome, ProtocolSupport, SessionId};
use cid::Cid;
use libp2p::identify;
use libp2p::{Multiaddr, PeerId};

use super::driver::Driver;
use super::recent_errors::RecentError;
use super::{Node, PeerInfo};
use crate::error::NodeClosed;
use crate::fetch::{StallReport, StalledWant};

/// Protocols of a peer that are remembered; the message that names them is bounded too.
const PROTOCOLS_MAX: usize = 64;
/// Entries of wantlists that are looked at to tell who lacks which block.
const LACKING_MAX: usize = 1 << 14;

/// What a peer says that it is, and speaks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Identified {
    /// The name and version of its program.
    pub agent: String,
    /// The protocols that it speaks, at most 64.
    pub protocols: Vec<String>,
}

/// A connected peer in a [`NodeReport`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ConnectedPeer {
    /// The peer, and what Bitswap knows of it: HAVEs, DONT_HAVEs, blocks and bytes among it.
    pub info: PeerInfo,
    /// What it says of itself; `None` before it has.
    pub identified: Option<Identified>,
}

/// What a running node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct NodeReport {
    /// The version of this crate.
    pub version: &'static str,
    /// The operating system.
    pub os: &'static str,
    /// The processor's architecture.
    pub arch: &'static str,
    /// The runtime that the node runs on.
    pub runtime: &'static str,
    /// The node's identity.
    pub peer_id: PeerId,
    /// The addresses that it listens on, with their ports.
    pub addresses: Vec<Multiaddr>,
    /// The connected peers.
    pub peers: Vec<ConnectedPeer>,
    /// The wants in flight, and what they wait for.
    pub waiting: StallReport,
    /// The last errors, oldest first, at most 20.
    pub errors: Vec<RecentError>,
}

impl Node {
    /// What the node says of itself, its peers, its wants and the last errors.
    ///
    /// # Errors
    ///
    /// When the node has stopped.
    pub async fn report(&self) -> Result<NodeReport, NodeClosed> {
        let (peer_id, runtime) = (self.peer_id(), self.runtime().name());
        self.call(move |driver| NodeReport {
            version: env!("CARGO_PKG_VERSION"),
            os: std::env::consts::OS,
            arch: std::env::consts::ARCH,
            runtime,
            peer_id,
            addresses: driver.swarm.listeners().cloned().collect(),
            peers: driver.connected_peers(),
            waiting: driver.diagnose(),
            errors: driver.errors.list(driver.now()),
        })
        .await
    }
}

impl Driver {
    /// Remembers what a peer said of itself.
    pub(super) fn remember_identified(&mut self, peer: PeerId, info: &identify::Info) {
        if !self.swarm.is_connected(&peer) {
            return;
        }
        let mut protocols: Vec<String> = info.protocols.iter().map(ToString::to_string).collect();
        // They come in any order.
        protocols.sort_unstable();
        protocols.truncate(PROTOCOLS_MAX);
        let agent = info.agent_version.clone();
        self.identified.insert(peer, Identified { agent, protocols });
        self.listeners.send(&super::NodeEvent::Identified(peer));
    }

    /// A connected peer; `None` when it is not connected.
    pub(crate) fn connected_peer(&self, peer: PeerId) -> Option<ConnectedPeer> {
        self.swarm.is_connected(&peer).then(|| ConnectedPeer {
            info: PeerInfo { peer, bitswap: self.swarm.behaviour().bitswap.peer(peer) },
            identified: self.identified.get(&peer).cloned(),
        })
    }

    fn connected_peers(&self) -> Vec<ConnectedPeer> {
        self.swarm.connected_peers().filter_map(|peer| self.connected_peer(*peer)).collect()
    }

    /// How many peers may have which block: all that speak Bitswap, but for those that want it themselves.
    pub(crate) fn holders(&self) -> Holders {
        let bitswap = &self.swarm.behaviour().bitswap;
        let (mut speaking, mut wantlists) = (0, Vec::new());
        for peer in bitswap.peers() {
            let stats = bitswap.peer(peer).and_then(|info| info.stats).unwrap_or_default();
            if stats.support != ProtocolSupport::No {
                speaking += 1;
                if stats.ledger > 0 {
                    wantlists.push(peer);
                }
            }
        }
        let mut lacking = std::collections::BTreeMap::<Cid, u32>::new();
        let entries = wantlists.into_iter().flat_map(|peer| bitswap.peer_wantlist(peer));
        for entry in entries.take(LACKING_MAX) {
            *lacking.entry(entry.cid).or_default() += 1;
        }
        let mut holders = Holders::new(speaking);
        for (cid, lack) in lacking {
            holders.insert(cid, speaking.saturating_sub(lack));
        }
        holders
    }

    /// What a session waits for.
    pub(crate) fn stall_report(
        &mut self,
        blocks: usize,
        oldest: impl IntoIterator<Item = (SessionId, Cid)>,
    ) -> StallReport {
        let now = self.now();
        let peers = self.swarm.connected_peers().count();
        let lost = self.dialling.dialer().lost(now);
        let oldest: Vec<(SessionId, Cid)> = oldest.into_iter().collect();
        let sessions: Vec<SessionId> = oldest.iter().map(|(session, _)| *session).collect();
        let bitswap = self.bitswap();
        let received = bitswap.arriving_bytes() + bitswap.stats().engine.fetched.bytes;
        let oldest = oldest.into_iter().map(|(session, cid)| StalledWant {
            cid,
            reports: bitswap.diagnose(session, &cid).unwrap_or_default(),
        });
        let oldest: Vec<StalledWant> = oldest.collect();
        let reason = (blocks > 0).then(|| self.stall_reason(peers, &sessions, &oldest));
        StallReport { reason, peers, blocks, oldest, lost, received }
    }

    /// Why nothing may come to these sessions, as their oldest wants show it.
    fn stall_reason(
        &self,
        peers: usize,
        sessions: &[SessionId],
        oldest: &[StalledWant],
    ) -> StallReason {
        let found_nobody = sessions.iter().any(|session| self.searches.found_nobody(*session));
        if peers == 0 {
            return if found_nobody { StallReason::NoProvider } else { StallReason::NoPeers };
        }
        let is = |want: &StalledWant, outcome| {
            want.reports.iter().any(|report| report.outcome == outcome)
        };
        let lacks = |want: &&StalledWant| {
            let only = [PeerOutcome::DontHave, PeerOutcome::NoBitswap];
            is(want, PeerOutcome::DontHave)
                && want.reports.iter().all(|report| only.contains(&report.outcome))
        };
        if let Some(want) = oldest.iter().find(lacks) {
            return StallReason::AllDontHave(want.cid);
        }
        let nobody_can_be_asked = |want: &StalledWant| {
            want.reports.iter().all(|report| report.outcome == PeerOutcome::NoBitswap)
        };
        if !oldest.iter().all(nobody_can_be_asked) {
            return StallReason::PeersSilent;
        }
        let is_held_back = |session: &SessionId| {
            let stats = self.swarm.behaviour().bitswap.session_stats(*session);
            stats.is_some_and(|stats| stats.wants > 0 && stats.asked == 0)
                && self.swarm.behaviour().bitswap.is_rate_limited(*session)
        };
        let nobody_speaks = oldest.iter().all(|want| !want.reports.is_empty());
        if nobody_speaks || found_nobody {
            StallReason::NoProvider
        } else if sessions.iter().all(is_held_back) {
            StallReason::RateLimited
        } else {
            StallReason::PeersSilent
        }
    }
}
