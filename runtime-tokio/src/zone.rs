//! Dialling link-local addresses, which mean something only beside the name of a network interface:
//! `/ip6zone/eth0/ip6/fe80::1/tcp/4001`.

use std::io;

use bitswap_node::ByteStream;
use futures::future::BoxFuture;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use libp2p::tcp::tokio::TcpStream;

/// The dial of an address with a zone; `None` for one without.
pub(crate) fn dial(address: &Multiaddr) -> Option<BoxFuture<'static, io::Result<ByteStream>>> {
    let (host, port) = host(address)?;
    Some(Box::pin(async move {
        // The system knows the interface by its name, or by its number. Nothing is asked of anybody.
        let socket = tokio::net::TcpStream::connect((host, port)).await?;
        socket.set_nodelay(true)?;
        Ok(Box::pin(TcpStream(socket)) as ByteStream)
    }))
}

fn host(address: &Multiaddr) -> Option<(String, u16)> {
    let mut parts = address.iter();
    let (Protocol::Ip6zone(zone), Protocol::Ip6(ip)) = (parts.next()?, parts.next()?) else {
        return None;
    };
    let Protocol::Tcp(port) = parts.next()? else { return None };
    match (parts.next(), parts.next()) {
        (None | Some(Protocol::P2p(_)), None) if is_zone(&zone) => {
            Some((format!("{ip}%{zone}"), port))
        }
        _ => None,
    }
}

/// Whether it may be the name of an interface, or its number, and is nothing that a resolver of names would ask others for.
fn is_zone(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tcp_with_a_zone_is_taken() {
        for (address, expected) in [
            ("/ip6zone/eth0/ip6/fe80::1/tcp/1", Some(("fe80::1%eth0".to_owned(), 1))),
            ("/ip6/fe80::1/tcp/1", None),
            ("/ip6zone/eth0/ip6/fe80::1/udp/1/quic-v1", None),
            ("/ip6zone/eth0/ip6/fe80::1/tcp/1/ws", None),
            ("/ip6zone/e th/ip6/fe80::1/tcp/1", None),
        ] {
            assert_eq!(host(&address.parse().unwrap()), expected, "{address}");
        }
    }
}
