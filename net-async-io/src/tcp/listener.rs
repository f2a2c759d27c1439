//! One listening socket and the interfaces it is reachable on, as a stream of events.

use std::collections::BTreeSet;
use std::future::{Future as _, ready};
use std::io;
use std::net::{self, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use async_io::{Async, Timer};
use futures::stream::Stream;
use if_watch::IfEvent;
use if_watch::smol::IfWatcher;
use libp2p::core::transport::{ListenerId, TransportEvent};

use super::Event;
use super::dial::{reuse_address, share_port, socket};
use super::ports::ListenPorts;
use super::stream::TcpStream;
use crate::address::tcp_multiaddress;

/// Connections that the system holds ready before they are accepted.
const BACKLOG: i32 = 1024;

/// The pause after a failed accept. What fails is mostly the want of file descriptors, and to try
/// again at once would only burn the processor until one is free.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Listener {
    id: ListenerId,
    socket: Async<net::TcpListener>,
    bound: SocketAddr,
    reach: Reach,
    /// Set while accepting rests after an error.
    pause: Option<Timer>,
    ports: ListenPorts,
    state: State,
    /// The task to wake when the listener is closed from outside.
    waker: Option<Waker>,
}

/// The addresses that a listener announces.
#[derive(Debug)]
enum Reach {
    /// The one that it is bound to, announced already or not.
    Fixed { announced: bool },
    /// Those of the machine's interfaces that are up. Without a watcher, those that were up when
    /// it failed.
    Interfaces { watcher: Option<Box<IfWatcher>>, up: BTreeSet<SocketAddr> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Closed, and nobody was told.
    Closing,
    Closed,
}

impl Listener {
    pub(super) fn bind(id: ListenerId, to: SocketAddr, ports: ListenPorts) -> io::Result<Self> {
        let socket = socket(to)?;
        reuse_address(&socket)?;
        socket.bind(&to.into())?;
        socket.listen(BACKLOG)?;
        // Dials may leave from the port. Not before it is listened on: a port that another program
        // listens on, and shares, would then be shared too, and half of our connections be lost to it.
        share_port(&socket)?;
        let socket: net::TcpListener = socket.into();
        let bound = socket.local_addr()?;
        let reach = if bound.ip().is_unspecified() {
            Reach::Interfaces { watcher: Some(Box::new(IfWatcher::new()?)), up: BTreeSet::new() }
        } else {
            Reach::Fixed { announced: false }
        };
        let socket = Async::new(socket)?;
        Ok(Self { id, socket, bound, reach, pause: None, ports, state: State::Open, waker: None })
    }

    pub(super) const fn id(&self) -> ListenerId {
        self.id
    }

    /// Stops. The last event says so.
    pub(super) fn close(&mut self) {
        if self.state == State::Open {
            self.state = State::Closing;
            self.forget_ports();
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn forget_ports(&self) {
        match &self.reach {
            Reach::Fixed { .. } => self.ports.remove(self.bound),
            Reach::Interfaces { up, .. } => {
                up.iter().for_each(|address| self.ports.remove(*address));
            }
        }
    }

    fn poll_addresses(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let listener_id = self.id;
        match &mut self.reach {
            Reach::Fixed { announced: true } => Poll::Pending,
            Reach::Fixed { announced } => {
                *announced = true;
                self.ports.add(self.bound);
                let listen_addr = tcp_multiaddress(self.bound);
                Poll::Ready(TransportEvent::NewAddress { listener_id, listen_addr })
            }
            Reach::Interfaces { watcher, up } => loop {
                let Some(running) = watcher else { return Poll::Pending };
                match ready!(running.poll_if_event(cx)) {
                    Ok(IfEvent::Up(net)) => {
                        let address = SocketAddr::new(net.addr(), self.bound.port());
                        if address.is_ipv4() != self.bound.is_ipv4() || !up.insert(address) {
                            continue;
                        }
                        self.ports.add(address);
                        let listen_addr = tcp_multiaddress(address);
                        return Poll::Ready(TransportEvent::NewAddress {
                            listener_id,
                            listen_addr,
                        });
                    }
                    Ok(IfEvent::Down(net)) => {
                        let address = SocketAddr::new(net.addr(), self.bound.port());
                        if !up.remove(&address) {
                            continue;
                        }
                        self.ports.remove(address);
                        let listen_addr = tcp_multiaddress(address);
                        return Poll::Ready(TransportEvent::AddressExpired {
                            listener_id,
                            listen_addr,
                        });
                    }
                    Err(error) => {
                        *watcher = None;
                        return Poll::Ready(TransportEvent::ListenerError { listener_id, error });
                    }
                }
            },
        }
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            match self.socket.get_ref().accept() {
                Ok((stream, from)) => return Poll::Ready(self.incoming(stream, from)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match self.socket.poll_readable(cx) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(error)) => return Poll::Ready(self.failed(error)),
                        Poll::Pending => return Poll::Pending,
                    }
                }
                Err(error) => return Poll::Ready(self.failed(error)),
            }
        }
    }

    fn incoming(&self, stream: net::TcpStream, from: SocketAddr) -> Event {
        // A connection that is gone already fails by itself; the listener is as well as before.
        let local = stream.local_addr().unwrap_or(self.bound);
        TransportEvent::Incoming {
            listener_id: self.id,
            upgrade: ready(Async::new(stream).and_then(TcpStream::new)),
            local_addr: tcp_multiaddress(local),
            send_back_addr: tcp_multiaddress(from),
        }
    }

    fn failed(&mut self, error: io::Error) -> Event {
        self.pause = Some(Timer::after(PAUSE_AFTER_ERROR));
        TransportEvent::ListenerError { listener_id: self.id, error }
    }
}

impl Stream for Listener {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        match self.state {
            State::Open => {}
            State::Closing => {
                self.state = State::Closed;
                let closed =
                    TransportEvent::ListenerClosed { listener_id: self.id, reason: Ok(()) };
                return Poll::Ready(Some(closed));
            }
            State::Closed => return Poll::Ready(None),
        }
        self.waker = Some(cx.waker().clone());
        if let Poll::Ready(event) = self.poll_addresses(cx) {
            return Poll::Ready(Some(event));
        }
        if let Some(pause) = &mut self.pause {
            ready!(Pin::new(pause).poll(cx));
            self.pause = None;
        }
        self.poll_accept(cx).map(Some)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.forget_ports();
    }
}
