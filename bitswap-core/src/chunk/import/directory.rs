//! Directories and symbolic links become the nodes that everybody else makes of them.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use cid::Cid;

use super::profile::Profile;
use crate::block::Block;
use crate::chunk::unixfs::{
    DagFault, HAMT_LEVELS, Metadata, TARGET_MAX, check_name, encode_directory, encode_shard,
    encode_symlink, hamt_digits, hamt_prefix, link_field_len,
};

/// The size above which a directory becomes a trie, in bytes, as the profile counts it.
const TRIE_ABOVE: usize = 262_144;

/// The top of an imported directory or symbolic link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeRoot {
    /// Its CID.
    pub cid: Cid,
    /// The length of all blocks together, those that occur again counted again.
    pub dag_size: u64,
}

/// Collects the entries of one directory and makes its nodes.
///
/// Its entries are in memory until then, about 200 bytes each; what they lead to is not.
#[derive(Clone, Debug)]
pub struct DirectoryBuilder {
    profile: Profile,
    /// By name: nodes list their entries in the order of the bytes of their names.
    entries: BTreeMap<String, NodeRoot>,
}

impl DirectoryBuilder {
    /// A directory without entries.
    #[must_use]
    pub const fn new(profile: Profile) -> Self {
        Self { profile, entries: BTreeMap::new() }
    }

    /// Adds an entry.
    ///
    /// # Errors
    ///
    /// [`DagFault::BadName`] and [`DagFault::DuplicateName`].
    pub fn add(&mut self, name: &str, root: NodeRoot) -> Result<(), DagFault> {
        check_name(name.as_bytes())?;
        if self.entries.contains_key(name) {
            return Err(DagFault::DuplicateName);
        }
        self.entries.insert(name.into(), root);
        Ok(())
    }

    /// How many entries it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Makes the directory: its root, and all of its nodes, the root's last.
    #[must_use]
    pub fn finish(self, metadata: &Metadata) -> (NodeRoot, Vec<Block>) {
        let entries: Vec<Entry> = self.entries.into_iter().map(Entry::new).collect();
        let mut nodes = Vec::new();
        let root = if is_trie(self.profile, &entries, metadata) {
            let mut by_hash: Vec<&Entry> = entries.iter().collect();
            by_hash.sort_by_key(|entry| entry.digits);
            shard(self.profile, &by_hash, 0, metadata, &mut nodes)
        } else {
            let links = entries.iter().map(|it| (&it.cid[..], it.name.as_bytes(), it.dag_size));
            let data = encode_directory(links, metadata);
            node(self.profile, data, entries.iter().map(|entry| entry.dag_size), &mut nodes)
        };
        (root, nodes)
    }
}

/// Makes the block of a symbolic link.
///
/// # Errors
///
/// [`DagFault::BadSymlink`] when no link can have this target.
pub fn symlink(
    profile: Profile,
    target: &str,
    metadata: &Metadata,
) -> Result<(NodeRoot, Block), DagFault> {
    if target.is_empty() || target.len() > TARGET_MAX || target.contains('\0') {
        return Err(DagFault::BadSymlink);
    }
    let block = profile.block(None, encode_symlink(target, metadata).into());
    let root = NodeRoot { cid: *block.cid(), dag_size: block.data().len() as u64 };
    Ok((root, block))
}

struct Entry {
    name: String,
    cid: Vec<u8>,
    dag_size: u64,
    digits: [u8; HAMT_LEVELS],
}

impl Entry {
    fn new((name, root): (String, NodeRoot)) -> Self {
        let digits = hamt_digits(&name);
        Self { name, cid: root.cid.to_bytes(), dag_size: root.dag_size, digits }
    }
}

/// Whether a directory is large enough for a trie: the older profile counts names and CIDs, the other one the
/// node as it would be written.
fn is_trie(profile: Profile, entries: &[Entry], metadata: &Metadata) -> bool {
    let size: usize = match profile {
        Profile::UnixfsV0_2015 => {
            entries.iter().map(|entry| entry.name.len() + entry.cid.len()).sum()
        }
        Profile::UnixfsV1_2025 => {
            let links = entries.iter();
            let links =
                links.map(|it| link_field_len(it.cid.len(), it.name.len(), it.dag_size)).sum();
            let empty = encode_directory(core::iter::empty(), metadata).len();
            usize::saturating_add(links, empty)
        }
    };
    size > TRIE_ABOVE
}

/// Makes the node at `level` for entries that are sorted by their digits and have those above in common.
fn shard(
    profile: Profile,
    entries: &[&Entry],
    level: usize,
    metadata: &Metadata,
    nodes: &mut Vec<Block>,
) -> NodeRoot {
    let digit = |entry: &&Entry| entry.digits.get(level).copied();
    let mut links: Vec<(Vec<u8>, Vec<u8>, u64)> = Vec::new();
    let mut bits = [0u8; 32];
    for group in entries.chunk_by(|a, b| digit(a) == digit(b)) {
        let Some((first, Some(at))) = group.first().map(|first| (first, digit(first))) else {
            debug_assert!(false, "names whose hashes are equal are beyond this");
            continue;
        };
        if let Some(byte) = bits.get_mut(31 - usize::from(at / 8)) {
            *byte |= 1 << (at % 8);
        }
        let prefix = hamt_prefix(at);
        links.push(if group.len() == 1 {
            let name = [&prefix[..], first.name.as_bytes()].concat();
            (first.cid.clone(), name, first.dag_size)
        } else {
            let below = shard(profile, group, level + 1, &Metadata::default(), nodes);
            (below.cid.to_bytes(), prefix.to_vec(), below.dag_size)
        });
    }
    let first = bits.iter().position(|byte| *byte != 0).unwrap_or(bits.len());
    let written = links.iter().map(|(cid, name, tsize)| (&cid[..], &name[..], *tsize));
    let data = encode_shard(written, bits.get(first..).unwrap_or_default(), metadata);
    node(profile, data, links.iter().map(|link| link.2), nodes)
}

fn node(
    profile: Profile,
    data: Vec<u8>,
    below: impl Iterator<Item = u64>,
    nodes: &mut Vec<Block>,
) -> NodeRoot {
    let dag_size = below.fold(data.len() as u64, u64::saturating_add);
    let block = profile.block(None, data.into());
    let cid = *block.cid();
    nodes.push(block);
    NodeRoot { cid, dag_size }
}
