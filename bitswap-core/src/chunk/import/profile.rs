//! How a file is cut and its blocks are named. Source: IPIP-499.

use core::fmt;
use core::str::FromStr;

use bytes::Bytes;
use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};

use crate::block::Block;
use crate::chunk::unixfs::{DAG_PB, LeafForm, RAW};
use crate::error::UnknownName;

/// How a file is cut: the same profile gives the same CID everywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Profile {
    /// 1 MiB chunks as raw leaves, at most 1024 links per node, CIDv1.
    #[default]
    UnixfsV1_2025,
    /// 256 KiB chunks wrapped in dag-pb, at most 174 links per node, CIDv0.
    UnixfsV0_2015,
}

impl Profile {
    /// The profile's registered name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnixfsV1_2025 => "unixfs-v1-2025",
            Self::UnixfsV0_2015 => "unixfs-v0-2015",
        }
    }

    /// The length of every chunk but the last, in bytes.
    #[must_use]
    pub const fn chunk_len(self) -> usize {
        match self {
            Self::UnixfsV1_2025 => 1 << 20,
            Self::UnixfsV0_2015 => 1 << 18,
        }
    }

    /// The largest number of links of a node.
    #[must_use]
    pub const fn links_max(self) -> usize {
        match self {
            Self::UnixfsV1_2025 => 1024,
            Self::UnixfsV0_2015 => 174,
        }
    }

    /// How a chunk's bytes become a leaf's block. A store that shares a file in place makes the
    /// block anew from the bytes in the file with this.
    #[must_use]
    pub const fn leaf_form(self) -> LeafForm {
        match self {
            Self::UnixfsV1_2025 => LeafForm::Raw,
            Self::UnixfsV0_2015 => LeafForm::WrappedFile,
        }
    }

    /// The block of a leaf in its form, or of an inner node.
    pub(super) fn block(self, form: Option<LeafForm>, data: Bytes) -> Block {
        let hash = Code::Sha2_256.digest(&data);
        let codec = if form == Some(LeafForm::Raw) { RAW } else { DAG_PB };
        let cid = match self {
            Self::UnixfsV1_2025 => Cid::new_v1(codec, hash),
            Self::UnixfsV0_2015 => Cid::new_v0(hash).unwrap_or_else(|_| Cid::new_v1(codec, hash)),
        };
        Block::hashed(cid, data)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Profile {
    type Err = UnknownName;

    /// The profile with this registered name.
    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let mut all = [Self::UnixfsV1_2025, Self::UnixfsV0_2015].into_iter();
        all.find(|profile| profile.name() == name).ok_or(UnknownName("profile"))
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn a_profile_is_its_registered_name() {
        for profile in [Profile::UnixfsV1_2025, Profile::UnixfsV0_2015] {
            assert_eq!(profile.to_string().parse(), Ok(profile));
        }
        assert!("unixfs-v9".parse::<Profile>().is_err());
    }
}
