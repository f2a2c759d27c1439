//! The protocol names on offer, and which of them was agreed on.

use std::convert::Infallible;

use bitswap_core::Version;
use futures::future::{Ready, ready};
use libp2p_core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p_swarm::Stream;

/// A version as the name that multistream-select negotiates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name(Version);

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        self.0.protocol()
    }
}

/// All four names in order of preference. Copying and listing it allocates nothing: the swarm
/// lists the names of a handler at nearly every poll.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    first: Version,
}

impl Offer {
    /// Newest first.
    pub(crate) const NEWEST_FIRST: Self = Self { first: Version::V1_2 };

    /// The version that is known to work first, then the others, newest first. A dialer pays one
    /// round trip for every name that is refused.
    pub(crate) const fn starting_with(first: Version) -> Self {
        Self { first }
    }

    fn names(self) -> [Name; 4] {
        let mut names = Version::PREFERRED.map(Name);
        let at = names.iter().position(|name| name.0 == self.first).unwrap_or(0);
        names[..=at].rotate_right(1);
        names
    }
}

impl UpgradeInfo for Offer {
    type Info = Name;
    type InfoIter = std::array::IntoIter<Name, 4>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.names().into_iter()
    }
}

impl InboundUpgrade<Stream> for Offer {
    type Output = (Stream, Version);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, name: Name) -> Self::Future {
        ready(Ok((stream, name.0)))
    }
}

impl OutboundUpgrade<Stream> for Offer {
    type Output = (Stream, Version);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, name: Name) -> Self::Future {
        ready(Ok((stream, name.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(offer: Offer) -> Vec<String> {
        offer.protocol_info().map(|name| name.as_ref().to_owned()).collect()
    }

    #[test]
    fn names_go_newest_first() {
        assert_eq!(
            offered(Offer::NEWEST_FIRST),
            ["/ipfs/bitswap/1.2.0", "/ipfs/bitswap/1.1.0", "/ipfs/bitswap/1.0.0", "/ipfs/bitswap"]
        );
    }

    #[test]
    fn the_name_that_worked_goes_first_and_none_is_left_out() {
        assert_eq!(
            offered(Offer::starting_with(Version::V1_0)),
            ["/ipfs/bitswap/1.0.0", "/ipfs/bitswap/1.2.0", "/ipfs/bitswap/1.1.0", "/ipfs/bitswap"]
        );
        assert_eq!(
            offered(Offer::starting_with(Version::Unversioned)),
            ["/ipfs/bitswap", "/ipfs/bitswap/1.2.0", "/ipfs/bitswap/1.1.0", "/ipfs/bitswap/1.0.0"]
        );
    }
}
