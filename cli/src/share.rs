//! `bitswap share`

use std::path::Path;
use std::pin::pin;

use bitswap_runtime::{Node, NodeEvent, Runtime, ShareError};
use cid::Cid;
use futures::stream::{Stream, StreamExt as _};
use serde_json::json;

use crate::args;
use crate::exit::Failure;
use crate::say::{Say, size};

pub(crate) async fn run(
    args: args::Share,
    runtime: &impl Runtime,
    say: &Say,
) -> Result<(), Failure> {
    let mut builder = Node::builder(runtime.clone()).mdns(!args.no_mdns);
    for address in args.listen {
        builder = builder.listen(address);
    }
    let dht = args.dht.settings();
    let is_in_dht = dht.is_some();
    if let Some(dht) = dht {
        builder = builder.dht(dht);
    }
    let node = builder.start().await?;
    let events = node.events().await?;
    let (cid, bytes) = match (&args.path, args.text) {
        (Some(path), _) => file(&node, path, args.cut).await?,
        (None, text) => {
            let text = text.unwrap_or_default();
            let bytes = text.len() as u64;
            (node.put(text).await?, bytes)
        }
    };
    let addresses: Vec<String> = node.addresses().await?.iter().map(ToString::to_string).collect();
    say.result(
        Announcement { cid, bytes, addresses: &addresses },
        &json!({"event": "shared", "cid": cid.to_string(), "size": bytes, "addresses": addresses}),
    );
    if is_in_dht {
        node.provide(cid).await?;
    }
    tokio::select! {
        () = interrupted() => {}
        () = watch(events, say) => {}
    }
    node.shutdown().await;
    Ok(())
}

/// Says when the DHT has heard of what is shared.
async fn watch(events: impl Stream<Item = NodeEvent>, say: &Say) {
    let mut events = pin!(events);
    while let Some(event) = events.next().await {
        if let NodeEvent::Announced(cid) = event {
            let cid = cid.to_string();
            say.told("The DHT knows of it.", &json!({"event": "announced", "cid": cid}));
        }
    }
}

async fn file(
    node: &Node<impl Runtime>,
    path: &Path,
    cut: args::Cut,
) -> Result<(Cid, u64), ShareError> {
    let shared = node.share_file(path, cut.profile()).await?;
    Ok((shared.root.cid, shared.root.size))
}

/// Waits for Ctrl-C, or on Unix for the signal that ends a service.
pub(crate) async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        // Nothing can interrupt it but being killed.
        std::future::pending::<()>().await;
    }
}

struct Announcement<'a> {
    cid: Cid,
    bytes: u64,
    addresses: &'a [String],
}

impl std::fmt::Display for Announcement<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cid, bytes, addresses } = self;
        writeln!(f, "{cid}")?;
        writeln!(f, "{}. On the local network, get it with", size(*bytes))?;
        writeln!(f, "  bitswap get {cid}")?;
        writeln!(f, "and from elsewhere with one of")?;
        for address in *addresses {
            writeln!(f, "  bitswap get {cid} --from {address}")?;
        }
        write!(f, "Serving until Ctrl-C.")
    }
}
