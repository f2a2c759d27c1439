//! The journal: which bytes of the temporary file are verified and durable.
//!
//! A journal is a hint: it claims only what was synced before it was saved, it is bound to one root,
//! one range and one temporary file, and it is ignored unless every bit of it is as it was written.
//! Without it the bytes on disk are checked against the DAG instead.
//!
//! It is bound to its temporary file by a random id, which is in the journal and in a [`trailer`] after
//! the last byte of the temporary file. An id within the file's own bytes needs nothing of the file
//! system: extended attributes and birth times are not everywhere, and the numbers of files are reused
//! for other files.
//!
//! Format, all numbers as varints: the magic `bswpj` and version 2 (six bytes); the id (16 bytes); 0,
//! or 1 and the stamp (32 bytes); the length of the root's CID and the CID; the wanted range's start
//! and end; the file's length; the number of ranges, and for each its distance from the end of the one
//! before and its length, both above zero except the first distance; SHA-256 of all that.

use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;
use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};

use super::effects::{Done, FsError, Stamp};
use crate::chunk::range_set::RangeSet;
use crate::chunk::unixfs::RAW;
use crate::protobuf::CanonicalFields;
use crate::varint;

const MAGIC: &[u8; 6] = b"bswpj\x02";
const TRAILER_MAGIC: &[u8; 8] = b"bswppart";
const CHECKSUM_LEN: usize = 32;

/// The largest journal that is written or read, in bytes.
pub const JOURNAL_MAX: usize = 4 << 20;

/// RangeSet that fit for certain: a range takes at most 20 bytes.
const RANGES_MAX: usize = (JOURNAL_MAX - 256) / 20;

/// Binds a journal and a temporary file to each other.
pub(super) type PartId = [u8; 16];

/// The length of a [`trailer`] in bytes.
pub(super) const TRAILER_LEN: u64 = 24;

/// What follows the last byte of the temporary file with this id, until the file is finished.
pub(super) fn trailer(id: &PartId) -> Bytes {
    [&TRAILER_MAGIC[..], id].concat().into()
}

/// The CID of a [`trailer`] as a raw block: to compare it on disk.
pub(super) fn trailer_cid(id: &PartId) -> Cid {
    Cid::new_v1(RAW, Code::Sha2_256.digest(&trailer(id)))
}

/// What a journal claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// The id that the temporary file carries too.
    pub id: [u8; 16],
    /// The temporary file after the sync that made the claims true. `None`: some of the claims are
    /// those of an earlier run and were not compared yet, so that all of them are to be compared.
    pub stamp: Option<Stamp>,
    /// The file's root.
    pub root: Cid,
    /// The range that was asked for, `0..u64::MAX` for all.
    pub wanted: Range<u64>,
    /// The length of the whole file.
    pub size: u64,
    /// The bytes that are verified and durable, as positions in the whole file.
    pub have: RangeSet,
}

