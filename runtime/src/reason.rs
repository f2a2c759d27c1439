//! Why the network refused something, for people: without what libp2p wraps it in.

use std::io;

use libp2p::core::transport::TransportError;
use libp2p::swarm::DialError;

/// Why a dial failed: of several addresses, each with its reason.
pub(crate) fn of_dial(error: &DialError) -> String {
    match error {
        DialError::Transport(errors) if !errors.is_empty() => {
            let reasons =
                errors.iter().map(|(address, error)| format!("{address}: {}", of_transport(error)));
            reasons.collect::<Vec<_>>().join("; ")
        }
        DialError::WrongPeerId { obtained, address } => {
            format!("another peer is at {address} now, {obtained}")
        }
        DialError::Aborted => "the attempt was aborted".to_owned(),
        other => other.to_string(),
    }
}

/// Why a transport did nothing.
pub(crate) fn of_transport(error: &TransportError<io::Error>) -> String {
    match error {
        TransportError::MultiaddrNotSupported(_) => {
            "this node has no transport for such an address".to_owned()
        }
        TransportError::Other(error) => error.to_string(),
    }
}

/// What kind of error of the operating system lies in this one. The layers of a transport wrap it in
/// types that do not all give their source, but all say its number.
pub(crate) fn kind(error: &io::Error) -> io::ErrorKind {
    let text = error.to_string();
    let number = text.rsplit_once("(os error ").and_then(|(_, rest)| rest.split(')').next());
    let code = error.raw_os_error().or_else(|| number?.parse().ok());
    code.map_or_else(|| error.kind(), |code| io::Error::from_raw_os_error(code).kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_what_the_system_said_is_found_under_what_wraps_it() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = std::net::TcpListener::bind(taken.local_addr().unwrap()).unwrap_err();
        assert_eq!(kind(&taken), io::ErrorKind::AddrInUse);
        let wrapped = io::Error::other(format!("layer: {taken}"));
        assert_eq!(kind(&wrapped), io::ErrorKind::AddrInUse);
        let other = io::Error::other("no such name");
        assert_eq!(kind(&other), io::ErrorKind::Other);
        assert_eq!(of_transport(&TransportError::Other(other)), "no such name");
    }
}
