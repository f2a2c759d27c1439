//! UnixFS nodes of every kind: what a block of a tree is.
//!
//! A directory lists its entries in one node, or it is a trie of nodes (HAMT): an entry lies where the hash
//! of its name says. Of the trie, each name is checked to lie where it must, so that no two nodes of it can
//! hold the same name.
//!
//! Source: the UnixFS specification; deviations are stricter and are marked.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::dag_pb::{self, PbLink, PbNode};
use super::error::{DagFault, NameError};
use super::kind::NodeKind;
use super::link::{DAG_PB, Link, RAW};
use super::metadata::{Data, Metadata};
use super::murmur3::murmur3_x64_64;
use super::node::FileNode;

/// The hash that places names in a HAMT: murmur3-x64-64.
pub(in crate::chunk) const HAMT_HASH: u64 = 0x22;
/// The children of a HAMT's node, one for each value of a byte of the hash.
pub(in crate::chunk) const HAMT_FANOUT: u64 = 256;
/// A hash has so many bytes, and a HAMT at most so many levels.
pub(in crate::chunk) const HAMT_LEVELS: usize = 8;

/// The longest name of an entry that is taken, in bytes: no common file system has longer ones.
pub const NAME_MAX: usize = 255;
/// The longest target of a symbolic link that is taken, in bytes.
pub const TARGET_MAX: usize = 4096;

/// A block of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnixfsNode {
    /// A file, or a part of one.
    File(FileNode, Metadata),
    /// A whole directory.
    Directory(DirectoryNode, Metadata),
    /// A node of a directory that is spread over a trie. Only its root has metadata.
    Shard(ShardNode, Metadata),
    /// A symbolic link to this path, which may be any text.
    Symlink(String, Metadata),
}

/// The entries of a directory in one node, in their order there. No two have the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryNode {
    /// The entries.
    pub entries: Vec<DirEntry>,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Its name: no path, and never empty, `.` or `..`.
    pub name: String,
    /// Its root.
    pub link: Link,
    /// The serialized size of its root and all below it, as the directory claims. A hint.
    pub tsize: u64,
}

/// A node of a trie of entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardNode {
    /// What is in the node, each at another byte of the hash.
    pub children: Vec<ShardChild>,
}

/// A child of a [`ShardNode`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardChild {
    /// A node one level below, at this byte of the hash.
    Shard {
        /// The byte.
        digit: u8,
        /// The node.
        link: Link,
    },
    /// An entry. That its name's hash leads here is checked by [`HashPath::leads_to`].
    Entry {
        /// The byte of its name's hash.
        digit: u8,
        /// The entry.
        entry: DirEntry,
    },
}

impl UnixfsNode {
    /// Reads a block of a tree with at most `links_max` links.
    ///
    /// # Errors
    ///
    /// The fault of the block. Names are checked: [`DagFault::BadName`], [`DagFault::DuplicateName`].
    pub fn decode(codec: u64, block: &Bytes, links_max: usize) -> Result<Self, DagFault> {
        match codec {
            RAW => {
                let node = FileNode::decode(RAW, block, links_max)?;
                return Ok(Self::File(node, Metadata::default()));
            }
            DAG_PB => {}
            other => return Err(DagFault::UnknownCodec(other)),
        }
        let node = dag_pb::decode(block, links_max)?;
        let data = Data::decode(node.data.ok_or(DagFault::NotAFile(NodeKind::Other))?, links_max)?;
        let metadata = data.metadata;
        Ok(match data.kind {
            NodeKind::Directory => Self::Directory(DirectoryNode::of(node)?, metadata),
            NodeKind::HamtShard => Self::Shard(ShardNode::of(node, &data)?, metadata),
            NodeKind::Symlink => Self::Symlink(symlink_target(&node, &data)?, metadata),
            _ => Self::File(FileNode::of(block, node, data)?, metadata),
        })
    }

    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> NodeKind {
        match self {
            Self::File(..) => NodeKind::File,
            Self::Directory(..) => NodeKind::Directory,
            Self::Shard(..) => NodeKind::HamtShard,
            Self::Symlink(..) => NodeKind::Symlink,
        }
    }
}

