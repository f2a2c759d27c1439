//! How a file becomes blocks, in words that all peers understand.

use cid::Version;

/// A named set of import settings that all implementations agree on (IPIP-499).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// `unixfs-v0-2015`: CIDv0, dag-pb leaves, 256 KiB chunks, 174 links.
    UnixfsV0_2015,
    /// `unixfs-v1-2025`: CIDv1, raw leaves, 1 MiB chunks, 1024 links.
    UnixfsV1_2025,
}

impl Profile {
    /// The profile's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UnixfsV0_2015 => "unixfs-v0-2015",
            Self::UnixfsV1_2025 => "unixfs-v1-2025",
        }
    }
}

/// How a peer is to import a file; what is `None` is the peer's own default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddOptions {
    /// The version of the resulting CIDs.
    pub cid_version: Option<Version>,
    /// Bytes in a chunk.
    pub chunk_size: Option<u32>,
    /// Whether leaves are plain bytes instead of wrapped in dag-pb.
    pub raw_leaves: Option<bool>,
    /// Most links in a file's node.
    pub max_links: Option<u32>,
    /// The hash's name in the multicodec table. Kubo only.
    pub hash: Option<&'static str>,
    /// The trickle layout instead of the balanced one. Kubo only.
    pub trickle: bool,
    /// Most entries in a node of a sharded directory; a power of two. Kubo only.
    pub hamt_fanout: Option<u32>,
}

impl AddOptions {
    /// CIDv1 and raw leaves in chunks of `chunk_size` bytes.
    #[must_use]
    pub fn v1(chunk_size: u32) -> Self {
        Self {
            cid_version: Some(Version::V1),
            chunk_size: Some(chunk_size),
            raw_leaves: Some(true),
            ..Self::default()
        }
    }

    /// CIDv0 and dag-pb leaves in chunks of 256 KiB: what every old release does.
    #[must_use]
    pub fn v0() -> Self {
        Self {
            cid_version: Some(Version::V0),
            chunk_size: Some(256 * 1024),
            raw_leaves: Some(false),
            ..Self::default()
        }
    }

    /// The settings of a profile, spelled out.
    #[must_use]
    pub fn profile(profile: Profile) -> Self {
        match profile {
            Profile::UnixfsV0_2015 => Self { max_links: Some(174), ..Self::v0() },
            Profile::UnixfsV1_2025 => Self { max_links: Some(1024), ..Self::v1(1024 * 1024) },
        }
    }
}
