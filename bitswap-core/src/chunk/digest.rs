//! Digests of whole files that others have made: SHA-256, and the root of a Merkle tree over the leaves.
//!
//! The tree is the usual one over SHA-256: a leaf is the digest of its bytes in the file, a node that of its two
//! children one after the other, and a node without a sibling moves up as it is. It is known by its root alone.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use multihash_codetable::Sha2_256;
use multihash_derive::Hasher as _;

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Sha256Digest(pub [u8; 32]);

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a file must be besides what its CID says: whoever wants it has this from elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ExpectedDigests {
    /// The SHA-256 of the bytes that are wanted.
    pub sha256: Option<Sha256Digest>,
    /// The Merkle root over the leaves.
    pub merkle_root: Option<Sha256Digest>,
}

impl ExpectedDigests {
    /// Whether nothing is expected.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.sha256.is_none() && self.merkle_root.is_none()
    }
}

/// Leaves of one length that follow each other in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeafRun {
    /// The bytes of each.
    pub len: u64,
    /// How many there are.
    pub count: u64,
}

/// Where the leaves of a file lie, as far as it is known: a run for each change of their length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Leaves(BTreeMap<u64, LeafRun>);

impl Leaves {
    /// A leaf lies here; told again, it changes nothing.
    pub(super) fn insert(&mut self, offset: u64, len: u64) {
        let mut start = offset;
        let mut run = LeafRun { len, count: 1 };
        if let Some((before, other)) = self.0.range(..=offset).next_back() {
            let end = before + other.len * other.count;
            if offset < end {
                return;
            }
            if end == offset && other.len == len {
                start = *before;
                run.count += other.count;
            }
        }
        if let Some(after) = self.0.get(&(offset + len)).copied().filter(|after| after.len == len) {
            self.0.remove(&(offset + len));
            run.count += after.count;
        }
        self.0.insert(start, run);
    }

    /// The runs of a file of so many bytes, in order, if all leaves are known.
    pub(super) fn runs(&self, size: u64) -> Option<Arc<[LeafRun]>> {
        let mut end = 0;
        for (start, run) in &self.0 {
            if *start != end {
                return None;
            }
            end += run.len * run.count;
        }
        (end == size).then(|| self.0.values().copied().collect())
    }
}

/// Digests a file that is read from its beginning.
#[derive(Debug)]
pub struct FileDigest {
    hasher: Sha2_256,
    merkle: Option<Merkle>,
}

impl FileDigest {
    /// The SHA-256 of all bytes.
    #[must_use]
    pub fn sha256() -> Self {
        Self { hasher: Sha2_256::default(), merkle: None }
    }

    /// The Merkle root over these leaves.
    #[must_use]
    pub fn merkle_root(leaves: &[LeafRun]) -> Self {
        let mut left: Vec<LeafRun> = leaves.iter().copied().filter(|run| run.count > 0).collect();
        left.reverse();
        Self {
            hasher: Sha2_256::default(),
            merkle: Some(Merkle { left, filled: 0, nodes: Vec::new() }),
        }
    }

    /// The next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        let Some(merkle) = &mut self.merkle else { return self.hasher.update(bytes) };
        while !bytes.is_empty() {
            let len = merkle.left.last().map_or(u64::MAX, |run| run.len);
            let some = usize::try_from(len - merkle.filled).unwrap_or(usize::MAX).min(bytes.len());
            let (now, rest) = bytes.split_at(some);
            self.hasher.update(now);
            merkle.filled += some as u64;
            bytes = rest;
            if merkle.filled == len {
                merkle.leaf(finish(&mut self.hasher));
            }
        }
    }

    /// The digest of all bytes that were given.
    #[must_use]
    pub fn finish(mut self) -> Sha256Digest {
        let last = finish(&mut self.hasher);
        let Some(mut merkle) = self.merkle else { return last };
        // An empty file is one leaf without bytes.
        if merkle.filled > 0 || merkle.nodes.is_empty() {
            merkle.leaf(last);
        }
        let mut nodes = merkle.nodes.into_iter().rev().map(|(_, digest)| digest);
        let last = nodes.next().unwrap_or(last);
        nodes.fold(last, |right, left| parent(&left, &right))
    }
}

/// A tree of which only the nodes are held whose sibling is not known yet, one for each level at most.
#[derive(Debug)]
struct Merkle {
    /// Leaves to come, the next last.
    left: Vec<LeafRun>,
    /// Bytes of the present leaf that were given.
    filled: u64,
    nodes: Vec<(u32, Sha256Digest)>,
}

