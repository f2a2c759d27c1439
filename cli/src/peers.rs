//! Starting a node that fetches, and connecting it.

use bitswap_core::{SessionOptions, WhenMissing};
use bitswap_runtime::{Node, Runtime};
use futures::future::join_all;
use libp2p::PeerId;

use crate::args::Sources;
use crate::exit::Failure;
use crate::say::Say;

/// A node that is connected to what the user named, or looks around on the local network.
pub(crate) async fn connected<R: Runtime>(
    sources: &Sources,
    runtime: &R,
    say: &Say,
) -> Result<Node<R>, Failure> {
    let mut builder = Node::builder(runtime.clone()).mdns(sources.from.is_empty());
    if let Some(dht) = sources.dht.settings() {
        builder = builder.dht(dht);
    }
    let node = builder.start().await?;
    let dials = sources.from.iter().map(|address| node.connect(address.clone()));
    let mut tried = String::new();
    let mut any = false;
    for dialled in join_all(dials).await {
        match dialled {
            Ok(_) => any = true,
            Err(error) => {
                tried.push_str("\n  ");
                tried.push_str(&error.to_string());
            }
        }
    }
    if !any && !sources.from.is_empty() {
        return Err(Failure::NoConnection { tried });
    }
    if !tried.is_empty() {
        say.note(format_args!("going on without:{tried}"));
    }
    Ok(node)
}

/// Named machines that all lack a block are not waited for; others may still come.
pub(crate) fn session(sources: &Sources) -> SessionOptions<PeerId> {
    let wait = sources.wait || sources.from.is_empty();
    let when_missing = if wait { WhenMissing::Wait } else { WhenMissing::Fail };
    SessionOptions { when_missing, want_timeout: sources.timeout, ..SessionOptions::default() }
}
