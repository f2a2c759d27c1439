//! `bitswap share`

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitswap_core::ByteSize;
use bitswap_core::chunk::UnixfsNode;
use bitswap_node::{Keep, Multiaddr, Node, NodeClosed, NodeEvent, PeerId, Runtime, ShareError};
use cid::Cid;
use futures::FutureExt as _;
use futures::stream::{BoxStream, StreamExt as _};
use libp2p::multiaddr::Protocol;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::args;
use crate::failure::Failure;
use crate::identity;
use crate::import::{Imported, import, is_stdin};
use crate::interrupt::{interrupted, unless_interrupted};
use crate::plain::Plain;
use crate::progress::{Rates, Shown, rate_of};
use crate::say::Say;
use crate::store;

/// How often it looks at the counters, and whether the file has changed.
const LOOK: Duration = Duration::from_secs(1);

/// Files that are looked at each time.
const FILES_AT_ONCE: usize = 1000;

pub(crate) async fn run(
    args: args::Share,
    runtime: &Arc<dyn Runtime>,
    say: &Say,
) -> Result<(), Failure> {
    let builder = args.node.builder(&args.dht, runtime)?.with_mdns(!args.no_mdns);
    let mut builder = args.wss.give(builder, &args.listen)?;
    let mut lasts = args.node.identity.is_some();
    if !lasts
        && !args.ephemeral
        && let Some(identity) = identity::of_user(say)?
    {
        builder = builder.with_identity_file(identity);
        lasts = true;
    }
    let is_in_dht = args.dht.settings().is_some();
    // What comes on standard input has no other place; without a store it is removed with the node.
    let temporary = match &args.store {
        None if is_stdin(&args.paths) => {
            let directory = tempfile::tempdir();
            Some(directory.map_err(|source| Failure::TemporaryStore { source })?)
        }
        _ => None,
    };
    let store = args.store.as_deref().or_else(|| temporary.as_ref().map(TempDir::path));
    let mut hold = None;
    if let Some(directory) = store {
        let store = store::open(runtime, directory, args.limit).await?;
        // What is put there is what is served.
        hold = Some(store.hold());
        builder = builder.with_blocks(Arc::new(store));
    }
    let node = builder.start().await?;
    let metrics = args.node.serve_metrics(&node, say).await?;
    listen(&node, &args, lasts).await?;
    let events = node.events().await?;
    let served = unless_interrupted(share(&node, &args, say)).await?;
    let cid = served.cid;
    args.node.must_not_be_denied(&cid.into())?;
    let ticket = node.ticket(cid, served.name.as_deref()).await?.to_string();
    let addresses = node.addresses().await?;
    let is_found_nearby =
        !args.no_mdns && !args.node.is_private() && !addresses.iter().all(is_loopback);
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    say.result(
        Announcement { cid, ticket: &ticket, bytes: served.size, is_found_nearby },
        &json!({
            "event": "shared", "cid": cid.to_string(), "size": served.size, "name": served.name,
            "files": served.files.len(), "addresses": addresses, "ticket": ticket,
        }),
    );
    if is_in_dht {
        node.provide(cid).await?;
    }
    let mut watch = Watch {
        node: &node,
        events: Box::pin(events),
        served,
        next_look: 0,
        shown: Shown::new(say),
        told: (Counts::default(), 0),
        flow: Flow::default(),
        start: Instant::now(),
    };
    tokio::select! {
        () = interrupted() => {}
        ended = watch.run() => ended?,
    }
    watch.end(say).await?;
    drop(metrics);
    node.shutdown().await;
    drop((hold, temporary));
    Ok(())
}

