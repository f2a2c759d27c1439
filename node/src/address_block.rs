//! Addresses that likely belong to one owner.

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

/// A block of addresses: 256 of IPv4 (a /24), or what a site gets of IPv6 (a /56). Addresses without an
/// IP address are one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AddressBlock {
    V4([u8; 3]),
    V6([u8; 7]),
    Other,
}

impl AddressBlock {
    pub(crate) fn of(address: &Multiaddr) -> Self {
        match address.iter().next() {
            Some(Protocol::Ip4(ip)) => {
                let [a, b, c, _] = ip.octets();
                Self::V4([a, b, c])
            }
            Some(Protocol::Ip6(ip)) => match ip.to_ipv4_mapped() {
                Some(ip) => Self::of(&Multiaddr::from(ip)),
                None => {
                    let [a, b, c, d, e, f, g, ..] = ip.octets();
                    Self::V6([a, b, c, d, e, f, g])
                }
            },
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_a_block_and_strangers_do_not() {
        let block = |ip: &str| AddressBlock::of(&ip.parse().unwrap());
        assert_eq!(block("/ip4/192.0.2.1/tcp/1"), block("/ip4/192.0.2.255/udp/9/quic-v1"));
        assert_ne!(block("/ip4/192.0.2.1"), block("/ip4/192.0.3.1"));
        assert_eq!(block("/ip6/2001:db8:0:ff::1"), block("/ip6/2001:db8:0:f0:1::"));
        assert_ne!(block("/ip6/2001:db8:0:100::1"), block("/ip6/2001:db8:0:200::1"));
        assert_eq!(block("/ip6/::ffff:192.0.2.1"), block("/ip4/192.0.2.7"));
        assert_ne!(block("/ip6/::1"), block("/memory/1"));
    }
}
