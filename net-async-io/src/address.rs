//! Between socket addresses and multiaddresses.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

/// The socket address in `/ip4|ip6/…/tcp/…`, perhaps behind `/ip6zone/…` and followed by `/p2p/…`; `None` for
/// anything else, because a TCP connection is not what it asks for.
pub(crate) fn tcp_socket_address(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let (ip, zone) = match parts.next()? {
        Protocol::Ip4(ip) => (IpAddr::from(ip), None),
        Protocol::Ip6(ip) => (IpAddr::from(ip), None),
        Protocol::Ip6zone(zone) => match parts.next()? {
            Protocol::Ip6(ip) => (IpAddr::from(ip), Some(zone)),
            _ => return None,
        },
        _ => return None,
    };
    let Protocol::Tcp(port) = parts.next()? else { return None };
    match (parts.next(), parts.next()) {
        (None | Some(Protocol::P2p(_)), None) => match zone {
            None => Some(SocketAddr::new(ip, port)),
            Some(zone) => within(ip, &zone, port),
        },
        _ => None,
    }
}

/// A link-local address, which means something only beside the name of an interface. The system knows its number;
/// nothing is asked of anybody.
fn within(ip: IpAddr, zone: &str, port: u16) -> Option<SocketAddr> {
    let host = is_zone(zone).then(|| format!("{ip}%{zone}"))?;
    (host.as_str(), port).to_socket_addrs().ok()?.next()
}

/// Whether it may be the name of an interface, or its number, and is nothing that a resolver of names would ask others for.
fn is_zone(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// `/ip4|ip6/…/tcp/…`.
pub(crate) fn tcp_multiaddress(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_tcp_addresses_are_taken() {
        let peer = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
        for (address, expected) in [
            ("/ip4/127.0.0.1/tcp/4001".into(), Some("127.0.0.1:4001")),
            ("/ip4/127.0.0.1/tcp/0".into(), Some("127.0.0.1:0")),
            ("/ip6/::1/tcp/4001".into(), Some("[::1]:4001")),
            (format!("/ip6/::1/tcp/4001/p2p/{peer}"), Some("[::1]:4001")),
            ("/ip4/127.0.0.1".into(), None),
            ("/ip4/127.0.0.1/udp/4001".into(), None),
            ("/ip4/127.0.0.1/tcp/4001/ws".into(), None),
            ("/dns4/localhost/tcp/4001".into(), None),
            (format!("/ip4/127.0.0.1/tcp/4001/p2p/{peer}/p2p-circuit"), None),
            ("/tcp/4001/ip4/127.0.0.1".into(), None),
        ] {
            let parsed: Multiaddr = address.parse().unwrap();
            let expected = expected.map(|text| text.parse().unwrap());
            assert_eq!(tcp_socket_address(&parsed), expected, "{address}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_zone_is_the_number_of_an_interface() {
        let at = |text: &str| tcp_socket_address(&text.parse().unwrap());
        // By name, or by number.
        for address in ["/ip6zone/lo/ip6/fe80::1/tcp/4001", "/ip6zone/1/ip6/::1/tcp/4001"] {
            let Some(SocketAddr::V6(address)) = at(address) else { panic!("{address}") };
            assert!(address.port() == 4001 && address.scope_id() == 1, "{address}");
        }
        assert_eq!(at("/ip6zone/nothing-like-it/ip6/fe80::1/tcp/1"), None);
        assert_eq!(at("/ip6zone/lo/ip4/127.0.0.1/tcp/1"), None);
    }

    #[test]
    fn socket_addresses_survive_the_way_there_and_back() {
        for text in ["127.0.0.1:4001", "[fe80::1]:1", "0.0.0.0:65535"] {
            let address = text.parse().unwrap();
            assert_eq!(tcp_socket_address(&tcp_multiaddress(address)), Some(address));
        }
    }
}
