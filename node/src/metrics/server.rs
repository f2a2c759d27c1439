//! Serves the metrics over HTTP, on the sockets of the node's runtime.
//!
//! Everything is bounded: connections at a time, the bytes of a request, the time that one may take. A connection is for
//! one request. Whoever connects while there are enough waits until one ends.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{BoxFuture, Either, FutureExt as _, select};
use futures::io::{AsyncReadExt as _, AsyncWriteExt as _};
use futures::stream::{FuturesUnordered, StreamExt as _};
use libp2p::Multiaddr;
use libp2p::core::transport::{Boxed, ListenerId, Transport, TransportEvent};
use libp2p::multiaddr::Protocol;

use super::Metrics;
use super::http::{self, Asked, HEAD_MAX};
use crate::error::ListenError;
use crate::runtime::{ByteStream, Runtime as _};
use crate::trace::log;

/// Connections at a time.
const CONNECTIONS_MAX: usize = 8;

/// The longest that a request and its answer may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves a node's metrics until it is dropped; made by [`Metrics::serve`].
#[derive(Debug)]
pub struct MetricsServer {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl MetricsServer {
    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the metrics are.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, http::PATH)
    }
}

impl Metrics {
    /// Serves them over HTTP at `/metrics`, on the node's runtime; port 0 is any free one. Whoever can connect there can
    /// read them: they tell how much is moved, and name no peer and no file. At most 8 connections at a time are answered,
    /// each with one request of at most 8 KiB within ten seconds.
    ///
    /// # Errors
    ///
    /// When the address cannot be listened on.
    pub async fn serve(self, address: SocketAddr) -> Result<MetricsServer, ListenError> {
        let mut sockets = self.node.runtime().tcp();
        let at = Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port()));
        let id = ListenerId::next();
        let refused = |reason| ListenError::Transport { address: at.clone(), reason };
        sockets.listen_on(id, at.clone()).map_err(refused)?;
        let address = loop {
            match next(&mut sockets).await {
                TransportEvent::NewAddress { listen_addr, .. } => break socket(&listen_addr),
                TransportEvent::ListenerClosed { reason, .. } => {
                    return Err(ListenError::Closed { address: at, reason: reason.err() });
                }
                _ => {}
            }
        };
        let address = address.ok_or(ListenError::Closed { address: at, reason: None })?;
        let (stop, stopped) = oneshot::channel();
        let runtime = self.node.runtime().clone();
        runtime.spawn(Box::pin(async move {
            // It is told nothing: its other end is dropped.
            select(stopped, serving(self, sockets).boxed()).await;
        }));
        Ok(MetricsServer { address, _stop: stop })
    }
}

/// The address of a listener, in the terms of sockets.
fn socket(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::V4(ip),
        Protocol::Ip6(ip) => IpAddr::V6(ip),
        _ => return None,
    };
    match parts.next()? {
        Protocol::Tcp(port) => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}

type Event = TransportEvent<<Boxed<ByteStream> as Transport>::ListenerUpgrade, io::Error>;

async fn next(sockets: &mut Boxed<ByteStream>) -> Event {
    std::future::poll_fn(|cx| Pin::new(&mut *sockets).poll(cx)).await
}

/// Answers until its listener closes.
async fn serving(metrics: Metrics, mut sockets: Boxed<ByteStream>) {
    let mut connections: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
    loop {
        let is_full = connections.len() >= CONNECTIONS_MAX;
        let accept = match is_full {
            true => Either::Left(std::future::pending()),
            false => Either::Right(next(&mut sockets)),
        };
        futures::select! {
            () = connections.select_next_some() => {}
            event = accept.fuse() => match event {
                TransportEvent::Incoming { upgrade, .. } => {
                    let answered = answered(metrics.clone(), upgrade);
                    let timeout = metrics.node.runtime().sleep(REQUEST_TIMEOUT);
                    connections.push(select(answered.boxed(), timeout).map(|_| ()).boxed());
                }
                TransportEvent::ListenerClosed { .. } => return,
                _ => {}
            },
        }
    }
}

/// Answers one connection.
async fn answered(metrics: Metrics, connecting: impl Future<Output = io::Result<ByteStream>>) {
    let served = async {
        let mut stream = connecting.await?;
        let answer = match read(&mut stream).await? {
            Asked::Unfinished => return Ok(()),
            Asked::Refused(status, reason) => http::refusal(status, reason),
            Asked::Metrics { body } => match metrics.to_text().await {
                Ok(text) => http::metrics(&text, body),
                Err(_) => http::refusal(503, "Service Unavailable"),
            },
        };
        stream.write_all(answer.as_bytes()).await?;
        stream.close().await
    };
    let served: io::Result<()> = served.await;
    if let Err(error) = served {
        log!(debug, "a request for the metrics was not answered", error = error);
    }
}

/// Reads the head of a request. Unfinished when the connection ends within it.
async fn read(stream: &mut ByteStream) -> io::Result<Asked> {
    let mut head = vec![0; HEAD_MAX];
    let mut len = 0;
    loop {
        let read = stream.read(&mut head[len..]).await?;
        if read == 0 {
            return Ok(Asked::Unfinished);
        }
        len += read;
        match http::asked(&head[..len]) {
            Asked::Unfinished => {}
            asked => return Ok(asked),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_has_an_address_of_tcp() {
        let of = |text: &str| socket(&text.parse().unwrap()).map(|it| it.to_string());
        assert_eq!(of("/ip4/127.0.0.1/tcp/80").as_deref(), Some("127.0.0.1:80"));
        assert_eq!(of("/ip6/::1/tcp/9000").as_deref(), Some("[::1]:9000"));
        for other in ["/ip4/127.0.0.1", "/ip4/127.0.0.1/udp/80", "/dns/localhost/tcp/80", "/tcp/80"]
        {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
