//! Trees for tests, made of blocks in memory.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use cid::Cid;
use cid::multihash::Multihash;

use crate::block::Block;
use crate::chunk::{DirectoryBuilder, Importer, Metadata, NodeRoot, Profile, symlink};

/// Blocks, and which of them is the root.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) root: Cid,
    pub(crate) blocks: BTreeMap<Cid, Bytes>,
    pub(crate) profile: Profile,
}

impl Source {
    pub(crate) fn new() -> Self {
        Self { root: Cid::default(), blocks: BTreeMap::new(), profile: Profile::UnixfsV1_2025 }
    }

    pub(crate) fn put(&mut self, block: Block) {
        let (cid, data) = block.into_parts();
        self.blocks.insert(cid, data);
    }

    pub(crate) fn block(&self, cid: &Cid) -> Block {
        Block::new(*cid, self.blocks[cid].clone()).unwrap()
    }

    pub(crate) fn file(&mut self, bytes: &[u8]) -> NodeRoot {
        let mut importer = Importer::new(self.profile);
        importer.write(bytes.to_vec());
        let root = importer.finish();
        while let Some(imported) = importer.poll_block() {
            self.put(imported.block);
        }
        NodeRoot { cid: root.cid, dag_size: root.dag_size }
    }

    pub(crate) fn symlink(&mut self, target: &str) -> NodeRoot {
        let (root, block) = symlink(self.profile, target, &Metadata::default()).unwrap();
        self.put(block);
        root
    }

    pub(crate) fn directory<S: Into<String>>(
        &mut self,
        entries: impl IntoIterator<Item = (S, NodeRoot)>,
    ) -> NodeRoot {
        self.directory_with(entries, &Metadata::default())
    }

    pub(crate) fn directory_with<S: Into<String>>(
        &mut self,
        entries: impl IntoIterator<Item = (S, NodeRoot)>,
        metadata: &Metadata,
    ) -> NodeRoot {
        let mut directory = DirectoryBuilder::new(self.profile);
        for (name, root) in entries {
            directory.add(&name.into(), root).unwrap();
        }
        let (root, nodes) = directory.finish(metadata);
        nodes.into_iter().for_each(|node| self.put(node));
        root
    }

    /// An entry whose block is in its link.
    #[allow(clippy::unused_self, reason = "as the others")]
    pub(crate) fn inline(&self, codec: u64, bytes: &[u8]) -> NodeRoot {
        let cid = Cid::new_v1(codec, Multihash::wrap(0, bytes).unwrap());
        NodeRoot { cid, dag_size: bytes.len() as u64 }
    }

    /// A block of any bytes under a codec.
    pub(crate) fn any(&mut self, codec: u64, bytes: Vec<u8>) -> NodeRoot {
        use multihash_codetable::{Code, MultihashDigest};
        let cid = Cid::new_v1(codec, Code::Sha2_256.digest(&bytes));
        let dag_size = bytes.len() as u64;
        self.blocks.insert(cid, bytes.into());
        NodeRoot { cid, dag_size }
    }
}
