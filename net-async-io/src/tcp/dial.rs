//! Opening sockets, and connecting them.

use std::io;
use std::net::{self, SocketAddr};

use async_io::Async;
use libp2p::core::transport::PortUse;
use socket2::{Domain, Protocol, Socket, Type};

use super::ports::ListenPorts;
use super::stream::TcpStream;

/// Whether a dial may leave from a port that is listened on. On Windows the bind fails, and letting
/// it succeed there would let any program of the machine take over the listener's port.
const CAN_REUSE_PORTS: bool =
    cfg!(all(unix, not(any(target_os = "solaris", target_os = "illumos"))));

/// A socket that does not block.
pub(super) fn socket(family_of: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(family_of), Type::STREAM, Some(Protocol::TCP))?;
    if family_of.is_ipv6() {
        // IPv4 has its own listeners, and its own addresses to announce.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Lets the socket have a port that connections of an earlier run still linger on. (On Windows they do
/// not stand in the way, and the option would take the port from whoever has it.)
pub(super) fn reuse_address(socket: &Socket) -> io::Result<()> {
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    #[cfg(not(unix))]
    let _ = socket;
    Ok(())
}

/// Shares the socket's port with other sockets of this user that ask for it too.
pub(super) fn share_port(socket: &Socket) -> io::Result<()> {
    #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
    socket.set_reuse_port(true)?;
    #[cfg(not(all(unix, not(any(target_os = "solaris", target_os = "illumos")))))]
    let _ = socket;
    Ok(())
}

/// Connects to `remote`, from a port that is listened on where that is wished and possible.
pub(crate) async fn connect(
    remote: SocketAddr,
    port_use: PortUse,
    ports: ListenPorts,
) -> io::Result<TcpStream> {
    let local = match port_use {
        PortUse::Reuse if CAN_REUSE_PORTS => ports.for_dial(remote),
        _ => None,
    };
    let Some(local) = local else { return finish(start(remote, None)?).await };
    let stream = match start(remote, Some(local)) {
        Ok(stream) => finish(stream).await,
        Err(error) => Err(error),
    };
    match stream {
        // The pair of ports is taken, by a connection to the same peer or one that just closed.
        Err(error) if address_taken(&error) => finish(start(remote, None)?).await,
        done => done,
    }
}

/// Opens a socket and sends the first packet.
fn start(remote: SocketAddr, local: Option<SocketAddr>) -> io::Result<net::TcpStream> {
    let socket = socket(remote)?;
    if let Some(local) = local {
        reuse_address(&socket)?;
        share_port(&socket)?;
        socket.bind(&local.into())?;
    }
    match socket.connect(&remote.into()) {
        Err(error) if !in_progress(&error) => Err(error),
        _ => Ok(socket.into()),
    }
}

/// Waits until the socket is connected or refused.
async fn finish(socket: net::TcpStream) -> io::Result<TcpStream> {
    let socket = Async::new(socket)?;
    socket.writable().await?;
    match socket.get_ref().take_error()? {
        Some(error) => Err(error),
        None => TcpStream::new(socket),
    }
}

fn in_progress(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::EINPROGRESS) {
        return true;
    }
    error.kind() == io::ErrorKind::WouldBlock
}

fn address_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse)
}
