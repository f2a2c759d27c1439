//! A CID as a key: its bytes, inline where they are few.

use alloc::boxed::Box;

use cid::Cid;
use cid::multihash::Multihash;

/// Longest CID kept inline: version, codec, a three-byte hash code, length, 32 bytes of digest.
const INLINE: usize = 38;

/// The binary form of a CID. 40 bytes for the CIDs of daily life, where `Cid` takes 96.
///
/// Made from a [`Cid`] and from nothing else, so its bytes always parse.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(Bytes);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Bytes {
    Inline(u8, [u8; INLINE]),
    Boxed(Box<[u8]>),
}

impl Key {
    pub(crate) fn new(cid: &Cid) -> Self {
        let mut bytes = [0; INLINE];
        let unused = bytes.as_mut_slice();
        let length = cid.encoded_len();
        let key = if length <= INLINE && cid.write_bytes(unused).is_ok() {
            Self(Bytes::Inline(length as u8, bytes))
        } else {
            Self(Bytes::Boxed(cid.to_bytes().into_boxed_slice()))
        };
        debug_assert_eq!(Cid::try_from(key.bytes()).ok(), Some(*cid));
        key
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.0 {
            Bytes::Inline(length, bytes) => bytes.get(..usize::from(*length)).unwrap_or(bytes),
            Bytes::Boxed(bytes) => bytes,
        }
    }

    /// The CID again.
    pub(crate) fn cid(&self) -> Cid {
        if let Some(cid) = short_v1(self.bytes()) {
            return cid;
        }
        let cid = Cid::try_from(self.bytes());
        // `Cid` has no conversion without an error. That there is none is the invariant of this type: every
        // CID reads back from what it is written as.
        debug_assert!(cid.is_ok(), "a key that was made from no CID");
        cid.unwrap_or_default()
    }

    /// Bytes held outside of the key itself.
    pub(crate) fn heap_bytes(&self) -> usize {
        match &self.0 {
            Bytes::Inline(..) => 0,
            Bytes::Boxed(bytes) => bytes.len(),
        }
    }
}

/// A CID of version 1 of which each number takes one byte, as almost all do: each block that comes and goes is named from
/// its key, and reading varints through a reader takes several times as long.
fn short_v1(bytes: &[u8]) -> Option<Cid> {
    let [1, codec @ ..0x80, hash @ ..0x80, length @ ..0x80, digest @ ..] = bytes else {
        return None;
    };
    if usize::from(*length) != digest.len() {
        return None;
    }
    Some(Cid::new_v1((*codec).into(), Multihash::wrap((*hash).into(), digest).ok()?))
}

impl core::fmt::Debug for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}", self.cid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_cids_survive() {
        for length in [20, 32, 33, 34, 35, 64] {
            let hash = Multihash::<64>::wrap(0xb220, &[7; 64][..length]).unwrap();
            let cid = Cid::new_v1(0x55, hash);
            let key = Key::new(&cid);
            assert_eq!(key.cid(), cid);
            assert_eq!(key.bytes(), cid.to_bytes());
            let len = cid.encoded_len();
            assert_eq!(key.heap_bytes(), if len <= INLINE { 0 } else { len });
        }
        assert_eq!(size_of::<Key>(), 40);
    }

    /// The conversion back has no answer of its own, so each number at a boundary of its encoding is tried.
    #[test]
    fn every_cid_reads_back_from_its_key() {
        let around = |bits: u32| [(1u64 << bits) - 1, 1 << bits];
        let numbers: alloc::vec::Vec<u64> = (0..64).flat_map(around).chain([0, u64::MAX]).collect();
        for length in 0..=64 {
            let digest = &[0xff; 64][..length];
            for number in &numbers {
                let hash = Multihash::<64>::wrap(*number, digest).unwrap();
                for cid in [Cid::new_v1(0x55, hash), Cid::new_v1(*number, hash)] {
                    assert_eq!(Key::new(&cid).cid(), cid);
                }
            }
        }
        let hash = Multihash::wrap(0x12, &[0x12; 32]).unwrap();
        let v0 = Cid::new_v0(hash).unwrap();
        assert_eq!(Key::new(&v0).cid(), v0);
    }
}