impl DirectoryNode {
    fn of(node: PbNode<'_>) -> Result<Self, DagFault> {
        let mut names = BTreeSet::new();
        for link in &node.links {
            check_name(link.name)?;
            // Stricter than other readers, which take the first: whoever sees one of two does not see all.
            if !names.insert(link.name) {
                return Err(DagFault::DuplicateName);
            }
        }
        let entries = node.links.into_iter().map(|link| DirEntry::of(link, 0));
        Ok(Self { entries: entries.collect::<Result<_, _>>()? })
    }

    /// The entry of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&DirEntry> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}

impl DirEntry {
    /// The entry of a link whose name begins with a prefix of so many bytes.
    fn of(link: PbLink<'_>, prefix: usize) -> Result<Self, DagFault> {
        let name = check_name(link.name.get(prefix..).unwrap_or_default())?;
        Ok(Self { name: name.into(), link: link.target, tsize: link.tsize })
    }
}

impl ShardNode {
    fn of(node: PbNode<'_>, data: &Data<'_>) -> Result<Self, DagFault> {
        if data.hash_type != Some(HAMT_HASH) {
            return Err(DagFault::UnknownHamtHash(data.hash_type.unwrap_or(0)));
        }
        if data.fanout != Some(HAMT_FANOUT) {
            return Err(DagFault::UnknownFanout(data.fanout.unwrap_or(0)));
        }
        // A bit for each child that is there: big-endian, without the zeros before the first.
        let mut bits = data.bytes.iter().rev().copied();
        let mut there: [u8; 32] = core::array::from_fn(|_| bits.next().unwrap_or(0));
        if data.bytes.len() > there.len() {
            return Err(DagFault::BadShard);
        }
        let mut children = Vec::with_capacity(node.links.len());
        for link in node.links {
            let digit = digit(link.name).ok_or(DagFault::BadShard)?;
            let byte = there.get_mut(usize::from(digit / 8)).ok_or(DagFault::BadShard)?;
            let bit = 1 << (digit % 8);
            // Not announced, or given twice.
            if *byte & bit == 0 {
                return Err(DagFault::BadShard);
            }
            *byte &= !bit;
            children.push(if link.name.len() == PREFIX_LEN {
                ShardChild::Shard { digit, link: link.target }
            } else {
                ShardChild::Entry { digit, entry: DirEntry::of(link, PREFIX_LEN)? }
            });
        }
        if there.iter().any(|byte| *byte != 0) {
            return Err(DagFault::BadShard);
        }
        Ok(Self { children })
    }

    /// The child at this byte of a hash.
    #[must_use]
    pub fn child(&self, digit: u8) -> Option<&ShardChild> {
        self.children.iter().find(|child| child.digit() == digit)
    }
}

impl ShardChild {
    /// The byte of the hash that it lies at.
    #[must_use]
    pub const fn digit(&self) -> u8 {
        match self {
            Self::Shard { digit, .. } | Self::Entry { digit, .. } => *digit,
        }
    }
}

/// The place of a node in a trie: the bytes of the hash that lead to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashPath {
    digits: [u8; HAMT_LEVELS],
    len: usize,
}

impl HashPath {
    /// The place of a child of the node that is here.
    ///
    /// # Errors
    ///
    /// [`DagFault::TooDeep`] when the hash has no more bytes.
    pub fn below(mut self, digit: u8) -> Result<Self, DagFault> {
        *self.digits.get_mut(self.len).ok_or(DagFault::TooDeep)? = digit;
        self.len += 1;
        Ok(self)
    }

    /// Checks that an entry of this name lies here.
    ///
    /// # Errors
    ///
    /// [`DagFault::BadShard`] when it lies elsewhere.
    pub fn leads_to(&self, name: &str) -> Result<(), DagFault> {
        let digits = hamt_digits(name);
        let here = self.digits.get(..self.len).unwrap_or_default();
        if digits.starts_with(here) { Ok(()) } else { Err(DagFault::BadShard) }
    }

    /// The next byte of the hash of a name that lies below here, `None` when there is no more.
    #[must_use]
    pub fn next(&self, name: &str) -> Option<u8> {
        hamt_digits(name).get(self.len).copied()
    }
}

/// The digits of a name in a HAMT, from its root down.
pub(in crate::chunk) fn hamt_digits(name: &str) -> [u8; HAMT_LEVELS] {
    murmur3_x64_64(name.as_bytes()).to_be_bytes()
}

