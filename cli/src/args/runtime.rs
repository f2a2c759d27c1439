//! Which async runtime a node runs on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clap::ValueEnum;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

/// An async runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum RuntimeArg {
    /// Recommended.
    #[default]
    Tokio,
    /// Discontinued: here for programs that have not moved yet, and for comparison.
    AsyncStd,
    /// What async-std is built on.
    Smol,
}

impl RuntimeArg {
    /// Where a node on this runtime listens unless told: wherever it can be reached, over IPv4 and IPv6. One in a
    /// private network has no QUIC.
    pub(crate) fn listen(self, is_private: bool) -> Vec<Multiaddr> {
        let any = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        let any = any.map(|ip| Multiaddr::empty().with(ip.into()));
        let mut addresses = any.clone().map(|any| any.with(Protocol::Tcp(0))).to_vec();
        if cfg!(feature = "quic") && self == Self::Tokio && !is_private {
            addresses.extend(any.map(|any| any.with(Protocol::Udp(0)).with(Protocol::QuicV1)));
        }
        addresses
    }
}
