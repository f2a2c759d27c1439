//! Starting a node that fetches, and connecting it.

use std::sync::Arc;

use bitswap_core::{SessionOptions, WhenMissing};
use bitswap_node::{MetricsServer, Multiaddr, Node, Runtime};
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{FuturesUnordered, StreamExt as _};
use libp2p::PeerId;

use crate::args::Sources;
use crate::failure::Failure;
use crate::patience::Pause;
use crate::plain::Plain;
use crate::say::Say;
use crate::store;

/// A node that fetches.
pub(crate) struct Fetcher {
    pub(crate) node: Node,
    pub(crate) late: Late,
    pub(crate) metrics: Option<MetricsServer>,
}

/// Dials that go on although the command has begun with another machine.
pub(crate) struct Late(FuturesUnordered<BoxFuture<'static, Result<PeerId, String>>>);

impl Late {
    /// The next dial that fails.
    pub(crate) async fn failure(&mut self) -> String {
        loop {
            match self.0.next().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return error,
                None => std::future::pending().await,
            }
        }
    }
}

/// A node that is connected to one of those that the user named, the first that answers, or looks around
/// on the local network.
pub(crate) async fn connected(
    sources: &Sources,
    runtime: &Arc<dyn Runtime>,
    say: &Say,
) -> Result<Fetcher, Failure> {
    let mut builder = sources
        .node
        .builder(&sources.dht, runtime)?
        .with_mdns(!sources.is_named())
        .with_reconnect_grace(sources.reconnect_for);
    if let Some(directory) = &sources.store.store {
        let store = store::open(runtime, directory, sources.store.limit).await?;
        builder = builder.with_blocks(Arc::new(store));
    }
    if let Some(server) = sources.dns_server {
        builder = builder.with_dns_server(server);
    }
    let node = builder.start().await?;
    let metrics = sources.node.serve_metrics(&node, say).await?;
    let named = sources.named().into_iter();
    let mut dials: FuturesUnordered<_> =
        named.map(|addresses| dial(node.clone(), addresses).boxed()).collect();
    let mut tried = String::new();
    let mut pause = Pause::FIRST;
    while !dials.is_empty() {
        match tokio::time::timeout(pause.pass(), dials.select_next_some()).await {
            Ok(Ok(_)) => break,
            Ok(Err(error)) => {
                tried.push_str("\n  ");
                tried.push_str(&error);
                // A DHT may know of others.
                if dials.is_empty() && sources.dht.settings().is_none() {
                    return Err(Failure::NoConnection { tried });
                }
            }
            Err(_) => say.waiting(&node.diagnose().await?),
        }
    }
    if !tried.is_empty() {
        say.note(format_args!("going on without:{tried}"));
    }
    Ok(Fetcher { node, late: Late(dials), metrics })
}

/// Connects to a machine by the first of its addresses that answers.
async fn dial(node: Node, addresses: Vec<Multiaddr>) -> Result<PeerId, String> {
    let mut dials: FuturesUnordered<_> =
        addresses.into_iter().map(|address| node.connect(address)).collect();
    let mut failures = Vec::new();
    while let Some(connected) = dials.next().await {
        match connected {
            Ok(peer) => return Ok(peer),
            // Each on a line of its own.
            Err(error) => failures.push(Plain(&error.to_string()).to_string()),
        }
    }
    Err(failures.join("\n  "))
}

/// Named machines that all lack a block are not waited for; others may still come.
pub(crate) fn session(sources: &Sources) -> SessionOptions<PeerId> {
    let wait = sources.wait || !sources.is_named();
    let when_missing = if wait { WhenMissing::Wait } else { WhenMissing::Fail };
    SessionOptions { when_missing, ..SessionOptions::default() }
}
