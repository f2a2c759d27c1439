//! Why a dial failed, for people.

use std::{fmt, io};

use libp2p::Multiaddr;
use libp2p::core::transport::TransportError;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::DialError;

use crate::error_chain::ErrorChain;

/// Displays why a dial failed.
pub(crate) struct DialReason<'a> {
    error: &'a DialError,
    /// The address that the message around it names already.
    named: Option<&'a Multiaddr>,
}

impl<'a> DialReason<'a> {
    /// For a message that names the address.
    pub(crate) const fn of(error: &'a DialError, address: &'a Multiaddr) -> Self {
        Self { error, named: Some(address) }
    }

    /// For a message that names no address.
    pub(crate) const fn of_any(error: &'a DialError) -> Self {
        Self { error, named: None }
    }
}

impl fmt::Display for DialReason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.error {
            DialError::NoAddresses => f.write_str("no address of the peer is known"),
            DialError::LocalPeerId { .. } => f.write_str("it is an address of this node itself"),
            DialError::DialPeerConditionFalse(_) => {
                f.write_str("the peer is connected or being dialled already")
            }
            DialError::Aborted => f.write_str("the attempt was given up"),
            DialError::WrongPeerId { obtained, .. } => {
                write!(f, "another peer answers there: {obtained}")
            }
            DialError::Denied { cause } => write!(f, "{}", ErrorChain(cause)),
            DialError::Transport(errors) => {
                for (at, (address, error)) in errors.iter().enumerate() {
                    if at > 0 {
                        f.write_str("; ")?;
                    }
                    if errors.len() > 1 || self.named.is_none() {
                        write!(f, "{address}: ")?;
                    }
                    f.write_str(&reason(address, error))?;
                }
                Ok(())
            }
        }
    }
}

/// What the resolvers say, in errors of no type, when the transports below them take no address of what they
/// were given: libp2p's and our own.
const NOT_TAKEN: [&str; 2] =
    ["Unsupported resolved address", "stands for no address that can be dialled"];

const NO_QUIC: &str = "this node has no QUIC, which needs the tokio runtime and a build with the \
                       feature `quic`; give a TCP address";

fn reason(address: &Multiaddr, error: &TransportError<io::Error>) -> String {
    if let Some(never) = never(address) {
        return never.to_owned();
    }
    let is_quic = address.iter().any(|part| part == Protocol::QuicV1);
    match error {
        TransportError::Other(error) => {
            let text = ErrorChain(error).to_string();
            let is_taken = !NOT_TAKEN.iter().any(|not_taken| text.contains(not_taken));
            if is_quic && !is_taken { NO_QUIC.to_owned() } else { text }
        }
        TransportError::MultiaddrNotSupported(_) if is_quic => NO_QUIC.to_owned(),
        TransportError::MultiaddrNotSupported(_) => {
            "it is no address of this kind; one looks like /ip4/192.0.2.1/tcp/4001/p2p/…".to_owned()
        }
    }
}

/// Why no build has a transport for an address of this kind.
fn never(address: &Multiaddr) -> Option<&'static str> {
    let is = |wanted: fn(&Protocol<'_>) -> bool| address.iter().any(|part| wanted(&part));
    Some(if is(|part| matches!(part, Protocol::P2pCircuit)) {
        "relayed connections are not supported; give a direct address"
    } else if is(|part| matches!(part, Protocol::WebTransport)) {
        "WebTransport is not supported; give a TCP address"
    } else if is(|part| matches!(part, Protocol::WebRTC | Protocol::WebRTCDirect)) {
        "WebRTC is not supported; give a TCP address"
    } else if is(|part| matches!(part, Protocol::Ws(_) | Protocol::Wss(_))) {
        "WebSocket is not supported; give a plain TCP address"
    } else if is(|part| matches!(part, Protocol::Quic)) {
        "this draft of QUIC is not supported; give a /quic-v1 or a TCP address"
    } else if is(|part| matches!(part, Protocol::Onion(..) | Protocol::Onion3(_))) {
        "Tor is not supported; give a TCP address"
    } else if is(|part| matches!(part, Protocol::Unix(_))) {
        "Unix sockets are not supported; give a TCP address"
    } else if is(|part| matches!(part, Protocol::Tcp(_) | Protocol::QuicV1 | Protocol::Dnsaddr(_)))
    {
        return None;
    } else if is(|part| matches!(part, Protocol::Udp(_))) {
        "plain UDP is not supported; give a TCP address"
    } else {
        "it says no port; an address looks like /ip4/192.0.2.1/tcp/4001/p2p/…"
    })
}

#[cfg(test)]
mod tests {
    use libp2p::PeerId;

    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_that_no_transport_takes_says_why() {
        let peer = PeerId::random();
        for (text, reason) in [
            ("/ip4/192.0.2.1/udp/1/quic-v1", "no QUIC"),
            ("/ip4/192.0.2.1/udp/1/quic", "draft of QUIC"),
            ("/ip4/192.0.2.1/udp/1/quic-v1/webtransport", "WebTransport"),
            ("/dns4/example.test/tcp/443/wss", "WebSocket"),
            ("/dns4/example.test/tcp/443/tls/ws", "WebSocket"),
            ("/ip4/192.0.2.1/udp/1/webrtc-direct", "WebRTC"),
            ("/unix/%2Frun%2Fsocket", "Unix sockets"),
            ("/ip4/192.0.2.1/udp/1", "plain UDP"),
            ("/ip4/198.51.100.7", "no port"),
            ("/tcp/1/ip4/192.0.2.1", "of this kind"),
            (&format!("/ip4/192.0.2.1/tcp/1/p2p/{peer}/p2p-circuit"), "relayed"),
        ] {
            let address = address(text);
            let error = TransportError::MultiaddrNotSupported(address.clone());
            let error = DialError::Transport(vec![(address.clone(), error)]);
            let said = DialReason::of(&error, &address).to_string();
            assert!(said.contains(reason), "{text}: {said}");
            assert!(!said.contains(text), "the address is named around it: {said}");
        }
    }

    #[test]
    fn the_innermost_cause_of_a_failed_dial_is_told_once() {
        let refused = || TransportError::Other(io::Error::other(io::Error::other("refused")));
        let (a, b) = (address("/ip4/192.0.2.1/tcp/1"), address("/ip4/192.0.2.2/tcp/1"));
        let one = DialError::Transport(vec![(a.clone(), refused())]);
        assert_eq!(DialReason::of(&one, &a).to_string(), "refused");
        assert_eq!(DialReason::of_any(&one).to_string(), "/ip4/192.0.2.1/tcp/1: refused");
        let two = DialError::Transport(vec![(a.clone(), refused()), (b, refused())]);
        let expected = "/ip4/192.0.2.1/tcp/1: refused; /ip4/192.0.2.2/tcp/1: refused";
        assert_eq!(DialReason::of(&two, &a).to_string(), expected);
    }

    #[test]
    fn another_peer_behind_an_address_is_named() {
        let obtained = PeerId::random();
        let a = address("/ip4/192.0.2.1/tcp/1");
        let error = DialError::WrongPeerId { obtained, address: a.clone() };
        let said = DialReason::of(&error, &a).to_string();
        assert_eq!(said, format!("another peer answers there: {obtained}"));
    }
}
