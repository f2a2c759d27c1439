//! WebSocket over a runtime's TCP, so that whoever only gets through a web server's port, or is a browser,
//! can be talked to.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{
    Boxed, DialOpts, ListenerId, Transport, TransportError, TransportEvent,
};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, websocket};

use crate::runtime::ByteStream;
use crate::wss::Wss;

/// The longest message of a WebSocket that is taken, in bytes: what carries noise has 64 KiB.
const MESSAGE_MAX: usize = 1 << 20;

/// `/ws` both ways, `/wss` to dial, and to listen on with a certificate; without one the transport takes no such address.
///
/// # Errors
///
/// When the certificates are refused.
pub(crate) fn transport(tcp: Boxed<ByteStream>, wss: &Wss) -> io::Result<Boxed<ByteStream>> {
    let mut websocket = websocket::Config::new(tcp);
    websocket.set_max_data_size(MESSAGE_MAX).set_tls_config(wss.tls()?);
    Ok(websocket.map(|socket, _| Box::pin(socket) as ByteStream).boxed())
}

/// Keeps the name of the host, which its certificate is for, in addresses whose names are resolved below.
pub(crate) struct WithHostName(pub(crate) Boxed<(PeerId, StreamMuxerBox)>);

impl Transport for WithHostName {
    type Output = (PeerId, StreamMuxerBox);
    type Error = io::Error;
    type ListenerUpgrade = <Boxed<Self::Output> as Transport>::ListenerUpgrade;
    type Dial = <Boxed<Self::Output> as Transport>::Dial;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<Self::Error>> {
        self.0.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.0.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<Self::Error>> {
        self.0.dial(with_host_name(&address), options)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        Pin::new(&mut self.0).poll(cx)
    }
}

/// `/dns4/HOST/tcp/443/wss` as `/dns4/HOST/tcp/443/tls/sni/HOST/ws`; every other address as it is.
fn with_host_name(address: &Multiaddr) -> Multiaddr {
    let (mut named, mut host) = (Multiaddr::empty(), None::<String>);
    for part in address {
        match (part, &host) {
            (Protocol::Wss(path), Some(host)) => {
                named.push(Protocol::Tls);
                named.push(Protocol::Sni(host.into()));
                named.push(Protocol::Ws(path));
            }
            (Protocol::Ws(path), Some(host)) => {
                if named.iter().last() == Some(Protocol::Tls) {
                    named.push(Protocol::Sni(host.into()));
                }
                named.push(Protocol::Ws(path));
            }
            (part, _) => {
                if let Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) = &part {
                    host = Some(name.clone().into_owned());
                }
                named.push(part);
            }
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_keeps_its_name_where_a_certificate_is_for_it() {
        let peer = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
        for (address, expected) in [
            ("/dns4/a.test/tcp/443/wss", "/dns4/a.test/tcp/443/tls/sni/a.test/ws"),
            ("/dns/a.test/tcp/443/tls/ws", "/dns/a.test/tcp/443/tls/sni/a.test/ws"),
            ("/dns4/a.test/tcp/443/tls/sni/b.test/ws", "/dns4/a.test/tcp/443/tls/sni/b.test/ws"),
            ("/dns4/a.test/tcp/80/ws", "/dns4/a.test/tcp/80/ws"),
            ("/ip4/192.0.2.1/tcp/443/wss", "/ip4/192.0.2.1/tcp/443/wss"),
            ("/dns4/a.test/tcp/4001", "/dns4/a.test/tcp/4001"),
        ] {
            for end in ["", &format!("/p2p/{peer}")] {
                let address: Multiaddr = format!("{address}{end}").parse().unwrap();
                let expected: Multiaddr = format!("{expected}{end}").parse().unwrap();
                assert_eq!(with_host_name(&address), expected);
            }
        }
    }
}
