//! What it took to get a file or folder, and what is said of it in the end.

use std::time::Instant;

use bitswap_core::ByteSize;
use bitswap_core::chunk::TreeFinished;
use bitswap_node::{Fetched, FetchedTree, Node, NodeClosed, NodeStats, Seeder};
use cid::Cid;
use serde_json::{Value, json};

use crate::plain::Plain;
use crate::say::{Say, mib_per_second};

/// Of fewer bytes the round trips are what takes the time, and within less time everything does.
const SPEED_OF: u64 = 64 << 10;
const SPEED_WITHIN: f64 = 0.1;

/// What one file or folder took.
pub(super) struct Traffic {
    bytes: u64,
    blocks: u64,
    duplicates: u64,
    socket_received: u64,
    socket_sent: u64,
    seconds: f64,
    /// Those that delivered any of it.
    peers: Vec<Seeder>,
}

impl Traffic {
    pub(super) async fn since(
        before: &NodeStats,
        node: &Node,
        root: Cid,
        start: Instant,
    ) -> Result<Self, NodeClosed> {
        let (now, mut peers) = (node.stats().await?, node.seeders(root).await?);
        peers.retain(|peer| peer.blocks > 0);
        let (was, is) = (before.bitswap.engine.fetched, now.bitswap.engine.fetched);
        Ok(Self {
            bytes: is.bytes - was.bytes,
            blocks: is.blocks - was.blocks,
            duplicates: is.duplicate_blocks - was.duplicate_blocks,
            socket_received: now.socket_received - before.socket_received,
            socket_sent: now.socket_sent - before.socket_sent,
            seconds: start.elapsed().as_secs_f64(),
            peers,
        })
    }

    /// How fast if that says anything, in what time, and from how many peers.
    fn summary(&self) -> String {
        let seconds = self.seconds;
        let from = match self.peers.len() {
            0 => String::new(),
            1 => " from one peer".to_owned(),
            peers => format!(" from {peers} peers"),
        };
        let speed = match self.bytes >= SPEED_OF && self.seconds >= SPEED_WITHIN {
            true => format!("{:.1} MiB/s, ", self.speed()),
            false => String::new(),
        };
        format!("{speed}{seconds:.1} s{from}")
    }

    /// What each peer delivered, for programs.
    fn peers(&self) -> Vec<Value> {
        let object = |peer: &Seeder| {
            json!({
                "peer": peer.peer.to_string(), "blocks": peer.blocks, "bytes": peer.bytes,
                "latency_ms": peer.latency.as_secs_f64() * 1e3,
            })
        };
        self.peers.iter().map(object).collect()
    }

    fn speed(&self) -> f64 {
        mib_per_second(self.bytes, self.seconds)
    }
}

/// Says that a file is there.
pub(super) fn report(fetched: &Fetched, traffic: &Traffic, say: &Say) {
    let Fetched { path, finished, .. } = fetched;
    let speed = traffic.speed();
    let path = path.display().to_string();
    let shown = Plain(&path);
    let text = if finished.already {
        format!("{shown}: was there already, {}", ByteSize(finished.size))
    } else {
        let proof = match finished.unchecked {
            0 => "verified".to_owned(),
            bytes => format!("fetched ({} of an earlier run not checked again)", ByteSize(bytes)),
        };
        format!("{shown}: {}, {proof}, {}", ByteSize(finished.size), traffic.summary())
    };
    if finished.leftover {
        say.note("the temporary data beside it could not be removed; remove it by hand");
    }
    let object = json!({
        "event": "fetched", "path": path, "size": finished.size,
        "verified": finished.unchecked == 0, "unchecked_bytes": finished.unchecked,
        "already": finished.already, "durable": finished.durable, "rename_retries": finished.retries,
        "bytes_from_peers": traffic.bytes, "seconds": traffic.seconds,
        "mib_per_second": speed,
        "blocks": traffic.blocks, "duplicate_blocks": traffic.duplicates,
        "socket_bytes_received": traffic.socket_received, "socket_bytes_sent": traffic.socket_sent,
        "peers": traffic.peers(),
    });
    say.result(text, &object);
}

/// Says that a folder is there.
pub(super) fn report_tree(fetched: &FetchedTree, traffic: &Traffic, say: &Say) {
    let FetchedTree { path, finished, .. } = fetched;
    let speed = traffic.speed();
    let path = path.display().to_string();
    let TreeFinished { size, files, already, directories, links, skipped, unchecked, .. } =
        *finished;
    let proof = match unchecked {
        0 => "verified".to_owned(),
        bytes => format!("fetched ({} of an earlier run not checked again)", ByteSize(bytes)),
    };
    let mut text = format!(
        "{}: {files} files, {}, {proof}, {}",
        Plain(&path),
        ByteSize(size),
        traffic.summary()
    );
    if already > 0 {
        text.push_str(&format!("; {already} of the files were there already"));
    }
    if skipped > 0 {
        text.push_str(&format!("; {skipped} symbolic links left out"));
    }
    let object = json!({
        "event": "fetched", "path": path, "size": size, "files": files,
        "files_already": already, "directories": directories, "links": links,
        "links_skipped": skipped, "verified": unchecked == 0, "unchecked_bytes": unchecked,
        "bytes_from_peers": traffic.bytes, "seconds": traffic.seconds, "mib_per_second": speed,
        "blocks": traffic.blocks, "duplicate_blocks": traffic.duplicates,
        "socket_bytes_received": traffic.socket_received, "socket_bytes_sent": traffic.socket_sent,
        "peers": traffic.peers(),
    });
    say.result(text, &object);
}
