//! The journal of a tree: the journals of its large files that are under way.
//!
//! Like each of those it is a hint. It is bound to its root, and the part of a file to its temporary file.
//!
//! Format, all numbers as varints: the magic `bswpt` and version 1 (six bytes); the length of the root's CID
//! and the CID; the number of files, and for each the length of its path, the path, the length of its journal
//! and the journal; SHA-256 of all that.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bytes::Bytes;
use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};

use super::path::TreePath;
use crate::chunk::download::JOURNAL_MAX;
use crate::protobuf::CanonicalFields;
use crate::varint;

const MAGIC: &[u8; 6] = b"bswpt\x01";
const CHECKSUM_LEN: usize = 32;

/// Files that a journal speaks of: more than are under way at a time, so that those of an earlier run have room.
const FILES_MAX: usize = 64;

/// The largest journal of a tree that is written or read, in bytes.
pub const TREE_JOURNAL_MAX: usize = 4 * JOURNAL_MAX;

/// What a journal says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeJournal {
    /// The tree's root.
    pub root: Cid,
    /// The [journal](crate::chunk::Journal) of each file.
    pub files: BTreeMap<TreePath, Bytes>,
}

impl TreeJournal {
    /// A journal that claims nothing.
    #[must_use]
    pub const fn new(root: Cid) -> Self {
        Self { root, files: BTreeMap::new() }
    }

    /// The journal's bytes. Files beyond [`TREE_JOURNAL_MAX`] are not in it.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let cid = self.root.to_bytes();
        let (mut files, mut count) = (Vec::new(), 0);
        for (path, journal) in self.files.iter().take(FILES_MAX) {
            let path = path.as_str().as_bytes();
            if files.len() + path.len() + journal.len() + 256 > TREE_JOURNAL_MAX {
                break;
            }
            count += 1;
            for bytes in [path, journal] {
                varint::put(&mut files, bytes.len() as u64);
                files.extend_from_slice(bytes);
            }
        }
        let mut out = Vec::from(*MAGIC);
        varint::put(&mut out, cid.len() as u64);
        out.extend_from_slice(&cid);
        varint::put(&mut out, count);
        out.extend_from_slice(&files);
        let checksum = Code::Sha2_256.digest(&out);
        out.extend_from_slice(checksum.digest());
        out.into()
    }

    /// The journal in `bytes`, `None` when it is damaged, of another version, or of another tree.
    #[must_use]
    pub fn decode(bytes: &Bytes, root: &Cid) -> Option<Self> {
        Self::read(bytes).filter(|journal| journal.root == *root)
    }

    /// The journal in `bytes`, whatever tree it is of: to tell what lies there, and not to trust it. `None` when
    /// it is damaged or of another version.
    #[must_use]
    pub fn read(bytes: &Bytes) -> Option<Self> {
        let body_len = bytes.len().checked_sub(CHECKSUM_LEN)?;
        if bytes.len() > TREE_JOURNAL_MAX {
            return None;
        }
        let (body, checksum) = bytes.split_at(body_len);
        if Code::Sha2_256.digest(body).digest() != checksum {
            return None;
        }
        let mut rest = body.strip_prefix(MAGIC)?;
        let cid = part(&mut rest)?;
        // Read back, the CID must be these bytes and no more.
        let root = Cid::try_from(cid).ok().filter(|root| root.to_bytes() == cid)?;
        let mut fields = CanonicalFields::new(rest);
        let count = fields.varint().ok()?;
        rest = fields.rest();
        let mut files = BTreeMap::new();
        for _ in 0..count {
            let path = TreePath::parse(core::str::from_utf8(part(&mut rest)?).ok()?)?;
            let journal = bytes.slice_ref(part(&mut rest)?);
            files.insert(path, journal);
        }
        rest.is_empty().then_some(Self { root, files })
    }
}

/// A length and so many bytes.
fn part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut fields = CanonicalFields::new(rest);
    let len = usize::try_from(fields.varint().ok()?).ok()?;
    let (part, after) = fields.rest().split_at_checked(len)?;
    *rest = after;
    Some(part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn journal() -> TreeJournal {
        let path = |text| TreePath::parse(text).unwrap();
        let files = [(path("a"), Bytes::from_static(b"one")), (path("b/c"), Bytes::new())];
        TreeJournal { root: Cid::default(), files: files.into_iter().collect() }
    }

    #[test]
    fn a_journal_is_read_as_it_was_written_and_only_for_its_root() {
        let bytes = journal().encode();
        assert_eq!(TreeJournal::decode(&bytes, &Cid::default()), Some(journal()));
        let other = Cid::new_v1(0x70, Code::Sha2_256.digest(b"other"));
        assert_eq!(TreeJournal::decode(&bytes, &other), None);
    }

    #[test]
    fn any_change_makes_it_none() {
        let bytes = journal().encode();
        for at in 0..bytes.len() {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1;
            assert_eq!(TreeJournal::decode(&changed.into(), &Cid::default()), None, "{at}");
            assert_eq!(TreeJournal::decode(&bytes.slice(..at), &Cid::default()), None, "{at}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut body = Vec::from(*MAGIC);
            varint::put(&mut body, Cid::default().encoded_len() as u64);
            body.extend_from_slice(&Cid::default().to_bytes());
            body.extend_from_slice(&bytes);
            let checksum = Code::Sha2_256.digest(&body);
            body.extend_from_slice(checksum.digest());
            if let Some(journal) = TreeJournal::decode(&body.into(), &Cid::default()) {
                prop_assert!(journal.files.keys().all(|path| path.components().all(|name| name != "..")));
            }
        }
    }
}
