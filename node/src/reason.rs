//! Why the network refused something, for people: without what libp2p wraps it in.

use std::{fmt, io};

use libp2p::Multiaddr;
use libp2p::core::transport::TransportError;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::DialError;

use crate::dns_reason;
use crate::error_chain::ErrorChain;

/// What an address looks like that can be dialled.
const TO_DIAL: &str = "/ip4/192.0.2.1/tcp/4001/p2p/…";

/// What an address looks like that can be listened on.
const TO_LISTEN: &str = "/ip4/0.0.0.0/tcp/0";

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
            DialError::WrongPeerId { obtained, address } => match self.named {
                Some(_) => write!(f, "another peer answers there: {obtained}"),
                None => write!(f, "another peer answers at {address}: {obtained}"),
            },
            DialError::Denied { cause } => write!(f, "{}", ErrorChain(cause)),
            DialError::Transport(errors) => {
                for (at, (address, error)) in errors.iter().enumerate() {
                    if at > 0 {
                        f.write_str("; ")?;
                    }
                    if errors.len() > 1 || self.named.is_none() {
                        write!(f, "{address}: ")?;
                    }
                    f.write_str(&refusal(address, error, TO_DIAL))?;
                }
                Ok(())
            }
        }
    }
}

/// Displays why nothing listens on an address, and what to do about it. The message around it names the
/// address.
pub(crate) struct ListenReason<'a> {
    error: &'a TransportError<io::Error>,
    address: &'a Multiaddr,
}

impl<'a> ListenReason<'a> {
    pub(crate) const fn of(error: &'a TransportError<io::Error>, address: &'a Multiaddr) -> Self {
        Self { error, address }
    }
}