impl Journal {
    /// The journal's bytes. Beyond [`JOURNAL_MAX`] the last ranges are not claimed.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::from(*MAGIC);
        out.extend_from_slice(&self.id);
        varint::put(&mut out, u64::from(self.stamp.is_some()));
        out.extend_from_slice(self.stamp.as_ref().map_or(&[], |stamp| &stamp.0));
        let cid = self.root.to_bytes();
        varint::put(&mut out, cid.len() as u64);
        out.extend_from_slice(&cid);
        for number in [self.wanted.start, self.wanted.end, self.size] {
            varint::put(&mut out, number);
        }
        varint::put(&mut out, self.have.len().min(RANGES_MAX) as u64);
        let mut end = 0;
        for range in self.have.iter().take(RANGES_MAX) {
            varint::put(&mut out, range.start - end);
            varint::put(&mut out, range.end - range.start);
            end = range.end;
        }
        let checksum = Code::Sha2_256.digest(&out);
        out.extend_from_slice(checksum.digest());
        out.into()
    }

    /// The journal in `bytes`, `None` when it is damaged, of another version, or of another
    /// transfer than that of `wanted` bytes of `root`.
    #[must_use]
    pub fn decode(bytes: &[u8], root: &Cid, wanted: &Range<u64>) -> Option<Self> {
        Self::read(bytes).filter(|journal| journal.root == *root && journal.wanted == *wanted)
    }

    /// The journal in `bytes`, whatever transfer it is of: to tell what lies there, and not to trust it. `None`
    /// when it is damaged or of another version.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let body_len = bytes.len().checked_sub(CHECKSUM_LEN)?;
        if bytes.len() > JOURNAL_MAX {
            return None;
        }
        let (body, checksum) = bytes.split_at(body_len);
        if Code::Sha2_256.digest(body).digest() != checksum {
            return None;
        }
        let (id, rest) = body.strip_prefix(MAGIC)?.split_first_chunk()?;
        let (stamp, rest) = Self::split_stamp(rest)?;
        let (cid, mut fields) = Self::split_cid(rest)?;
        let mut number = || fields.varint().ok();
        let wanted = number()?..number()?;
        // Read back, the CID must be these bytes and no more.
        let root = Cid::try_from(cid).ok().filter(|root| root.to_bytes() == cid)?;
        let (size, count) = (number()?, number()?);
        let selected = wanted.end.min(size);
        let (mut have, mut end) = (RangeSet::new(), 0u64);
        for at in 0..count {
            let start = end.checked_add(number()?)?;
            let after = start.checked_add(number()?)?;
            let touches = at > 0 && start == end;
            if touches || after == start || start < wanted.start || after > selected {
                return None;
            }
            have.insert(start..after);
            end = after;
        }
        let journal = Self { id: *id, stamp, root, wanted, size, have };
        fields.is_empty().then_some(journal)
    }

    fn split_stamp(bytes: &[u8]) -> Option<(Option<Stamp>, &[u8])> {
        match bytes.split_first()? {
            (0, rest) => Some((None, rest)),
            (1, rest) => rest.split_first_chunk().map(|(stamp, rest)| (Some(Stamp(*stamp)), rest)),
            _ => None,
        }
    }

    fn split_cid(bytes: &[u8]) -> Option<(&[u8], CanonicalFields<'_>)> {
        let mut fields = CanonicalFields::new(bytes);
        let len = usize::try_from(fields.varint().ok()?).ok()?;
        let (cid, rest) = fields.rest().split_at_checked(len)?;
        Some((cid, CanonicalFields::new(rest)))
    }

    /// Whether the answer to [`Effect::Stamp`](super::effects::Effect::Stamp) is the stamp of this journal.
    pub(super) fn has_stamp(&self, answer: &Result<Done, FsError>) -> bool {
        self.stamp.is_some_and(|stamp| *answer == Ok(Done::Stamp(stamp)))
    }

    /// Whether every byte that was asked for is claimed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let end = self.wanted.end.min(self.size);
        self.have.contains(&(self.wanted.start.min(end)..end))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    fn root(text: &[u8]) -> Cid {
        Cid::new_v1(RAW, Code::Sha2_256.digest(text))
    }

    fn journal() -> Journal {
        let have = [10..20, 30..31, 1000..5000].into_iter().collect();
        let (id, stamp) = ([7; 16], Some(Stamp([9; 32])));
        Journal { id, stamp, root: root(b"a"), wanted: 5..u64::MAX, size: 6000, have }
    }

    fn decode(bytes: &[u8]) -> Option<Journal> {
        Journal::decode(bytes, &root(b"a"), &(5..u64::MAX))
    }

    /// A journal body with a right checksum.
    fn signed(body: &[u8]) -> Vec<u8> {
        [body, Code::Sha2_256.digest(body).digest()].concat()
    }

    #[test]
    fn only_the_same_transfer_reads_it_back() {
        let bytes = journal().encode();
        assert_eq!(decode(&bytes), Some(journal()));
        assert_eq!(Journal::decode(&bytes, &root(b"b"), &(5..u64::MAX)), None);
        assert_eq!(Journal::decode(&bytes, &root(b"a"), &(0..u64::MAX)), None);
        let unstamped = Journal { stamp: None, ..journal() };
        assert_eq!(decode(&unstamped.encode()), Some(unstamped));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let bytes = journal().encode();
        for at in 0..bytes.len() {
            assert_eq!(decode(&bytes[..at]), None, "cut to {at}");
            for bit in 0..8 {
                let mut flipped = bytes.to_vec();
                flipped[at] ^= 1 << bit;
                assert_eq!(decode(&flipped), None, "bit {bit} of byte {at}");
            }
        }
        assert_eq!(decode(&[&bytes[..], &[0]].concat()), None);
    }

    #[test]
    fn claims_that_no_writer_makes_are_refused_even_with_a_right_checksum() {
        let bytes = journal().encode();
        let head = &bytes[..6 + 16 + 33 + 1 + 36 + 1 + 10 + 2];
        let with = |ranges: &[u8]| decode(&signed(&[head, ranges].concat()));
        assert!(with(&[1, 5, 1]).is_some());
        for (name, ranges) in [
            ("fewer ranges than counted", &[2, 5, 1][..]),
            ("more bytes than ranges", &[1, 5, 1, 0]),
            ("an empty range", &[1, 5, 0]),
            ("ranges that touch", &[2, 5, 1, 0, 1]),
            ("before the wanted range", &[1, 4, 2]),
            ("beyond the file", &[1, 5, 0xff, 0x7f]),
            ("a huge count", &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            assert_eq!(with(ranges), None, "{name}");
        }
        let huge = [&[2, 5, 1][..], &[0xff; 9], &[1, 1]].concat();
        assert_eq!(with(&huge), None, "overflow");
    }

    #[test]
    fn complete_means_the_part_of_the_wanted_range_that_exists() {
        let complete = |wanted: Range<u64>, have: Range<u64>| {
            let have = RangeSet::from_iter([have]);
            Journal { wanted, size: 100, have, ..journal() }.is_complete()
        };
        assert!(complete(0..u64::MAX, 0..100));
        assert!(!complete(0..u64::MAX, 0..99));
        assert!(complete(40..60, 40..60));
        assert!(complete(200..300, 0..0));
    }

    #[test]
    fn too_many_ranges_claim_less_and_stay_within_the_bound() {
        let far = 1 << 60;
        let ranges = (0..RANGES_MAX as u64 + 10).map(|at| far + at * 3..far + at * 3 + 1);
        let have: RangeSet = ranges.collect();
        let journal = Journal { size: 1 << 62, have: have.clone(), ..journal() };
        let bytes = journal.encode();
        assert!(bytes.len() <= JOURNAL_MAX);
        let read = decode(&bytes).unwrap();
        assert_eq!(read.have.len(), RANGES_MAX);
        assert!(read.have.iter().zip(have.iter()).all(|(a, b)| a == b));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(decode(&bytes), None);
            let mut body = vec![];
            body.extend_from_slice(&journal().encode()[..56]);
            body.extend_from_slice(&bytes);
            if let Some(journal) = decode(&signed(&body)) {
                prop_assert!(journal.have.iter().all(|range| range.start >= 5 && range.end <= 6000));
                prop_assert_eq!(journal.encode(), signed(&body), "one encoding per journal");
            }
        }
    }
}
