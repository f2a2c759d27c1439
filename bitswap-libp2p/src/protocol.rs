//! The protocol names on offer, and which of them was agreed on.

use std::iter::{Chain, Skip, Take};
use std::{array, option};

use bitswap_core::Version;
use bitswap_core::error::OpenError;
use futures::future::{Ready, ready};
use libp2p_core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p_swarm::Stream;

/// A name that multistream-select negotiates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// Stands for a version.
    Of(Version),
    /// Stands for none, since the peer has refused it already: see [`Names::AllAgreed`].
    Refused,
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        match self {
            Self::Of(version) => version.protocol(),
            Self::Refused => Version::Unversioned.protocol(),
        }
    }
}

/// The names up to the newest on offer, in order of preference. Copying and listing it allocates
/// nothing: the swarm lists the names of a handler at nearly every poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    newest: Version,
    first: Version,
    names: Names,
}

/// Which of the names are on offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    All,
    /// All, in a swarm that takes the last name on offer for granted. So the last version is there a second time: it is
    /// reached only once the peer has refused all, and nothing is written on such a stream.
    AllAgreed,
    /// The first alone.
    First,
}

impl Offer {
    /// This version and all older ones, newest first.
    pub(crate) const fn up_to(newest: Version) -> Self {
        Self { newest, first: newest, names: Names::All }
    }

    /// The version that is known to work first, then the others, newest first. A dialer pays one
    /// round trip for every name that is refused.
    pub(crate) const fn starting_with(self, first: Version) -> Self {
        Self { first, ..self }
    }

    /// Nothing is to be written before the peer has agreed to a name, in a swarm that negotiates lazily too.
    pub(crate) const fn agreed(self) -> Self {
        Self { names: Names::AllAgreed, ..self }
    }

    /// The first version alone. A swarm that negotiates lazily then waits for nothing.
    pub(crate) const fn alone(self) -> Self {
        Self { names: Names::First, ..self }
    }
}

impl UpgradeInfo for Offer {
    type Info = Name;
    type InfoIter = Chain<Take<Skip<array::IntoIter<Name, 4>>>, option::IntoIter<Name>>;

    fn protocol_info(&self) -> Self::InfoIter {
        let mut versions = Version::PREFERRED;
        // The newer ones are at the front, and are left out.
        let newer = versions.iter().take_while(|version| **version > self.newest).count();
        if let Some(at) = versions.iter().skip(newer).position(|version| *version == self.first) {
            versions[newer..=newer + at].rotate_right(1);
        }
        let most = if self.names == Names::First { 1 } else { versions.len() };
        let last = (self.names == Names::AllAgreed).then_some(Name::Refused);
        versions.map(Name::Of).into_iter().skip(newer).take(most).chain(last)
    }
}

/// The version that both ends speak now.
fn version_of(name: Name) -> Result<Version, OpenError> {
    match name {
        Name::Of(version) => Ok(version),
        Name::Refused => Err(OpenError::Unsupported),
    }
}

impl InboundUpgrade<Stream> for Offer {
    type Output = (Stream, Version);
    type Error = OpenError;
    type Future = Ready<Result<Self::Output, OpenError>>;

    fn upgrade_inbound(self, stream: Stream, name: Name) -> Self::Future {
        ready(version_of(name).map(|version| (stream, version)))
    }
}

impl OutboundUpgrade<Stream> for Offer {
    type Output = (Stream, Version);
    type Error = OpenError;
    type Future = Ready<Result<Self::Output, OpenError>>;

    fn upgrade_outbound(self, stream: Stream, name: Name) -> Self::Future {
        ready(version_of(name).map(|version| (stream, version)))
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

    #[test]
    fn one_name_is_offered_alone_and_all_names_with_one_more_that_stands_for_none() {
        let offer = Offer::up_to(Version::V1_1).starting_with(Version::V1_0);
        assert_eq!(offered(offer.alone()), ["/ipfs/bitswap/1.0.0"]);
        // Nor is anything newer than the newest offered alone.
        assert_eq!(offered(offer.starting_with(Version::V1_2).alone()), ["/ipfs/bitswap/1.1.0"]);
        let names = Vec::from_iter(offer.agreed().protocol_info());
        let versions = [Version::V1_0, Version::V1_1, Version::Unversioned].map(Name::Of);
        assert_eq!(names[..3], versions);
        assert_eq!(names[3..], [Name::Refused]);
        assert_eq!(Name::Refused.as_ref(), Name::Of(Version::Unversioned).as_ref());
        assert_eq!(version_of(Name::Refused), Err(OpenError::Unsupported));
    }
}
