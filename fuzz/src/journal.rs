//! `journal`: a journal is read exactly when each bit of it is what its writer would write, and it
//! claims nothing outside of what was asked for.
//!
//! Input: the wanted range (1 byte: all, or a part), whether the checksum is made right (1), then
//! the journal without its checksum, or all of it.

use std::ops::Range;

use bitswap_core::Prefix;
use bitswap_core::chunk::{Journal, RangeSet, Stamp};
use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};

use crate::Input;
use crate::dagpb_unixfs::varint;

const MAGIC: &[u8] = b"bswpj\x02";

/// Runs the target on our decoder.
pub fn run(data: &[u8]) {
    check(data, Journal::decode);
}

/// The first inputs: journals as they are written, with a right checksum and a wrong one.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    for part in [0, 1] {
        for runs in 0..8u64 {
            let have: RangeSet = (0..runs).map(|at| 10 + at * 9..11 + at * 10).collect();
            let stamp = (runs % 2 == 1).then_some(Stamp([9; 32]));
            let (id, wanted) = ([7; 16], wanted(part));
            let bytes = Journal { id, stamp, root: root(), wanted, size: 90, have }.encode();
            inputs.push([&[part, 1], &bytes[..bytes.len() - 32]].concat());
            inputs.push([&[part, 0], &bytes[..]].concat());
            inputs.push([&[part, 0], &bytes[..bytes.len() - 1], &[0]].concat());
        }
    }
    inputs
}

/// The root of the journals in the corpus: a block of their own, so that they stay what they are.
fn root() -> Cid {
    let prefix = Prefix::parse(&[1, 0x55, 0x12, 32]).expect("a well-formed prefix");
    let data = (0..1024_usize).map(|at| (at * 31 + 1024) as u8).collect();
    *prefix.block(data).expect("a known hash").cid()
}

fn wanted(part: u8) -> Range<u64> {
    if part & 1 == 0 { 0..u64::MAX } else { 10..80 }
}

/// Runs the target on a decoder.
///
/// # Panics
///
/// When it reads another journal than a plain reader, or none.
pub fn check(data: &[u8], decode: impl Fn(&[u8], &Cid, &Range<u64>) -> Option<Journal>) {
    let mut input = Input::new(data);
    let wanted = wanted(input.byte());
    let signed = input.flag();
    let mut bytes = input.rest().to_vec();
    if signed {
        bytes.extend_from_slice(Code::Sha2_256.digest(&bytes).digest());
    }
    let journal = decode(&bytes, &root(), &wanted);
    assert_eq!(journal, expected(&bytes, &wanted), "{bytes:02x?}");
    if let Some(journal) = journal {
        assert_eq!(journal.encode(), bytes, "a journal has one encoding");
        let selected = wanted.start.min(journal.size)..wanted.end.min(journal.size);
        let inside = |run: Range<u64>| run.start >= selected.start && run.end <= selected.end;
        assert!(journal.have.iter().all(inside), "claims outside of {selected:?}");
        let missing = (selected.end - selected.start) - journal.have.covered(&selected);
        assert_eq!(journal.is_complete(), missing == 0);
    }
}

/// By the description of the format, written as plainly as possible.
fn expected(bytes: &[u8], wanted: &Range<u64>) -> Option<Journal> {
    let (body, checksum) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
    (Code::Sha2_256.digest(body).digest() == checksum).then_some(())?;
    let (id, rest) = body.strip_prefix(MAGIC)?.split_first_chunk()?;
    let (stamp, rest) = match rest.split_first()? {
        (0, rest) => (None, rest),
        (1, rest) => rest.split_first_chunk().map(|(stamp, rest)| (Some(Stamp(*stamp)), rest))?,
        _ => return None,
    };
    let cid = root().to_bytes();
    let head = [&varint(cid.len() as u64)[..], &cid, &varint(wanted.start), &varint(wanted.end)];
    let mut rest = rest.strip_prefix(&head.concat()[..])?;
    let size = number(&mut rest)?;
    let count = number(&mut rest)?;
    let mut runs: Vec<Range<u64>> = Vec::new();
    for _ in 0..count {
        let before = runs.last().map(|run| run.end);
        let start = before.unwrap_or(0).checked_add(number(&mut rest)?)?;
        let end = start.checked_add(number(&mut rest)?)?;
        let apart = before != Some(start) && start < end;
        let inside = start >= wanted.start && end <= wanted.end.min(size);
        (apart && inside).then_some(())?;
        runs.push(start..end);
    }
    let have = runs.into_iter().collect();
    let wanted = wanted.clone();
    rest.is_empty().then_some(Journal { id: *id, stamp, root: root(), wanted, size, have })
}

/// A number of 64 bits in its shortest form.
fn number(rest: &mut &[u8]) -> Option<u64> {
    let len = 1 + rest.iter().take(10).position(|byte| *byte < 0x80)?;
    let (bytes, after) = rest.split_at(len);
    let value = bytes.iter().rev().fold(0u128, |sum, byte| sum << 7 | u128::from(byte & 0x7f));
    let value = u64::try_from(value).ok()?;
    *rest = after;
    (varint(value) == bytes).then_some(value)
}