impl fmt::Display for ListenReason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.error {
            TransportError::Other(error) => Some(kind(error)),
            TransportError::MultiaddrNotSupported(_) => None,
        };
        match kind {
            Some(io::ErrorKind::AddrInUse) => f.write_str(
                "another program listens there already; choose another port, or 0 for any",
            ),
            Some(io::ErrorKind::AddrNotAvailable) => f.write_str(
                "this machine has no such address; choose one that it has, or 0.0.0.0 for all",
            ),
            kind => {
                f.write_str(&refusal(self.address, self.error, TO_LISTEN))?;
                if kind == Some(io::ErrorKind::PermissionDenied) {
                    f.write_str("; choose a port above 1023, or 0 for any")?;
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

/// What the resolvers say before the errors of each address that a name stands for, also when there is one.
const SEVERAL: (&str, &str) = ("Multiple dial errors occurred:\n - ", "\n - ");

/// What TLS says, in an error of no type up here, of a certificate that nobody vouches for whom it knows.
const UNKNOWN_ISSUER: &str = "invalid peer certificate: UnknownIssuer";

const NO_QUIC: &str = "this node has no QUIC, which needs the tokio runtime and a build with the \
                       feature `quic`; give a TCP address";

/// Why a transport did nothing with an address; `example` is one that it would have taken.
fn refusal(address: &Multiaddr, error: &TransportError<io::Error>, example: &str) -> String {
    if let Some(unsupported) = unsupported(address) {
        return unsupported.to_owned();
    }
    let is = |wanted: fn(&Protocol<'_>) -> bool| address.iter().any(|part| wanted(&part));
    let is_quic = is(|part| matches!(part, Protocol::QuicV1));
    if !is_quic && !is(|part| matches!(part, Protocol::Tcp(_) | Protocol::Dnsaddr(_))) {
        return format!("it says no port; an address looks like {example}");
    }
    match error {
        TransportError::Other(error) => {
            let text = ErrorChain(error).to_string();
            let text = match text.strip_prefix(SEVERAL.0) {
                Some(each) => {
                    let each: Vec<&str> = each.trim_end().split(SEVERAL.1).collect();
                    match dns_reason::of(error).filter(|_| each.len() == 1) {
                        Some(words) => words,
                        None => each.into_iter().map(in_words).collect::<Vec<_>>().join("; "),
                    }
                }
                None => dns_reason::of(error).unwrap_or_else(|| in_words(&text)),
            };
            let is_taken = !NOT_TAKEN.iter().any(|not_taken| text.contains(not_taken));
            if is_quic && !is_taken { NO_QUIC.to_owned() } else { text }
        }
        TransportError::MultiaddrNotSupported(_) if is_quic => NO_QUIC.to_owned(),
        TransportError::MultiaddrNotSupported(_) => {
            format!("it is no address of this kind; one looks like {example}")
        }
    }
}

fn in_words(text: &str) -> String {
    if text.contains(UNKNOWN_ISSUER) {
        return "the certificate there is of an authority that is not believed here; if it is to be, start the node \
                with the authority's own certificate"
            .to_owned();
    }
    dns_reason::in_words(text).unwrap_or_else(|| text.to_owned())
}

/// Why no build has a transport for an address of this kind.
fn unsupported(address: &Multiaddr) -> Option<&'static str> {
    let is = |wanted: fn(&Protocol<'_>) -> bool| address.iter().any(|part| wanted(&part));
    Some(if is(|part| matches!(part, Protocol::P2pCircuit)) {
        "relayed connections are not supported; give a direct address"
    } else if is(|part| matches!(part, Protocol::WebTransport)) {
        "WebTransport is not supported; give a TCP address"
    } else if is(|part| matches!(part, Protocol::WebRTC | Protocol::WebRTCDirect)) {
        "WebRTC is not supported; give a TCP address"
    } else if !cfg!(feature = "websocket")
        && is(|part| matches!(part, Protocol::Ws(_) | Protocol::Wss(_)))
    {
        "this build has no WebSocket, which needs the feature `websocket`; give a plain TCP address"
    } else if is(|part| matches!(part, Protocol::Quic)) {
        "this draft of QUIC is not supported; give a /quic-v1 or a TCP address"
    } else if is(|part| matches!(part, Protocol::Onion(..) | Protocol::Onion3(_))) {
        "Tor is not supported; give a TCP address"
    } else if is(|part| matches!(part, Protocol::Unix(_))) {
        "Unix sockets are not supported; give a TCP address"
    } else if is(|part| matches!(part, Protocol::Udp(_)))
        && !is(|part| matches!(part, Protocol::Tcp(_) | Protocol::QuicV1 | Protocol::Dnsaddr(_)))
    {
        "plain UDP is not supported; give a TCP address"
    } else {
        return None;
    })
}

/// What kind of error of the operating system lies in this one. The layers of a transport wrap it in
/// types that do not all give their source, but all say its number.
fn kind(error: &io::Error) -> io::ErrorKind {
    let text = error.to_string();
    let number = text.rsplit_once("(os error ").and_then(|(_, rest)| rest.split(')').next());
    let code = error.raw_os_error().or_else(|| number?.parse().ok());
    code.map_or_else(|| error.kind(), |code| io::Error::from_raw_os_error(code).kind())
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

    #[cfg(not(feature = "websocket"))]
    #[test]
    fn a_build_without_websocket_says_so() {
        for text in ["/dns4/example.test/tcp/443/wss", "/ip4/127.0.0.1/tcp/0/ws"] {
            let address = address(text);
            let error = TransportError::MultiaddrNotSupported(address.clone());
            let said = ListenReason::of(&error, &address).to_string();
            assert!(said.contains("feature `websocket`"), "{text}: {said}");
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
    fn a_host_that_does_not_exist_is_called_that_whatever_wraps_the_error() {
        let query = "no records found for Query { name: Name(\"a.test.\"), query_type: A, x: 1 }";
        let a = address("/dns4/a.test/tcp/1");
        let several = format!("{}{query}{}refused\n", SEVERAL.0, SEVERAL.1);
        let host = "no such host: the DNS has no IPv4 address of a.test";
        for (text, expected) in [(query, host), (&several, &format!("{host}; refused"))] {
            let error = TransportError::Other(io::Error::other(text.to_owned()));
            let error = DialError::Transport(vec![(a.clone(), error)]);
            assert_eq!(DialReason::of(&error, &a).to_string(), expected);
        }
    }

    #[test]
    fn another_peer_behind_an_address_is_named() {
        let obtained = PeerId::random();
        let a = address("/ip4/192.0.2.1/tcp/1");
        let error = DialError::WrongPeerId { obtained, address: a.clone() };
        let said = DialReason::of(&error, &a).to_string();
        assert_eq!(said, format!("another peer answers there: {obtained}"));
        let said = DialReason::of_any(&error).to_string();
        assert_eq!(said, format!("another peer answers at {a}: {obtained}"));
    }

    #[test]
    fn an_address_that_cannot_be_listened_on_says_what_to_do() {
        let unsupported = |text: &str| TransportError::MultiaddrNotSupported(address(text));
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let free = TransportError::Other(io::Error::from(io::ErrorKind::AddrNotAvailable));
        for (text, error, reason) in [
            ("/ip4/127.0.0.1/tcp/80", TransportError::Other(denied), "a port above 1023"),
            ("/ip4/192.0.2.1/tcp/1", free, "has no such address"),
            ("/ip4/127.0.0.1", unsupported("/ip4/127.0.0.1"), "looks like /ip4/0.0.0.0/tcp/0"),
            ("/tcp/1/ip4/127.0.0.1", unsupported("/tcp/1"), "looks like /ip4/0.0.0.0/tcp/0"),
            ("/ip4/127.0.0.1/udp/0/quic-v1", unsupported("/udp/1"), "no QUIC"),
        ] {
            let address = address(text);
            let said = ListenReason::of(&error, &address).to_string();
            assert!(said.contains(reason), "{text}: {said}");
        }
    }

    #[test]
    fn the_kind_of_what_the_system_said_is_found_under_what_wraps_it() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = std::net::TcpListener::bind(taken.local_addr().unwrap()).unwrap_err();
        assert_eq!(kind(&taken), io::ErrorKind::AddrInUse);
        let wrapped = io::Error::other(format!("layer: {taken}"));
        assert_eq!(kind(&wrapped), io::ErrorKind::AddrInUse);
        let other = io::Error::other("no such name");
        assert_eq!(kind(&other), io::ErrorKind::Other);
    }
}
