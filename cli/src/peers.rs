//! Starting a node that fetches, and connecting it.

use std::sync::Arc;

use bitswap_core::{SessionOptions, WhenMissing};
use bitswap_node::{ConnectError, Node, Runtime};
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{FuturesUnordered, StreamExt as _};
use libp2p::PeerId;

use crate::args::Sources;
use crate::exit::Failure;
use crate::patience::SAY_AFTER;
use crate::say::Say;

/// A node that fetches.
pub(crate) struct Fetcher {
    pub(crate) node: Node,
    pub(crate) late: Late,
}

/// Dials that go on although the command has begun with another machine.
pub(crate) struct Late(FuturesUnordered<BoxFuture<'static, Result<PeerId, ConnectError>>>);

impl Late {
    /// The next dial that fails.
    pub(crate) async fn failure(&mut self) -> ConnectError {
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
    let builder = sources
        .node
        .builder(&sources.dht, runtime)?
        .with_mdns(sources.from.is_empty())
        .with_reconnect_grace(sources.reconnect_for);
    let node = builder.start().await?;
    let dial = |address: &libp2p::Multiaddr| {
        let (node, address) = (node.clone(), address.clone());
        async move { node.connect(address).await }.boxed()
    };
    let mut dials: FuturesUnordered<_> = sources.from.iter().map(dial).collect();
    let mut tried = String::new();
    while !dials.is_empty() {
        match tokio::time::timeout(SAY_AFTER, dials.select_next_some()).await {
            Ok(Ok(_)) => break,
            Ok(Err(error)) => {
                tried.push_str("\n  ");
                tried.push_str(&error.to_string());
                if dials.is_empty() {
                    return Err(Failure::NoConnection { tried });
                }
            }
            Err(_) => say.waiting(&node.diagnose().await?),
        }
    }
    if !tried.is_empty() {
        say.note(format_args!("going on without:{tried}"));
    }
    Ok(Fetcher { node, late: Late(dials) })
}

/// Named machines that all lack a block are not waited for; others may still come.
pub(crate) fn session(sources: &Sources) -> SessionOptions<PeerId> {
    let wait = sources.wait || sources.from.is_empty();
    let when_missing = if wait { WhenMissing::Wait } else { WhenMissing::Fail };
    SessionOptions { when_missing, ..SessionOptions::default() }
}
