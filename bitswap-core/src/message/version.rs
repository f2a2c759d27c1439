//! The protocol versions and what each may say.

/// A negotiated protocol version, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// `/ipfs/bitswap`: as 1.0.0.
    Unversioned,
    /// `/ipfs/bitswap/1.0.0`: bare block bytes, so only CIDv0 blocks can be answered.
    V1_0,
    /// `/ipfs/bitswap/1.1.0`: blocks carry their CID prefix.
    V1_1,
    /// `/ipfs/bitswap/1.2.0`: want-have, HAVE and DONT_HAVE.
    V1_2,
}

impl Version {
    /// All versions in the order in which they are offered: newest first.
    pub const PREFERRED: [Self; 4] = [Self::V1_2, Self::V1_1, Self::V1_0, Self::Unversioned];

    /// The protocol name that is negotiated.
    #[must_use]
    pub const fn protocol(self) -> &'static str {
        match self {
            Self::Unversioned => "/ipfs/bitswap",
            Self::V1_0 => "/ipfs/bitswap/1.0.0",
            Self::V1_1 => "/ipfs/bitswap/1.1.0",
            Self::V1_2 => "/ipfs/bitswap/1.2.0",
        }
    }

    /// The version with this protocol name.
    #[must_use]
    pub fn from_protocol(name: &str) -> Option<Self> {
        Self::PREFERRED.into_iter().find(|version| version.protocol() == name)
    }

    /// Want-have, HAVE and DONT_HAVE may be sent.
    #[must_use]
    pub const fn has_presence(self) -> bool {
        matches!(self, Self::V1_2)
    }

    /// Blocks carry their prefix, so a block of any CID can be sent.
    #[must_use]
    pub const fn has_prefix(self) -> bool {
        matches!(self, Self::V1_1 | Self::V1_2)
    }
}
