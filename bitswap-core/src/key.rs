//! A CID as a key: its bytes, inline where they are few.

use alloc::boxed::Box;

use cid::Cid;

/// Longest CID kept inline: version, codec, a three-byte hash code, length, 32 bytes of digest.
const INLINE: usize = 38;

/// The binary form of a CID. 40 bytes for the CIDs of daily life, where `Cid` takes 96.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Inline(u8, [u8; INLINE]),
    Boxed(Box<[u8]>),
}

impl Key {
    pub(crate) fn new(cid: &Cid) -> Self {
        let mut bytes = [0; INLINE];
        let unused = bytes.as_mut_slice();
        let length = cid.encoded_len();
        if length <= INLINE && cid.write_bytes(unused).is_ok() {
            Self::Inline(length as u8, bytes)
        } else {
            Self::Boxed(cid.to_bytes().into_boxed_slice())
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Inline(length, bytes) => bytes.get(..usize::from(*length)).unwrap_or(bytes),
            Self::Boxed(bytes) => bytes,
        }
    }

    /// The CID again. A key is only ever made from a CID, so its bytes parse.
    pub(crate) fn cid(&self) -> Cid {
        let cid = Cid::try_from(self.bytes());
        debug_assert!(cid.is_ok(), "a key that was made from no CID");
        cid.unwrap_or_default()
    }

    /// Bytes held outside of the key itself.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Inline(..) => 0,
            Self::Boxed(bytes) => bytes.len(),
        }
    }
}

impl core::fmt::Debug for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}", self.cid())
    }
}

#[cfg(test)]
mod tests {
    use cid::multihash::Multihash;

    use super::*;

    #[test]
    fn short_and_long_cids_survive() {
        for length in [20, 32, 33, 34, 35, 64] {
            let hash = Multihash::<64>::wrap(0xb220, &[7; 64][..length]).unwrap();
            let cid = Cid::new_v1(0x55, hash);
            let key = Key::new(&cid);
            assert_eq!(key.cid(), cid);
            assert_eq!(key.bytes(), cid.to_bytes());
            assert_eq!(key.heap_bytes() == 0, cid.encoded_len() <= INLINE);
        }
        assert_eq!(size_of::<Key>(), 40);
    }
}
