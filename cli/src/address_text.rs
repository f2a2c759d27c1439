//! Addresses as people give them, and what may have been meant by those that are none.

use bitswap_node::Multiaddr;
use libp2p::multiaddr::Protocol;

/// Names of protocols that an address may have here.
const PROTOCOLS: [&str; 12] = [
    "ip4", "ip6", "ip6zone", "dns", "dns4", "dns6", "dnsaddr", "tcp", "udp", "quic-v1", "p2p", "ws",
];

/// Reads an address. What may have been meant by one that is none is said in the error.
pub(crate) fn parse(text: &str) -> Result<Multiaddr, String> {
    let text = text.trim();
    let address = text.parse().ok().filter(|address: &Multiaddr| !address.is_empty());
    address.ok_or_else(|| match suggestion(text) {
        Some(meant) => format!("it is no multiaddress; did you mean {meant} ?"),
        None => "it is no multiaddress, which looks like /ip4/192.0.2.1/tcp/4001/p2p/12D3KooW…"
            .to_owned(),
    })
}

fn suggestion(text: &str) -> Option<Multiaddr> {
    host_and_port(text).or_else(|| corrected(text))
}

/// `host:port`, as everywhere else, perhaps with a scheme.
fn host_and_port(text: &str) -> Option<Multiaddr> {
    let text = text.split_once("://").map_or(text, |(_, rest)| rest).trim_end_matches('/');
    if let Ok(address) = text.parse::<std::net::SocketAddr>() {
        return Some(Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port())));
    }
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let is_name = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    let is_host = host.split('.').all(is_name);
    is_host.then(|| Multiaddr::empty().with(Protocol::Dns(host.into())).with(Protocol::Tcp(port)))
}

/// One with every protocol replaced by the known one that is spelled most alike, and the first slash.
fn corrected(text: &str) -> Option<Multiaddr> {
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
    let mut address = String::new();
    let mut parts = parts.into_iter();
    while let Some(name) = parts.next() {
        let lower = name.to_ascii_lowercase();
        let distance = |known: &&&str| strsim::osa_distance(&lower, known);
        let known = PROTOCOLS.iter().min_by_key(distance)?;
        if distance(&known) > 2 {
            return None;
        }
        address.push_str(&format!("/{known}"));
        if !matches!(*known, "quic-v1" | "ws") {
            address.push_str(&format!("/{}", parts.next()?));
        }
    }
    address.parse().ok().filter(|address: &Multiaddr| !address.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_meant_by_a_mistyped_address_is_said() {
        for (text, meant) in [
            ("192.0.2.1:4001", "/ip4/192.0.2.1/tcp/4001"),
            ("[2001:db8::1]:4001", "/ip6/2001:db8::1/tcp/4001"),
            ("tcp://node.example.test:4001/", "/dns/node.example.test/tcp/4001"),
            ("localhost:80", "/dns/localhost/tcp/80"),
            ("ip4/192.0.2.1/tcp/4001", "/ip4/192.0.2.1/tcp/4001"),
            ("/ipv4/192.0.2.1/tpc/4001", "/ip4/192.0.2.1/tcp/4001"),
            ("/IP4/192.0.2.1/UDP/4001/quic-v2", "/ip4/192.0.2.1/udp/4001/quic-v1"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.ends_with(&format!("did you mean {meant} ?")), "{text:?}: {error}");
        }
        for text in
            ["nowhere", "", "/", "a:b", "/ip4/192.0.2/tcp/1", "/nonsense/1", "99999.1:99999"]
        {
            let error = parse(text).unwrap_err();
            assert!(error.contains("looks like"), "{text:?}: {error}");
        }
        let address = "/ip4/192.0.2.1/tcp/4001";
        assert_eq!(parse(&format!(" {address}\n")).unwrap().to_string(), address);
    }
}
