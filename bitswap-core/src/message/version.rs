//! The protocol versions and what each may say.

use core::fmt;
use core::str::FromStr;

use crate::error::UnknownName;

/// A negotiated protocol version, oldest first. Its text is the protocol name that is negotiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.protocol())
    }
}

impl FromStr for Version {
    type Err = UnknownName;

    /// The version with this protocol name.
    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let mut all = Self::PREFERRED.into_iter();
        all.find(|version| version.protocol() == name).ok_or(UnknownName("version of Bitswap"))
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn a_version_is_its_protocol_name() {
        for version in Version::PREFERRED {
            assert_eq!(version.to_string().parse(), Ok(version));
        }
        let unknown = "/ipfs/bitswap/1.3.0".parse::<Version>().unwrap_err();
        assert_eq!(unknown.to_string(), "not the name of a version of Bitswap");
    }
}