/// Listens on the addresses; where any port will do, on the one that an identity that lasts had before.
async fn listen(node: &Node, args: &args::Share, lasts: bool) -> Result<(), Failure> {
    for address in &args.listen {
        listen_on(node, address, lasts).await?;
    }
    let mut failure = None;
    let mut listens = args.listen_if_possible.is_empty();
    for address in &args.listen_if_possible {
        match listen_on(node, address, lasts).await {
            Ok(()) => listens = true,
            // The first is the one that every machine should have.
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    if listens { Ok(()) } else { failure.map_or(Ok(()), Err) }
}

async fn listen_on(node: &Node, address: &Multiaddr, lasts: bool) -> Result<(), Failure> {
    let home = identity::at_home(address, node.peer_id()).filter(|_| lasts);
    if let Some(home) = home
        && node.listen(home).await.is_ok()
    {
        return Ok(());
    }
    // Another program may have that port.
    node.listen(address.clone()).await?;
    Ok(())
}

/// Hashes the files, stores the text or what comes on standard input, or looks at what is in the store.
async fn share(node: &Node, args: &args::Share, say: &Say) -> Result<Imported, Failure> {
    if let Some(text) = &args.text {
        return Ok(Imported::nameless(node.put(text.clone()).await?, text.len() as u64));
    }
    if let Some(root) = args.root {
        return stored(node, root).await;
    }
    import(node, &args.paths, (args.cut.profile(), args.folders, Keep::InPlace), say).await
}

/// Something that is in the store already.
async fn stored(node: &Node, root: Cid) -> Result<Imported, Failure> {
    let Some(bytes) = node.store().block(root).await.map_err(ShareError::from)? else {
        return Err(Failure::NotInStore { root });
    };
    // Of a folder it is what its root claims, as everybody sees it who looks at no more than that.
    let size = match UnixfsNode::decode(root.codec(), &bytes, usize::MAX) {
        Ok(UnixfsNode::File(node, _)) => node.size,
        Ok(UnixfsNode::Directory(node, _)) => node.entries.iter().map(|entry| entry.tsize).sum(),
        _ => bytes.len() as u64,
    };
    Ok(Imported::nameless(root, size))
}

/// Says what becomes of what is shared.
struct Watch<'a> {
    node: &'a Node,
    events: BoxStream<'static, NodeEvent>,
    served: Imported,
    /// Where the next look at its files begins.
    next_look: usize,
    shown: Shown<'a>,
    /// What was said last, and the rate then.
    told: (Counts, u64),
    flow: Flow,
    start: Instant,
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

/// What goes to whom, and how fast.
#[derive(Default)]
struct Flow {
    looked: Option<(Instant, Counts)>,
    rates: Rates,
    /// Peers that were sent something, as far as they are remembered.
    served: BTreeSet<PeerId>,
}

/// Peers that are remembered for the sum at the end.
const SERVED_MAX: usize = 10_000;

/// Peers of which programs are told each time, those that were sent most.
const PEERS_TOLD: usize = 100;

impl Flow {
    /// This peer was sent something.
    fn served(&mut self, peer: PeerId) {
        if self.served.len() < SERVED_MAX {
            self.served.insert(peer);
        }
    }

    /// What is served now: bytes per second in all, and of each peer for programs.
    async fn look(&mut self, node: &Node, counts: Counts) -> Result<(u64, Vec<Value>), NodeClosed> {
        let now = Instant::now();
        let mut peers: Vec<(PeerId, u64, u64)> = Vec::new();
        for info in node.peers().await? {
            let served = info.bitswap.and_then(|bitswap| bitswap.stats).map(|stats| stats.served);
            if let Some(served) = served.filter(|served| served.blocks > 0) {
                peers.push((info.peer, served.blocks, served.bytes));
            }
        }
        peers.iter().for_each(|(peer, ..)| self.served(*peer));
        peers.sort_by_key(|(peer, _, bytes)| (Reverse(*bytes), *peer));
        let counters: Vec<_> = peers.iter().map(|(peer, _, bytes)| (*peer, *bytes)).collect();
        let rates = self.rates.look(&counters, now);
        let rate = match self.looked.replace((now, counts)) {
            Some((looked, before)) => rate_of(before.bytes, counts.bytes, now - looked),
            None => 0,
        };
        let object = |((peer, blocks, bytes), rate): (&(PeerId, u64, u64), u64)| json!({"peer": peer.to_string(), "blocks": blocks, "bytes": bytes, "rate": rate});
        Ok((rate, peers.iter().zip(rates).take(PEERS_TOLD).map(object).collect()))
    }
}

impl Watch<'_> {
    async fn run(&mut self) -> Result<(), Failure> {
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                event = self.events.next() => match event {
                    Some(event) => self.event(&event),
                    None => return Err(Failure::NodeClosed(NodeClosed)),
                },
                _ = look.tick() => {
                    self.look_at_files().await?;
                    self.look_at_counts().await?;
                }
            }
        }
    }

    fn event(&mut self, event: &NodeEvent) {
        match event {
            NodeEvent::Provided(cid) => {
                let object = json!({"event": "announced", "cid": cid.to_string()});
                self.shown.told(
                    "The DHT has a provider record of it: it can be found by its CID.",
                    &object,
                );
            }
            NodeEvent::PeerLeft { peer, stats } if stats.served.blocks > 0 => {
                self.flow.served(*peer);
            }
            _ => {}
        }
    }

    /// Looks at some of the files, all of them in turn.
    async fn look_at_files(&mut self) -> Result<(), Failure> {
        let next_look = &mut self.next_look;
        let Imported { files, cid, .. } = &mut self.served;
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
                "{} has changed since it was shared: what differs is no longer served. Share it again \
                 to serve what it is now.",
                Plain(&path),
            );
            let object = json!({"event": "changed", "path": path, "cid": cid.to_string()});
            self.shown.told(&text, &object);
        }
        Ok(())
    }

    async fn look_at_counts(&mut self) -> Result<(), NodeClosed> {
        let counts = Counts::of(self.node).await?;
        let (rate, to) = self.flow.look(self.node, counts).await?;
        if self.told != (counts, rate) {
            let Counts { peers, blocks, bytes } = counts;
            let connected = if peers == 1 { "peer" } else { "peers" };
            let text = format!(
                "{peers} {connected} connected, {} sent in {blocks} blocks, {}/s",
                ByteSize(bytes),
                ByteSize(rate),
            );
            let mut object = counts.object("serving");
            (object["rate"], object["to"]) = (json!(rate), json!(to));
            if self.shown.state(&text, &object) {
                self.told = (counts, rate);
            }
        }
        Ok(())
    }

    /// The sum of it all.
    async fn end(mut self, say: &Say) -> Result<(), NodeClosed> {
        let counts = Counts::of(self.node).await?;
        self.flow.look(self.node, counts).await?;
        // Those that are not connected any more have said so before.
        while let Some(Some(event)) = self.events.next().now_or_never() {
            self.event(&event);
        }
        drop(self.shown);
        let (served, seconds) = (self.flow.served.len(), self.start.elapsed().as_secs());
        let to = if served == 1 { "peer" } else { "peers" };
        let text = format!(
            "Served {} in {} blocks to {served} {to} in {seconds} s.",
            ByteSize(counts.bytes),
            counts.blocks,
        );
        let mut object = counts.object("served");
        (object["peers_served"], object["seconds"]) = (json!(served), json!(seconds));
        say.told(text, &object);
        Ok(())
    }
}

/// Whether only this machine can connect there.
fn is_loopback(address: &Multiaddr) -> bool {
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => ip.is_loopback(),
        Some(Protocol::Ip6(ip)) => ip.is_loopback(),
        _ => false,
    }
}

struct Announcement<'a> {
    cid: Cid,
    ticket: &'a str,
    bytes: u64,
    /// Machines on the local network are told, and need to know nothing but the CID.
    is_found_nearby: bool,
}

impl std::fmt::Display for Announcement<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cid, ticket, bytes, is_found_nearby } = self;
        writeln!(f, "{cid}")?;
        writeln!(f, "{}. Get it on another machine with this line:", ByteSize(*bytes))?;
        writeln!(f, "  bitswap get {ticket}")?;
        if *is_found_nearby {
            writeln!(f, "On the local network the CID is enough: bitswap get {cid}")?;
        }
        write!(f, "Serving until Ctrl-C.")
    }
}
