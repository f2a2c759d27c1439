//! Goes through the directories of a tree, from its root down.
//!
//! A directory comes before what is in it, and one directory is gone through before the next, so that few
//! listings are held at a time. Entries whose kind is not known from their link are known once their block is
//! there; a few of those are wanted ahead.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use cid::Cid;

use super::path::TreePath;
use super::rules::{InvalidTree, NameRule, TreeBounds, TreeFault};
use crate::block::Block;
use crate::chunk::cost::LEAF_MAX;
use crate::chunk::download::BlockWant;
use crate::chunk::unixfs::{
    DAG_PB, DagFault, DirEntry, HashPath, InvalidDag, Link, Metadata, RAW, ShardChild, UnixfsNode,
};

/// Entries that are looked at ahead of those that were taken.
const AHEAD: usize = 64;
/// The memory of an entry of a listing, at most, beside its name.
const ENTRY_BYTES: u64 = 192;

/// Numbers the directories of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirId(u64);

/// What a walk has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalkOutput {
    /// An entry. The first is the root.
    Entry(Box<TreeEntry>),
    /// All entries of a directory were given.
    Listed(DirId),
}

/// An entry of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEntry {
    /// Where it is.
    pub path: TreePath,
    /// The directory that it is in; `None` for the root.
    pub parent: Option<DirId>,
    /// What it is linked by.
    pub link: Link,
    /// The serialized size of it and all below it, as its directory claims. A hint.
    pub tsize: u64,
    /// Its metadata, as far as it has any.
    pub metadata: Metadata,
    /// What it is.
    pub kind: EntryKind,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory.
    Directory(DirId),
    /// A file.
    File {
        /// Its length in bytes. Without its block it is what the link claims.
        size: u64,
        /// Its root block, if that was needed to know that it is a file.
        block: Option<Bytes>,
    },
    /// A symbolic link.
    Symlink {
        /// Where it leads: any text.
        target: String,
    },
    /// A block of another codec.
    Other {
        /// The codec.
        codec: u64,
    },
}

/// Goes through the directories of a tree, from its root down: blocks in, entries out. It asks for a few blocks
/// ahead and holds the listings of few directories at a time, within [`TreeBounds`].
#[derive(Clone, Debug)]
pub struct TreeWalk {
    bounds: TreeBounds,
    rule: NameRule,
    is_recursive: bool,
    window: u64,
    dirs: BTreeMap<DirId, Dir>,
    listings: Vec<Listing>,
    /// What blocks are waited for, by whom.
    awaited: BTreeMap<Cid, Vec<Awaited>>,
    awaited_bytes: u64,
    wants: VecDeque<BlockWant>,
    outputs: VecDeque<WalkOutput>,
    next_dir: u64,
    entries: u64,
    listing_bytes: u64,
}

/// A directory that is not listed to its end.
#[derive(Clone, Debug)]
struct Dir {
    path: TreePath,
    depth: u16,
    /// Its listings, and its blocks that are waited for.
    open: usize,
    /// Nothing more of it is given.
    is_skipped: bool,
    names: BTreeSet<u64>,
}

/// The rest of a node's entries.
#[derive(Clone, Debug)]
struct Listing {
    dir: DirId,
    depth: u16,
    is_begun: bool,
    bytes: u64,
    items: vec::IntoIter<Item>,
}

#[derive(Clone, Debug)]
enum Item {
    Entry(DirEntry, Option<HashPath>),
    Shard(Link, HashPath),
}

/// What a block will be.
#[derive(Clone, Debug)]
struct Awaited {
    parent: Option<DirId>,
    path: TreePath,
    link: Link,
    tsize: u64,
    /// A node of the trie of its parent, at this place.
    shard: Option<HashPath>,
}

impl TreeWalk {
    /// A walk through all of a tree, which asks for no more than about `window` bytes ahead.
    ///
    /// # Errors
    ///
    /// When the root cannot be fetched, or is inline and invalid.
    pub fn new(
        root: Cid,
        bounds: TreeBounds,
        rule: NameRule,
        window: u64,
    ) -> Result<Self, InvalidTree> {
        Self::start(root, bounds, rule, window, true)
    }

