//! The three peers behind one face: a server of a DAG, or a client of ours.

use std::path::Path;

use bitswap_interop::{
    AddOptions, Helia, HeliaOptions, Kubo, KuboOld, KuboOldOptions, KuboOptions, Listen, dag::Dag,
};
use cid::Cid;
use multiaddr::Multiaddr;
use serde_json::json;

/// A directory over this size is sharded.
const SHARD_OVER: &str = "Import.UnixFSHAMTDirectorySizeThreshold";

/// Blocks and bytes by a peer's own count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) blocks: u64,
    pub(crate) bytes: u64,
}

pub(crate) trait Peer: Sized {
    /// A peer without blocks.
    async fn empty(listen: Listen) -> Self;
    /// A peer that has a file or directory, imported so, and its root.
    async fn serving(listen: Listen, path: &Path, options: &AddOptions) -> (Self, Cid);
    fn addr(&self) -> Multiaddr;
    async fn connect(&self, addr: &Multiaddr);
    /// Fetches a file or directory.
    async fn get(&self, root: &Cid, path: &Path);
    /// What it sent by Bitswap; `None` when it does not count.
    async fn sent(&self) -> Option<Count>;
    /// What it received by Bitswap, each block once; `None` when it does not count.
    async fn received(&self) -> Option<Count>;
    /// Whether it has a block.
    async fn has(&self, cid: &Cid) -> bool;
}

/// What all peers call by the same names.
macro_rules! calls {
    () => {
        fn addr(&self) -> Multiaddr {
            self.addrs()[0].clone()
        }

        async fn connect(&self, addr: &Multiaddr) {
            self.connect(addr).await.unwrap();
        }

        async fn get(&self, root: &Cid, path: &Path) {
            self.get(root, path).await.unwrap();
        }
    };
}

impl Peer for Kubo {
    async fn empty(listen: Listen) -> Self {
        Self::start(KuboOptions { listen, ..KuboOptions::default() }).await.unwrap()
    }

    async fn serving(listen: Listen, path: &Path, options: &AddOptions) -> (Self, Cid) {
        let sharded = options.hamt_fanout.map(|_| (SHARD_OVER, json!("1B")));
        let config = sharded.into_iter().collect();
        let kubo = KuboOptions { listen, config, ..KuboOptions::default() };
        let kubo = Self::start(kubo).await.unwrap();
        let root = kubo.add(path, options).await.unwrap();
        (kubo, root)
    }

    calls!();

    async fn sent(&self) -> Option<Count> {
        let stat = self.bitswap_stat().await.unwrap();
        Some(Count { blocks: stat.blocks_sent, bytes: stat.data_sent })
    }

    async fn received(&self) -> Option<Count> {
        let stat = self.bitswap_stat().await.unwrap();
        assert_eq!(stat.duplicate_blocks_received, 0, "{stat:?}");
        Some(Count { blocks: stat.blocks_received, bytes: stat.data_received })
    }

    async fn has(&self, cid: &Cid) -> bool {
        self.has(cid).await.unwrap()
    }
}

impl Peer for KuboOld {
    async fn empty(listen: Listen) -> Self {
        Self::start(KuboOldOptions { listen, ..KuboOldOptions::default() }).await.unwrap()
    }

    /// Its own import knows no options.
    async fn serving(listen: Listen, path: &Path, options: &AddOptions) -> (Self, Cid) {
        if *options == AddOptions::v0() && path.is_file() {
            let old = Self::empty(listen).await;
            let root = old.add(path).await.unwrap();
            return (old, root);
        }
        let Dag { root, blocks } = import(path, options).await;
        let old = KuboOldOptions { listen, blocks, ..KuboOldOptions::default() };
        (Self::start(old).await.unwrap(), root)
    }

    calls!();

    async fn sent(&self) -> Option<Count> {
        None
    }

    async fn received(&self) -> Option<Count> {
        None
    }

    async fn has(&self, cid: &Cid) -> bool {
        self.has(cid)
    }
}

impl Peer for Helia {
    async fn empty(listen: Listen) -> Self {
        assert_eq!(listen, Listen::Tcp, "Helia has no other transport here");
        Self::start(HeliaOptions::default()).await.unwrap()
    }

    /// Its own import knows files and one hash.
    async fn serving(listen: Listen, path: &Path, options: &AddOptions) -> (Self, Cid) {
        let helia = Self::empty(listen).await;
        if path.is_file() && options.hash.is_none() {
            let root = helia.add(path, options).await.unwrap();
            return (helia, root);
        }
        let Dag { root, blocks } = import(path, options).await;
        for (cid, data) in &blocks {
            helia.block_put(cid, data).await.unwrap();
        }
        (helia, root)
    }

    calls!();

    async fn sent(&self) -> Option<Count> {
        let stat = self.stat().await.unwrap();
        Some(Count { blocks: stat.blocks_sent, bytes: stat.bytes_sent })
    }

    async fn received(&self) -> Option<Count> {
        let stat = self.stat().await.unwrap();
        Some(Count { blocks: stat.blocks_stored, bytes: stat.bytes_stored })
    }

    async fn has(&self, cid: &Cid) -> bool {
        self.has(cid).await.unwrap()
    }
}

/// What a file or directory becomes, imported by a Kubo that nobody is connected to.
pub(crate) async fn import(path: &Path, options: &AddOptions) -> Dag {
    let (kubo, root) = Kubo::serving(Listen::Tcp, path, options).await;
    kubo.dag_export(&root).await.unwrap()
}