impl Merkle {
    fn leaf(&mut self, mut digest: Sha256Digest) {
        self.filled = 0;
        if let Some(run) = self.left.last_mut() {
            run.count -= 1;
        }
        let _ = self.left.pop_if(|run| run.count == 0);
        let mut level = 0;
        while let Some((_, left)) = self.nodes.pop_if(|(other, _)| *other == level) {
            digest = parent(&left, &digest);
            level += 1;
        }
        self.nodes.push((level, digest));
    }
}

fn parent(left: &Sha256Digest, right: &Sha256Digest) -> Sha256Digest {
    let mut hasher = Sha2_256::default();
    hasher.update(&left.0);
    hasher.update(&right.0);
    finish(&mut hasher)
}

/// The digest of what was given since the last.
fn finish(hasher: &mut Sha2_256) -> Sha256Digest {
    let mut digest = [0; 32];
    digest.copy_from_slice(hasher.finalize());
    hasher.reset();
    Sha256Digest(digest)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;
    use alloc::vec;

    use super::*;

    fn root(bytes: &[u8], runs: &[(u64, u64)], step: usize) -> Sha256Digest {
        let runs: Vec<_> =
            runs.iter().map(|(len, count)| LeafRun { len: *len, count: *count }).collect();
        let mut digest = FileDigest::merkle_root(&runs);
        bytes.chunks(step).for_each(|some| digest.update(some));
        digest.finish()
    }

    /// Level by level, as the definition says.
    fn by_levels(leaves: &[&[u8]]) -> Sha256Digest {
        let sha = |bytes: &[u8]| {
            let mut digest = FileDigest::sha256();
            digest.update(bytes);
            digest.finish()
        };
        let mut level: Vec<_> = leaves.iter().map(|leaf| sha(leaf)).collect();
        while level.len() > 1 {
            let pair = |pair: &[Sha256Digest]| match pair {
                [left, right] => sha(&[left.0, right.0].concat()),
                alone => alone[0],
            };
            level = level.chunks(2).map(pair).collect();
        }
        level[0]
    }

    #[test]
    fn the_merkle_root_is_that_of_the_usual_tree_over_sha_256() {
        // Published for these six leaves.
        let expected = "1f7379539707bcaea00564168d1d4d626b09b73f8a2a365234c62d763f854da2";
        assert_eq!(root(b"abcdef", &[(1, 6)], 6).to_string(), expected);
        let bytes: Vec<u8> = (0..200_u8).collect();
        for count in 1..=33_usize {
            let bytes = &bytes[..count * 5 - 2];
            let leaves: Vec<&[u8]> = bytes.chunks(5).collect();
            let runs = [(5, count as u64 - 1), (3, 1)];
            for step in [1, 4, 200] {
                assert_eq!(root(bytes, &runs, step), by_levels(&leaves), "{count} {step}");
            }
        }
        // Leaves of several lengths, each of which ends a run.
        let leaves = [&bytes[..5], &bytes[5..10], &bytes[10..13], &bytes[13..16], &bytes[16..23]];
        for step in [1, 4, 200] {
            let runs = [(5, 2), (3, 2), (7, 1)];
            assert_eq!(root(&bytes[..23], &runs, step), by_levels(&leaves), "{step}");
        }
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(root(b"", &[], 1).to_string(), empty);
    }

    #[test]
    fn leaves_are_known_in_any_order_and_cost_a_run_for_each_change_of_length() {
        let mut leaves = Leaves::default();
        for offset in [20, 0, 10, 30, 10, 45, 40] {
            leaves.insert(offset, if offset < 40 { 10 } else { 5 });
        }
        let runs = [LeafRun { len: 10, count: 4 }, LeafRun { len: 5, count: 2 }];
        assert_eq!(leaves.runs(50).as_deref(), Some(&runs[..]));
        assert_eq!((leaves.runs(49), leaves.runs(51)), (None, None));
        leaves.insert(60, 5);
        assert_eq!(leaves.runs(65), None, "there is a hole");
        assert_eq!(Leaves::default().runs(0).as_deref(), Some(&vec![][..]));
    }

    #[test]
    fn a_file_that_ends_within_a_leaf_has_a_root_too() {
        let bytes: Vec<u8> = (0..15).collect();
        let digest = |bytes: &[u8]| {
            let mut digest = FileDigest::sha256();
            digest.update(bytes);
            digest.finish()
        };
        let expected = parent(&digest(&bytes[..10]), &digest(&bytes[10..]));
        for step in [1, 10, 15] {
            assert_eq!(root(&bytes, &[(10, 2)], step), expected);
            assert_eq!(root(&bytes, &[(10, 1), (5, 1)], step), expected);
        }
        assert_eq!(root(&[], &[(10, 2)], 1), digest(&[]));
    }
}
