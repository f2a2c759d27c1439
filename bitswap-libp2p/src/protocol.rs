//! The protocol names on offer, and which of them was agreed on.

use std::convert::Infallible;
use std::iter::Skip;

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

/// The names up to the newest on offer, in order of preference. Copying and listing it allocates
/// nothing: the swarm lists the names of a handler at nearly every poll.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    newest: Version,
    first: Version,
}

impl Offer {
    /// This version and all older ones, newest first.
    pub(crate) const fn up_to(newest: Version) -> Self {
        Self { newest, first: newest }
    }

    /// The version that is known to work first, then the others, newest first. A dialer pays one
    /// round trip for every name that is refused.
    pub(crate) const fn starting_with(self, first: Version) -> Self {
        Self { first, ..self }
    }
}

impl UpgradeInfo for Offer {
    type Info = Name;
    type InfoIter = Skip<std::array::IntoIter<Name, 4>>;

    fn protocol_info(&self) -> Self::InfoIter {
        let mut names = Version::PREFERRED.map(Name);
        // The newer ones are at the front, and are left out.
        let newer = names.iter().take_while(|name| name.0 > self.newest).count();
        if let Some(at) = names.iter().skip(newer).position(|name| name.0 == self.first) {
            names[newer..=newer + at].rotate_right(1);
        }
        names.into_iter().skip(newer)
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
            offered(Offer::up_to(Version::V1_2)),
            ["/ipfs/bitswap/1.2.0", "/ipfs/bitswap/1.1.0", "/ipfs/bitswap/1.0.0", "/ipfs/bitswap"]
        );
    }

    #[test]
    fn the_name_that_worked_goes_first_and_none_is_left_out() {
        assert_eq!(
            offered(Offer::up_to(Version::V1_2).starting_with(Version::V1_0)),
            ["/ipfs/bitswap/1.0.0", "/ipfs/bitswap/1.2.0", "/ipfs/bitswap/1.1.0", "/ipfs/bitswap"]
        );
        assert_eq!(
            offered(Offer::up_to(Version::V1_2).starting_with(Version::Unversioned)),
            ["/ipfs/bitswap", "/ipfs/bitswap/1.2.0", "/ipfs/bitswap/1.1.0", "/ipfs/bitswap/1.0.0"]
        );
    }

    #[test]
    fn nothing_newer_than_the_newest_is_offered() {
        let old = Offer::up_to(Version::V1_0);
        assert_eq!(offered(old), ["/ipfs/bitswap/1.0.0", "/ipfs/bitswap"]);
        assert_eq!(offered(old.starting_with(Version::V1_2)), offered(old));
        assert_eq!(
            offered(old.starting_with(Version::Unversioned)),
            ["/ipfs/bitswap", "/ipfs/bitswap/1.0.0"]
        );
        assert_eq!(offered(Offer::up_to(Version::Unversioned)), ["/ipfs/bitswap"]);
    }
}
