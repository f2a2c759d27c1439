//! TCP whose listeners have their ports for themselves.
//!
//! libp2p's TCP lets other sockets of this user listen on its ports too, so that dials can leave from
//! them. Two programs that listen on one port then both succeed, and each gets half of the connections
//! meant for the other. So a port is claimed first, by a listener that shares it with nobody.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bitswap_node::ByteStream;
use libp2p::Multiaddr;
use libp2p::core::transport::{
    Boxed, DialOpts, ListenerId, PortUse, Transport, TransportError, TransportEvent,
};
use libp2p::multiaddr::Protocol;
use socket2::{Domain, Socket, Type};

use crate::zone;

/// Whether a dial may leave from a port that is listened on. On Windows the bind fails, and letting
/// it succeed there would let any program of the machine take over the listener's port.
const CAN_REUSE_PORTS: bool =
    cfg!(all(unix, not(any(target_os = "solaris", target_os = "illumos"))));

/// From which port a dial leaves.
const fn port_use(wished: PortUse, can_reuse: bool) -> PortUse {
    if can_reuse { wished } else { PortUse::New }
}

/// A TCP transport that listens only on ports on which nobody else does.
pub(crate) struct Exclusive(Boxed<ByteStream>);

impl Exclusive {
    pub(crate) const fn new(tcp: Boxed<ByteStream>) -> Self {
        Self(tcp)
    }
}

impl Transport for Exclusive {
    type Output = ByteStream;
    type Error = io::Error;
    type ListenerUpgrade = <Boxed<ByteStream> as Transport>::ListenerUpgrade;
    type Dial = <Boxed<ByteStream> as Transport>::Dial;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<io::Error>> {
        let claim = match socket_address(&address) {
            // The system chooses a port that nobody has.
            Some(to) if to.port() != 0 => Some(claim(to).map_err(TransportError::Other)?),
            _ => None,
        };
        // Where a socket that listens is not shared after the fact, the claim makes way first.
        let claim = if cfg!(unix) { claim } else { None };
        let listening = self.0.listen_on(id, address);
        drop(claim);
        listening
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.0.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        if let Some(dial) = zone::dial(&address) {
            return Ok(dial);
        }
        let port_use = port_use(options.port_use, CAN_REUSE_PORTS);
        self.0.dial(address, DialOpts { port_use, ..options })
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        Pin::new(&mut self.0).poll(cx)
    }
}

/// Listens on an address that nobody listens on, and from then on lets sockets of this user share it,
/// if they ask for that. Two programs that try at once do not both succeed: listening decides.
fn claim(to: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    if to.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of an earlier run that linger do not count as listening. (On Windows they do not
    // anyway, and the option would take the port from whoever has it.)
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&to.into())?;
    socket.listen(1)?;
    #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
    socket.set_reuse_port(true)?;
    Ok(socket)
}

fn socket_address(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    match (parts.next()?, parts.next()?) {
        (Protocol::Ip4(ip), Protocol::Tcp(port)) => Some((ip, port).into()),
        (Protocol::Ip6(ip), Protocol::Tcp(port)) => Some((ip, port).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_reused_for_dials_only_where_that_can_be() {
        for wished in [PortUse::New, PortUse::Reuse] {
            assert_eq!(port_use(wished, true), wished);
            assert_eq!(port_use(wished, false), PortUse::New);
        }
        let has_shared_ports =
            cfg!(unix) && !cfg!(target_os = "solaris") && !cfg!(target_os = "illumos");
        assert_eq!(CAN_REUSE_PORTS, has_shared_ports);
    }
}
