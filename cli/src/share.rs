//! `bitswap share`

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitswap_core::ByteSize;
use bitswap_core::chunk::Root;
use bitswap_node::store::FileId;
use bitswap_node::{Hashed, Node, NodeClosed, NodeEvent, Runtime};
use cid::Cid;
use futures::stream::{Stream, StreamExt as _};
use serde_json::{Value, json};

use crate::args;
use crate::exit::Failure;
use crate::progress::Shown;
use crate::say::Say;

/// How often it looks at the counters, and whether the file has changed.
const LOOK: Duration = Duration::from_secs(1);

pub(crate) async fn run(
    args: args::Share,
    runtime: &Arc<dyn Runtime>,
    say: &Say,
) -> Result<(), Failure> {
    let mut builder = Node::builder(runtime.clone()).with_mdns(!args.no_mdns);
    for address in args.listen {
        builder = builder.with_listen_address(address);
    }
    let dht = args.dht.settings();
    let is_in_dht = dht.is_some();
    if let Some(dht) = dht {
        builder = builder.with_dht(dht);
    }
    let node = builder.start().await?;
    let events = node.events().await?;
    let mut stopped = pin!(interrupted());
    let sharing = share(&node, args.path.as_deref(), args.text, args.cut, say);
    let served = tokio::select! {
        served = sharing => served?,
        () = &mut stopped => return Err(Failure::Aborted),
    };
    let cid = served.cid;
    let addresses: Vec<String> = node.addresses().await?.iter().map(ToString::to_string).collect();
    say.result(
        Announcement { cid, bytes: served.bytes, addresses: &addresses },
        &json!({
            "event": "shared", "cid": cid.to_string(), "size": served.bytes, "addresses": addresses,
        }),
    );
    if is_in_dht {
        node.provide(cid).await?;
    }
    let mut watch = Watch { node: &node, served, shown: Shown::new(say), told: Counts::default() };
    tokio::select! {
        () = &mut stopped => {}
        ended = watch.run(events) => ended?,
    }
    watch.end(say).await?;
    node.shutdown().await;
    Ok(())
}

/// What is shared.
struct Served {
    cid: Cid,
    bytes: u64,
    /// The file, while it is as it was when it was shared.
    file: Option<(PathBuf, FileId)>,
}

/// Hashes the file, or stores the text.
async fn share(
    node: &Node,
    path: Option<&Path>,
    text: Option<String>,
    cut: args::Cut,
    say: &Say,
) -> Result<Served, Failure> {
    let Some(path) = path else {
        let text = text.unwrap_or_default();
        let bytes = text.len() as u64;
        return Ok(Served { cid: node.put(text).await?, bytes, file: None });
    };
    let (mut shown, start) = (Shown::new(say), Instant::now());
    let progress = |hashed: Hashed| shown.hashing(hashed, start.elapsed());
    let shared = node.share_file_with(path, cut.profile(), progress).await?;
    let Root { cid, size, .. } = shared.root;
    Ok(Served { cid, bytes: size, file: Some((path.to_owned(), shared.id)) })
}

/// Says what becomes of what is shared.
struct Watch<'a> {
    node: &'a Node,
    served: Served,
    shown: Shown<'a>,
    /// What was said last.
    told: Counts,
}

/// What was served so far.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    peers: u32,
    blocks: u64,
    bytes: u64,
}

impl Counts {
    async fn of(node: &Node) -> Result<Self, NodeClosed> {
        let engine = node.stats().await?.bitswap.engine;
        let bitswap_core::Served { blocks, bytes, .. } = engine.served;
        Ok(Self { peers: engine.peers, blocks, bytes })
    }

    fn object(self, event: &str) -> Value {
        let Self { peers, blocks, bytes } = self;
        json!({"event": event, "peers": peers, "blocks": blocks, "bytes": bytes})
    }
}

impl Watch<'_> {
    async fn run(&mut self, events: impl Stream<Item = NodeEvent>) -> Result<(), Failure> {
        let mut events = pin!(events);
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(NodeEvent::Provided(cid)) => {
                        let object = json!({"event": "announced", "cid": cid.to_string()});
                        self.shown.told("The DHT knows of it.", &object);
                    }
                    Some(_) => {}
                    None => return Err(Failure::NodeClosed(NodeClosed)),
                },
                _ = look.tick() => {
                    self.look_at_file().await?;
                    self.look_at_counts().await?;
                }
            }
        }
    }

    async fn look_at_file(&mut self) -> Result<(), Failure> {
        let Some((path, id)) = &self.served.file else { return Ok(()) };
        if self.node.is_unchanged(*id).await.map_err(|_| NodeClosed)? {
            return Ok(());
        }
        let path = path.display().to_string();
        let text = format!(
            "{path} has changed since it was shared: what differs is no longer served. Share it again \
             to serve what it is now."
        );
        let cid = self.served.cid.to_string();
        self.shown.told(&text, &json!({"event": "changed", "path": path, "cid": cid}));
        // What it is from now on is not known.
        self.served.file = None;
        Ok(())
    }

    async fn look_at_counts(&mut self) -> Result<(), NodeClosed> {
        let counts = Counts::of(self.node).await?;
        if self.told != counts {
            let Counts { peers, blocks, bytes } = counts;
            let connected = if peers == 1 { "peer" } else { "peers" };
            let text = format!(
                "{peers} {connected} connected, {} sent in {blocks} blocks",
                ByteSize(bytes)
            );
            if self.shown.state(&text, &counts.object("serving")) {
                self.told = counts;
            }
        }
        Ok(())
    }

    /// The sum of it all.
    async fn end(self, say: &Say) -> Result<(), NodeClosed> {
        let counts = Counts::of(self.node).await?;
        drop(self.shown);
        let text = format!("Served {} in {} blocks.", ByteSize(counts.bytes), counts.blocks);
        say.told(text, &counts.object("served"));
        Ok(())
    }
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
        writeln!(f, "{}. On the local network, get it with", ByteSize(*bytes))?;
        writeln!(f, "  bitswap get {cid}")?;
        writeln!(f, "and from elsewhere with one of")?;
        for address in *addresses {
            writeln!(f, "  bitswap get {cid} --from {address}")?;
        }
        write!(f, "Serving until Ctrl-C.")
    }
}