    /// A walk through the entries of one directory. Those of directories in it are not given.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn list(root: Cid, bounds: TreeBounds, window: u64) -> Result<Self, InvalidTree> {
        Self::start(root, bounds, |_| Ok(None), window, false)
    }

    fn start(
        root: Cid,
        bounds: TreeBounds,
        rule: NameRule,
        window: u64,
        is_recursive: bool,
    ) -> Result<Self, InvalidTree> {
        let path = TreePath::root();
        let link = Link::of(&root).map_err(|reason| {
            let fault = InvalidDag { cid: root, reason }.into();
            InvalidTree { path: path.clone(), fault }
        })?;
        let mut walk = Self {
            bounds,
            rule,
            is_recursive,
            window,
            dirs: BTreeMap::new(),
            listings: Vec::new(),
            awaited: BTreeMap::new(),
            awaited_bytes: 0,
            wants: VecDeque::new(),
            outputs: VecDeque::new(),
            next_dir: 0,
            entries: 0,
            listing_bytes: 0,
        };
        walk.look_at(Awaited { parent: None, path, link, tsize: 0, shard: None })?;
        Ok(walk)
    }

    /// The next entry that is known. Call it until it returns `None`, after every block.
    ///
    /// # Errors
    ///
    /// What is wrong with the tree; nothing follows it.
    pub fn next_output(&mut self) -> Result<Option<WalkOutput>, InvalidTree> {
        self.advance()?;
        Ok(self.outputs.pop_front())
    }

    /// The next block to fetch. Each is wanted once at a time.
    #[must_use]
    pub fn next_want(&mut self) -> Option<BlockWant> {
        self.wants.pop_front()
    }

    /// A verified block arrived. Returns whether it was waited for.
    ///
    /// # Errors
    ///
    /// As [`Self::next_output`].
    pub fn handle_block(&mut self, block: &Block) -> Result<bool, InvalidTree> {
        let Some(waiting) = self.awaited.remove(block.cid()) else { return Ok(false) };
        for awaited in waiting {
            self.awaited_bytes -= estimate(awaited.tsize);
            self.arrived(&awaited, block.cid().codec(), block.data())?;
            self.close_one(awaited.parent);
        }
        Ok(true)
    }

    /// Whether everything was given.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.outputs.is_empty() && self.listings.is_empty() && self.awaited.is_empty()
    }

    /// The blocks that are waited for, those that were not given as wants included.
    pub fn awaited(&self) -> impl Iterator<Item = &Cid> {
        self.awaited.keys()
    }

    /// Where those are that wait for a block; those of nodes of a trie are not among them.
    pub fn awaited_at(&self, cid: &Cid) -> impl Iterator<Item = &TreePath> {
        let waiting = self.awaited.get(cid).into_iter().flatten();
        waiting.filter(|awaited| awaited.shard.is_none()).map(|awaited| &awaited.path)
    }

    /// Goes no further into a directory that was given: what is in it is not of interest. A few of its entries
    /// may come nevertheless, those that were looked at ahead, and then that it is listed.
    pub fn skip(&mut self, dir: DirId) {
        let Some(skipped) = self.dirs.get_mut(&dir) else { return };
        skipped.is_skipped = true;
        let mut ended = 0;
        self.listings.retain(|listing| {
            let is_other = listing.dir != dir;
            if !is_other {
                self.listing_bytes -= listing.bytes;
                ended += 1;
            }
            is_other
        });
        for _ in 0..ended {
            self.close_one(Some(dir));
        }
    }

    /// Entries found so far.
    #[must_use]
    pub const fn entries(&self) -> u64 {
        self.entries
    }

    /// Takes entries from the listings, as long as few are ahead.
    fn advance(&mut self) -> Result<(), InvalidTree> {
        while self.outputs.len() + self.awaited.len() < AHEAD
            && (self.awaited_bytes < self.window || self.awaited.is_empty())
        {
            // The deepest first, and of those the one that is begun.
            let order = |listing: &&mut Listing| (listing.depth, listing.is_begun);
            let unbegun = self.listings.iter().filter(|listing| !listing.is_begun).count();
            let Some(listing) = self.listings.iter_mut().max_by_key(order) else { break };
            if unbegun >= AHEAD && listing.is_begun && !self.awaited.is_empty() {
                break;
            }
            listing.is_begun = true;
            let dir = listing.dir;
            match listing.items.next() {
                Some(Item::Entry(entry, place)) => self.entry(dir, entry, place)?,
                Some(Item::Shard(link, place)) => {
                    let Some(Dir { path, .. }) = self.dirs.get(&dir) else { break };
                    let (path, shard) = (path.clone(), Some(place));
                    self.look_at(Awaited { parent: Some(dir), path, link, tsize: 0, shard })?;
                }
                None => {
                    let ended = self.listings.iter().position(|listing| {
                        listing.dir == dir && listing.is_begun && listing.items.len() == 0
                    });
                    if let Some(at) = ended {
                        self.listing_bytes -= self.listings.swap_remove(at).bytes;
                    }
                    self.close_one(Some(dir));
                }
            }
        }
        Ok(())
    }

    /// An entry of a directory, whose name is checked before anything comes of it.
    fn entry(
        &mut self,
        parent: DirId,
        entry: DirEntry,
        place: Option<HashPath>,
    ) -> Result<(), InvalidTree> {
        let Some(dir) = self.dirs.get_mut(&parent) else { return Ok(()) };
        let DirEntry { name, link, tsize } = entry;
        let dir_path = dir.path.clone();
        let in_dir = |fault| InvalidTree { path: dir_path.clone(), fault };
        let cid = cid_of(&link);
        let path =
            dir.path.join(&name).map_err(|reason| in_dir(InvalidDag { cid, reason }.into()))?;
        let bad = |fault| InvalidTree { path: path.clone(), fault };
        if let Some(place) = place {
            place.leads_to(&name).map_err(|reason| bad(InvalidDag { cid, reason }.into()))?;
        }
        match (self.rule)(&name) {
            Err(why) => return Err(bad(TreeFault::Name(why))),
            Ok(Some(key)) if !dir.names.insert(key) => return Err(bad(TreeFault::NameClash)),
            Ok(_) => {}
        }
        self.entries += 1;
        if self.entries > self.bounds.entries {
            return Err(bad(TreeFault::TooManyEntries));
        }
        if path.as_str().len() > self.bounds.path {
            return Err(bad(TreeFault::LongPath));
        }
        self.look_at(Awaited { parent: Some(parent), path, link, tsize, shard: None })
    }

    /// Gives what is known of a link, or waits for its block.
    fn look_at(&mut self, it: Awaited) -> Result<(), InvalidTree> {
        match it.link.clone() {
            Link::Inline { codec, data } => self.arrived(&it, codec, &data),
            Link::Block(cid) if cid.codec() == DAG_PB => {
                if let Some(dir) = it.parent.and_then(|parent| self.dirs.get_mut(&parent)) {
                    dir.open += 1;
                }
                self.awaited_bytes += estimate(it.tsize);
                let want = BlockWant { cid, estimate: estimate(it.tsize), urgent: true };
                let waiting = self.awaited.entry(cid).or_default();
                if waiting.is_empty() {
                    self.wants.push_back(want);
                }
                waiting.push(it);
                Ok(())
            }
            Link::Block(_) if it.shard.is_some() => Err(it.invalid(DagFault::BadShard)),
            Link::Block(cid) => {
                let kind = match cid.codec() {
                    RAW => EntryKind::File { size: it.tsize, block: None },
                    codec => EntryKind::Other { codec },
                };
                self.give(&it, Metadata::default(), kind);
                Ok(())
            }
        }
    }

    /// The bytes behind a link are there.
    fn arrived(&mut self, it: &Awaited, codec: u64, data: &Bytes) -> Result<(), InvalidTree> {
        let node = match UnixfsNode::decode(codec, data, self.bounds.links) {
            Ok(node) => node,
            Err(DagFault::UnknownCodec(codec)) if it.shard.is_none() => {
                self.give(it, Metadata::default(), EntryKind::Other { codec });
                return Ok(());
            }
            Err(reason) => return Err(it.invalid(reason)),
        };
        match (node, it.shard, it.parent) {
            (UnixfsNode::Shard(node, _), Some(place), Some(dir)) => {
                let items = shard_items(node.children, place).map_err(|why| it.invalid(why))?;
                self.listing(it, dir, items)
            }
            (_, Some(_), _) => Err(it.invalid(DagFault::BadShard)),
            (UnixfsNode::Directory(node, metadata), None, _) => {
                let items = node.entries.into_iter().map(|entry| Item::Entry(entry, None));
                self.directory(it, metadata, items.collect())
            }
            (UnixfsNode::Shard(node, metadata), None, _) => {
                let items = shard_items(node.children, HashPath::default());
                self.directory(it, metadata, items.map_err(|why| it.invalid(why))?)
            }
            (UnixfsNode::File(node, metadata), None, _) => {
                let kind = EntryKind::File { size: node.size, block: Some(data.clone()) };
                self.give(it, metadata, kind);
                Ok(())
            }
            (UnixfsNode::Symlink(target, metadata), None, _) => {
                self.give(it, metadata, EntryKind::Symlink { target });
                Ok(())
            }
        }
    }

    fn directory(
        &mut self,
        it: &Awaited,
        metadata: Metadata,
        items: Vec<Item>,
    ) -> Result<(), InvalidTree> {
        let above = it.parent.and_then(|parent| self.dirs.get(&parent)).map(|dir| dir.depth);
        let depth = above.map_or(0, |depth| depth + 1);
        if depth > self.bounds.depth {
            return Err(InvalidTree { path: it.path.clone(), fault: TreeFault::TooDeep });
        }
        let id = DirId(self.next_dir);
        self.next_dir += 1;
        self.give(it, metadata, EntryKind::Directory(id));
        if !self.is_recursive && it.parent.is_some() {
            return Ok(());
        }
        let (path, names) = (it.path.clone(), BTreeSet::new());
        self.dirs.insert(id, Dir { path, depth, open: 0, is_skipped: false, names });
        self.listing(it, id, items)
    }

    fn listing(&mut self, it: &Awaited, dir: DirId, items: Vec<Item>) -> Result<(), InvalidTree> {
        if self.dirs.get(&dir).is_none_or(|dir| dir.is_skipped) {
            return Ok(());
        }
        let name = |item: &Item| match item {
            Item::Entry(entry, _) => entry.name.len() as u64 + ENTRY_BYTES,
            Item::Shard(..) => ENTRY_BYTES,
        };
        let bytes = items.iter().map(name).sum();
        self.listing_bytes += bytes;
        if self.listing_bytes > self.bounds.listings {
            return Err(InvalidTree { path: it.path.clone(), fault: TreeFault::LargeListings });
        }
        let Some(open) = self.dirs.get_mut(&dir) else { return Ok(()) };
        open.open += 1;
        let (depth, items) = (open.depth, items.into_iter());
        self.listings.push(Listing { dir, depth, is_begun: false, bytes, items });
        Ok(())
    }

    fn give(&mut self, it: &Awaited, metadata: Metadata, kind: EntryKind) {
        let Awaited { parent, path, link, tsize, .. } = it.clone();
        let entry = TreeEntry { path, parent, link, tsize, metadata, kind };
        self.outputs.push_back(WalkOutput::Entry(Box::new(entry)));
    }

    /// A listing or a block of the directory has ended.
    fn close_one(&mut self, dir: Option<DirId>) {
        let Some(id) = dir else { return };
        let Some(dir) = self.dirs.get_mut(&id) else { return };
        dir.open -= 1;
        if dir.open == 0 {
            self.dirs.remove(&id);
            self.outputs.push_back(WalkOutput::Listed(id));
        }
    }
}

impl Awaited {
    fn invalid(&self, reason: DagFault) -> InvalidTree {
        let fault = InvalidDag { cid: cid_of(&self.link), reason }.into();
        InvalidTree { path: self.path.clone(), fault }
    }
}

/// The block of a link, for errors; that of nothing for one without a block.
fn cid_of(link: &Link) -> Cid {
    match link {
        Link::Block(cid) => *cid,
        Link::Inline { .. } => Cid::default(),
    }
}

fn shard_items(children: Vec<ShardChild>, place: HashPath) -> Result<Vec<Item>, DagFault> {
    let item = |child| {
        Ok(match child {
            ShardChild::Shard { digit, link } => Item::Shard(link, place.below(digit)?),
            ShardChild::Entry { digit, entry } => Item::Entry(entry, Some(place.below(digit)?)),
        })
    };
    children.into_iter().map(item).collect()
}

/// About how long the block of a node is, from what its link claims.
pub(super) const fn estimate(tsize: u64) -> u64 {
    match tsize {
        0 => 16 << 10,
        tsize if tsize > LEAF_MAX => LEAF_MAX,
        tsize => tsize,
    }
}