/// Two hexadecimal digits in upper case.
const PREFIX_LEN: usize = 2;

/// What the names of links to a child of a HAMT's node begin with.
pub(in crate::chunk) fn prefix(digit: u8) -> [u8; PREFIX_LEN] {
    let hex = |value: u8| if value < 10 { b'0' + value } else { b'A' + value - 10 };
    [hex(digit >> 4), hex(digit & 15)]
}

fn digit(name: &[u8]) -> Option<u8> {
    let value = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    };
    match name {
        [high, low, ..] => Some(value(*high)? << 4 | value(*low)?),
        _ => None,
    }
}

fn symlink_target(node: &PbNode<'_>, data: &Data<'_>) -> Result<String, DagFault> {
    let target = core::str::from_utf8(data.bytes).map_err(|_| DagFault::BadSymlink)?;
    let is_possible = !target.is_empty() && target.len() <= TARGET_MAX && !target.contains('\0');
    if !is_possible || !node.links.is_empty() {
        return Err(DagFault::BadSymlink);
    }
    Ok(target.into())
}

/// Checks that a name can be one component of a path anywhere. Systems have further rules.
///
/// # Errors
///
/// [`DagFault::BadName`].
pub(in crate::chunk) fn check_name(name: &[u8]) -> Result<&str, DagFault> {
    let bad = |why| Err(DagFault::BadName(why));
    match name {
        b"" => return bad(NameError::Empty),
        b"." | b".." => return bad(NameError::Dots),
        name if name.len() > NAME_MAX => return bad(NameError::TooLong),
        name if name.contains(&b'/') => return bad(NameError::Separator),
        name if name.contains(&0) => return bad(NameError::Nul),
        _ => {}
    }
    core::str::from_utf8(name).or_else(|_| bad(NameError::NotText))
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use cid::Cid;
    use multihash_codetable::{Code, MultihashDigest};

    use super::*;

    const MAX: usize = 300;

    fn cid() -> Vec<u8> {
        Cid::new_v1(RAW, Code::Sha2_256.digest(b"x")).to_bytes()
    }

    fn decode(names: &[&[u8]], data: &[u8]) -> Result<UnixfsNode, DagFault> {
        let cid = cid();
        let links: Vec<_> = names.iter().map(|name| (&cid[..], *name, 1)).collect();
        let block = dag_pb::encode(links.into_iter(), data).into();
        UnixfsNode::decode(DAG_PB, &block, MAX)
    }

    fn directory(names: &[&[u8]]) -> Result<Vec<String>, DagFault> {
        match decode(names, &[8, 1])? {
            UnixfsNode::Directory(node, _) => {
                Ok(node.entries.into_iter().map(|entry| entry.name).collect())
            }
            other => panic!("{other:?}"),
        }
    }

    /// A trie's node with this bit field.
    fn shard(names: &[&[u8]], bits: &[u8]) -> Result<UnixfsNode, DagFault> {
        let field = [&[8, 5, 0x12, bits.len() as u8], bits, &[0x28, 0x22, 0x30, 0x80, 2]].concat();
        decode(names, &field)
    }

    #[test]
    fn a_directory_is_read_in_the_order_that_it_has() {
        assert_eq!(directory(&[b"b", b"a", "é".as_bytes()]).unwrap(), ["b", "a", "é"]);
        assert_eq!(directory(&[]).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn every_name_that_is_no_single_component_is_refused() {
        use NameError::*;
        let long = [b'x'; NAME_MAX + 1];
        for (name, why) in [
            (&b""[..], Empty),
            (b".", Dots),
            (b"..", Dots),
            (b"a/b", Separator),
            (b"/", Separator),
            (b"../a", Separator),
            (b"a\0", Nul),
            (b"\xff", NotText),
            (&long, TooLong),
        ] {
            assert_eq!(directory(&[b"ok", name]), Err(DagFault::BadName(why)), "{name:?}");
        }
        assert_eq!(directory(&[&long[1..], b"...", b"a b"]).map(|names| names.len()), Ok(3));
        assert_eq!(directory(&[b"a", b"b", b"a"]), Err(DagFault::DuplicateName));
    }

    #[test]
    fn a_name_lies_where_its_hash_says() {
        let name = "hello";
        let digits = hamt_digits(name);
        assert_eq!(digits[..3], [0xcb, 0xd8, 0xa7]);
        let here = HashPath::default().below(0xcb).unwrap();
        assert_eq!((here.leads_to(name), here.next(name)), (Ok(()), Some(0xd8)));
        let elsewhere = HashPath::default().below(0xcc).unwrap();
        assert_eq!(elsewhere.leads_to(name), Err(DagFault::BadShard));
        let full = digits.into_iter().try_fold(HashPath::default(), HashPath::below).unwrap();
        assert_eq!((full.leads_to(name), full.next(name)), (Ok(()), None));
        assert_eq!(full.below(0), Err(DagFault::TooDeep));
    }

    #[test]
    fn a_trie_holds_what_its_bits_announce() {
        let Ok(UnixfsNode::Shard(node, _)) = shard(&[b"00", b"09name"], &[2, 1]) else { panic!() };
        assert!(matches!(node.child(0), Some(ShardChild::Shard { digit: 0, .. })));
        let Some(ShardChild::Entry { digit: 9, entry }) = node.child(9) else { panic!() };
        assert_eq!((&entry.name[..], node.child(1)), ("name", None));
        // The highest bit takes all 32 bytes.
        let bits = [&[0x80][..], &[0; 31]].concat();
        assert!(shard(&[b"FF"], &bits).is_ok());
        type Names<'a> = &'a [&'a [u8]];
        let cases: [(&str, Names<'_>, &[u8]); 7] = [
            ("not announced", &[b"00", b"09"], &[1]),
            ("announced only", &[b"00"], &[2, 1]),
            ("twice", &[b"00", b"00a"], &[1]),
            ("lower case", &[b"0a"], &[4, 0]),
            ("no digits", &[b"x"], &[1]),
            ("without a name", &[b""], &[1]),
            ("more than 256 bits", &[], &[0; 33]),
        ];
        for (what, names, bits) in cases {
            assert_eq!(shard(names, bits), Err(DagFault::BadShard), "{what}");
        }
        assert_eq!(shard(&[b"00.."], &[1]), Err(DagFault::BadName(NameError::Dots)));
        let other = |field: &[u8]| decode(&[], &[&[8, 5, 0x12, 0][..], field].concat());
        assert_eq!(other(&[0x28, 0x12, 0x30, 0x80, 2]), Err(DagFault::UnknownHamtHash(0x12)));
        assert_eq!(other(&[0x28, 0x22, 0x30, 8]), Err(DagFault::UnknownFanout(8)));
        assert_eq!(other(&[0x28, 0x22]), Err(DagFault::UnknownFanout(0)));
    }

    #[test]
    fn a_symbolic_link_is_its_target() {
        let link =
            |target: &[u8]| decode(&[], &[&[8, 4, 0x12, target.len() as u8], target].concat());
        let read = UnixfsNode::Symlink("../a".into(), Metadata::default());
        assert_eq!(link(b"../a"), Ok(read));
        for target in [&b""[..], b"a\0b", b"\xff"] {
            assert_eq!(link(target), Err(DagFault::BadSymlink));
        }
        assert_eq!(decode(&[b"a"], &[8, 4, 0x12, 1, b'a']), Err(DagFault::BadSymlink));
    }

    #[test]
    fn what_is_no_directory_is_the_file_that_it_is() {
        let Ok(UnixfsNode::File(node, metadata)) = decode(&[], &[8, 2, 0x12, 1, 7, 0x38, 6]) else {
            panic!()
        };
        assert_eq!((node.size, metadata.mode), (1, Some(6)));
        assert_eq!(decode(&[], &[8, 3]), Err(DagFault::NotAFile(NodeKind::Metadata)));
        let raw = UnixfsNode::decode(RAW, &Bytes::from_static(b"x"), MAX).unwrap();
        assert_eq!(raw.kind(), NodeKind::File);
        let cbor = UnixfsNode::decode(0x71, &Bytes::new(), MAX);
        assert_eq!(cbor, Err(DagFault::UnknownCodec(0x71)));
        let links = vec![&b"a"[..]; MAX + 1];
        assert_eq!(decode(&links, &[8, 1]), Err(DagFault::TooManyLinks));
    }
}
