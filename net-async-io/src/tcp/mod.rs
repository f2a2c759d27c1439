//! TCP as a libp2p transport: dialling and listening, with nothing above it.

mod dial;
mod listener;
mod ports;
mod stream;

use std::future::Ready;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures::future::BoxFuture;
use futures::stream::{SelectAll, StreamExt as _};
use libp2p::Multiaddr;
use libp2p::core::Transport;
use libp2p::core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};

use crate::address::tcp_socket_address;
use listener::Listener;
use ports::ListenPorts;

pub(crate) use dial::connect;
pub use stream::TcpStream;

type Event = TransportEvent<Ready<io::Result<TcpStream>>, io::Error>;

/// Plain TCP. Listens on any number of addresses; port 0 lets the system choose, and an unspecified
/// IP address follows the machine's interfaces as they come and go.
///
/// As libp2p asks of a transport that reuses ports, a dial leaves from a port that is listened on, so
/// that other peers see an address they could dial. Unix only: elsewhere such a bind is refused or
/// unsafe, and a dial leaves from a fresh port.
#[derive(Debug, Default)]
pub struct TcpTransport {
    listeners: SelectAll<Listener>,
    ports: ListenPorts,
    /// The task to wake when a listener is added: an empty `listeners` wakes nobody.
    waker: Option<Waker>,
}

impl TcpTransport {
    /// A transport that listens nowhere yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Transport for TcpTransport {
    type Output = TcpStream;
    type Error = io::Error;
    type ListenerUpgrade = Ready<io::Result<TcpStream>>;
    type Dial = BoxFuture<'static, io::Result<TcpStream>>;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<io::Error>> {
        let socket_address =
            tcp_socket_address(&address).ok_or(TransportError::MultiaddrNotSupported(address))?;
        let listener = Listener::bind(id, socket_address, self.ports.clone())
            .map_err(TransportError::Other)?;
        self.listeners.push(listener);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        let listener = self.listeners.iter_mut().find(|listener| listener.id() == id);
        listener.map(Listener::close).is_some()
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        match tcp_socket_address(&address) {
            Some(remote) if remote.port() != 0 && !remote.ip().is_unspecified() => {
                Ok(Box::pin(connect(remote, options.port_use, self.ports.clone())))
            }
            _ => Err(TransportError::MultiaddrNotSupported(address)),
        }
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Event> {
        if let Poll::Ready(Some(event)) = self.listeners.poll_next_unpin(cx) {
            return Poll::Ready(event);
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}
