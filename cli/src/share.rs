//! `bitswap share`

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitswap_core::ByteSize;
use bitswap_core::chunk::Root;
use bitswap_node::store::FileId;
use bitswap_node::{
    Bytes, DiskStore, Hashed, Node, NodeClosed, NodeEvent, Runtime, ShareTreeOptions, SharedTree,
};
use cid::Cid;
use futures::SinkExt as _;
use futures::stream::{Stream, StreamExt as _};
use serde_json::{Value, json};

use crate::args;
use crate::exit::Failure;
use crate::progress::Shown;
use crate::say::Say;

/// How often it looks at the counters, and whether the file has changed.
const LOOK: Duration = Duration::from_secs(1);

/// Files that are looked at each time.
const FILES_AT_ONCE: usize = 1000;

pub(crate) async fn run(
    args: args::Share,
    runtime: &Arc<dyn Runtime>,
    say: &Say,
) -> Result<(), Failure> {
    let mut builder = Node::builder(runtime.clone()).with_mdns(!args.no_mdns);
    for address in &args.listen {
        builder = builder.with_listen_address(address.clone());
    }
    let dht = args.dht.settings();
    let is_in_dht = dht.is_some();
    if let Some(dht) = dht {
        builder = builder.with_dht(dht);
    }
    // What comes on standard input has no other place; it is removed with the node.
    let store = match is_stdin(&args.paths) {
        true => Some(tempfile::tempdir().map_err(|source| Failure::Store { source })?),
        false => None,
    };
    if let Some(directory) = &store {
        let blocks = DiskStore::open(runtime.clone(), directory.path()).await;
        builder =
            builder.with_blocks(Arc::new(blocks.map_err(|source| Failure::Store { source })?));
    }
    let node = builder.start().await?;
    let events = node.events().await?;
    let mut stopped = pin!(interrupted());
    let sharing = share(&node, &args, say);
    let served = tokio::select! {
        served = sharing => served?,
        () = &mut stopped => return Err(Failure::Aborted),
    };
    let cid = served.cid;
    let addresses: Vec<String> = node.addresses().await?.iter().map(ToString::to_string).collect();
    say.result(
        Announcement {
            cid,
            bytes: served.bytes,
            name: served.name.as_deref(),
            addresses: &addresses,
        },
        &json!({
            "event": "shared", "cid": cid.to_string(), "size": served.bytes, "name": served.name,
            "files": served.files.len(), "addresses": addresses,
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
    drop(store);
    Ok(())
}

/// What is shared.
struct Served {
    cid: Cid,
    bytes: u64,
    /// What it is called, where it is one thing with a name.
    name: Option<String>,
    /// The files, as long as they are as they were when they were shared.
    files: Vec<(PathBuf, FileId)>,
    /// Where the next look at them begins.
    next_look: usize,
}

impl Served {
    const fn new(cid: Cid, bytes: u64) -> Self {
        Self { cid, bytes, name: None, files: Vec::new(), next_look: 0 }
    }
}

/// Hashes the files, or stores the text or what comes on standard input.
async fn share(node: &Node, args: &args::Share, say: &Say) -> Result<Served, Failure> {
    if let Some(text) = &args.text {
        return Ok(Served::new(node.put(text.clone()).await?, text.len() as u64));
    }
    let (mut shown, start) = (Shown::new(say), Instant::now());
    let progress = |hashed: Hashed| shown.hashing(hashed, start.elapsed());
    let profile = args.cut.profile();
    if is_stdin(&args.paths) {
        let name = Path::new("standard input");
        let root = node.share_stream(name, standard_input(), profile, progress).await?;
        return Ok(Served::new(root.cid, root.size));
    }
    let only = if let [only] = &args.paths[..] { Some(only) } else { None };
    let name = only.and_then(|path| path.file_name()?.to_str()).map(str::to_owned);
    if let Some(path) = only
        && !path.is_dir()
        && !args.metadata
    {
        let shared = node.share_file_with(path, profile, progress).await?;
        let Root { cid, size, .. } = shared.root;
        let files = vec![(path.clone(), shared.id)];
        return Ok(Served { name, files, ..Served::new(cid, size) });
    }
    let (metadata, skip_hidden) = (args.metadata, args.skip_hidden);
    let options = ShareTreeOptions { profile, metadata, skip_hidden };
    let SharedTree { root, size, files, .. } =
        node.share_tree(&args.paths, options, progress).await?;
    Ok(Served { name, files, ..Served::new(root.cid, size) })
}

/// Whether standard input is what is shared.
fn is_stdin(paths: &[PathBuf]) -> bool {
    matches!(paths, [only] if only.as_os_str() == "-")
}

/// What comes on standard input. A thread of its own waits for it.
fn standard_input() -> impl Stream<Item = io::Result<Bytes>> + Send {
    let (mut pieces, read) = futures::channel::mpsc::channel(2);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let mut piece = vec![0; 1 << 20];
            let result = input.read(&mut piece).map(|read| {
                piece.truncate(read);
                Bytes::from(piece)
            });
            if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
                continue;
            }
            let is_end = result.as_ref().map_or(true, Bytes::is_empty);
            if result.as_ref().is_ok_and(Bytes::is_empty) {
                return;
            }
            // Nobody wants it any more, or it cannot be read.
            if futures::executor::block_on(pieces.send(result)).is_err() || is_end {
                return;
            }
        }
    });
    read
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
                    self.look_at_files().await?;
                    self.look_at_counts().await?;
                }
            }
        }
    }

    /// Looks at some of the files, all of them in turn.
    async fn look_at_files(&mut self) -> Result<(), Failure> {
        let Served { files, next_look, cid, .. } = &mut self.served;
        if *next_look >= files.len() {
            *next_look = 0;
        }
        let start = *next_look;
        let end = files.len().min(start + FILES_AT_ONCE);
        *next_look = end;
        let ids = files[start..end].iter().map(|(_, id)| *id).collect();
        let changed = self.node.changed(ids).await.map_err(|_| NodeClosed)?;
        // What they are from now on is not known.
        for at in changed.into_iter().rev() {
            let (path, _) = files.swap_remove(start + at);
            let path = path.display().to_string();
            let text = format!(
                "{path} has changed since it was shared: what differs is no longer served. Share it again \
                 to serve what it is now."
            );
            let object = json!({"event": "changed", "path": path, "cid": cid.to_string()});
            self.shown.told(&text, &object);
        }
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

/// Waits for Ctrl-C, or for what ends a program otherwise: on Unix the signal that ends a service, on Windows
/// Ctrl-Break, and that the console is closed or the user logs off.
pub(crate) async fn interrupted() {
    #[cfg(windows)]
    {
        use tokio::signal::windows::{ctrl_break, ctrl_close, ctrl_logoff, ctrl_shutdown};
        if let (Ok(mut stop), Ok(mut close), Ok(mut logoff), Ok(mut shutdown)) =
            (ctrl_break(), ctrl_close(), ctrl_logoff(), ctrl_shutdown())
        {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = stop.recv() => {}
                _ = close.recv() => {}
                _ = logoff.recv() => {}
                _ = shutdown.recv() => {}
            }
            return;
        }
    }
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
    name: Option<&'a str>,
    addresses: &'a [String],
}

impl std::fmt::Display for Announcement<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cid, bytes, name, addresses } = self;
        // A name that a shell would take apart is left to the user.
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
        let name = name.filter(|name| name.chars().all(is_word) && !name.starts_with('-'));
        let name = name.map(|name| format!(" -o {name}")).unwrap_or_default();
        writeln!(f, "{cid}")?;
        writeln!(f, "{}. On the local network, get it with", ByteSize(*bytes))?;
        writeln!(f, "  bitswap get {cid}{name}")?;
        writeln!(f, "and from elsewhere with one of")?;
        for address in *addresses {
            writeln!(f, "  bitswap get {cid}{name} --from {address}")?;
        }
        write!(f, "Serving until Ctrl-C.")
    }
}
