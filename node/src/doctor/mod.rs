//! One report of all that may be wrong: the node, a place on disk, and peers that are to be reached.

mod findings;
mod place;
mod target;

pub use findings::{Finding, Gravity};
pub use target::{Found, JournalState, TargetReport};

use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::future::{Either, select};
use libp2p::Multiaddr;

use crate::error::NodeClosed;
use crate::node::{ConnectedPeer, Node, NodeEvent, NodeReport};
use crate::runtime::RuntimeExt as _;

/// How long a peer that is connected may take to say what it speaks.
const IDENTIFY: Duration = Duration::from_secs(5);

/// What is to be looked at.
#[derive(Clone, Debug)]
pub struct DoctorOptions {
    /// Where something is to be fetched to: a file, a folder, or the directory that either goes into.
    pub target: Option<PathBuf>,
    /// Addresses that the node is to listen on.
    pub listen: Vec<Multiaddr>,
    /// Peers that are to be reached.
    pub from: Vec<Multiaddr>,
    /// How long reaching each of them may take.
    pub timeout: Duration,
}

impl Default for DoctorOptions {
    /// The node alone; peers have ten seconds.
    fn default() -> Self {
        let timeout = Duration::from_secs(10);
        Self { target: None, listen: Vec::new(), from: Vec::new(), timeout }
    }
}

/// What came of listening on an address.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Listened {
    /// The address as it was given.
    pub address: Multiaddr,
    /// The first that others can dial.
    pub listens: Option<Multiaddr>,
    /// Why there is none, for people.
    pub error: Option<String>,
}

/// What came of reaching a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Reached {
    /// The address as it was given.
    pub address: Multiaddr,
    /// The peer, once it is connected: what it is and speaks.
    pub peer: Option<ConnectedPeer>,
    /// How long connecting took.
    pub connected_after: Option<Duration>,
    /// Why it could not be reached, for people.
    pub error: Option<String>,
}

/// All that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Diagnosis {
    /// The node: version, system, addresses, peers, wants, errors.
    pub node: NodeReport,
    /// The place on disk.
    pub target: Option<TargetReport>,
    /// The addresses that were listened on.
    pub listen: Vec<Listened>,
    /// The peers that were to be reached.
    pub from: Vec<Reached>,
    /// What is wrong, or may be, and what to do about it.
    pub findings: Vec<Finding>,
}

impl Diagnosis {
    /// Whether anything is wrong that keeps a fetch from its end.
    #[must_use]
    pub fn has_problems(&self) -> bool {
        self.findings.iter().any(|finding| finding.gravity == Gravity::Problem)
    }
}

impl Node {
    /// Looks for what may be wrong: with this node, with a place on disk, with peers. It listens and connects as it
    /// is told, and to see whether files can be made at the target it makes one and removes it again.
    ///
    /// # Errors
    ///
    /// When the node has stopped.
    #[doc(alias = "environment report")]
    pub async fn doctor(&self, options: DoctorOptions) -> Result<Diagnosis, NodeClosed> {
        let mut listen = Vec::new();
        for address in options.listen {
            let listened = self.listen(address.clone()).await;
            let error = listened.as_ref().err().map(ToString::to_string);
            listen.push(Listened { address, listens: listened.ok(), error });
        }
        let reached =
            options.from.into_iter().map(|address| self.reached(address, options.timeout));
        let from = futures::future::try_join_all(reached).await?;
        let target = match options.target {
            None => None,
            Some(target) => {
                let looked = self.runtime().run_blocking(move || TargetReport::of(&target)).await;
                match looked.and_then(|looked| looked) {
                    Ok(report) => Some(report),
                    Err(error) => {
                        self.note_error(format!("the target cannot be looked at: {error}")).await;
                        None
                    }
                }
            }
        };
        let node = self.report().await?;
        let findings = findings::of(target.as_ref(), &listen, &from);
        Ok(Diagnosis { node, target, listen, from, findings })
    }

    /// Connects to a peer, and waits until it has said what it speaks.
    pub(crate) async fn reached(
        &self,
        address: Multiaddr,
        timeout: Duration,
    ) -> Result<Reached, NodeClosed> {
        let mut events = Box::pin(self.events().await?);
        let start = Instant::now();
        let connect = Box::pin(self.connect(address.clone()));
        let connected = match select(connect, self.runtime().sleep(timeout)).await {
            Either::Left((connected, _)) => connected.map_err(|error| error.to_string()),
            Either::Right(_) => Err(format!(
                "cannot connect to {address}: nothing answered within {} s; check the address, and that no \
                 firewall is in between",
                timeout.as_secs()
            )),
        };
        let after = start.elapsed();
        let peer = match connected {
            Ok(peer) => peer,
            Err(error) => {
                return Ok(Reached {
                    address,
                    peer: None,
                    connected_after: None,
                    error: Some(error),
                });
            }
        };
        let identified = Box::pin(async {
            loop {
                let known = self.call(move |driver| driver.connected_peer(peer)).await?;
                // It is gone again, or has said all.
                if known.as_ref().is_none_or(|known| known.identified.is_some()) {
                    return Ok(known);
                }
                let is_about = |event: &NodeEvent| matches!(event, NodeEvent::Identified(other) | NodeEvent::Disconnected(other) if *other == peer);
                while events.next().await.is_some_and(|event| !is_about(&event)) {}
            }
        });
        let known = match select(identified, self.runtime().sleep(IDENTIFY)).await {
            Either::Left((known, _)) => known?,
            Either::Right(_) => self.call(move |driver| driver.connected_peer(peer)).await?,
        };
        let error = known.is_none().then(|| format!("{address} closed the connection at once"));
        let connected_after = known.is_some().then_some(after);
        Ok(Reached { address, peer: known, connected_after, error })
    }
}
