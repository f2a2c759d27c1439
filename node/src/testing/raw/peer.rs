//! A peer without a node: it speaks TCP, noise and yamux, and above that what a test wants.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::channel::{mpsc, oneshot};
use futures::io::{AsyncReadExt as _, AsyncWriteExt as _};
use futures::{FutureExt as _, SinkExt as _, Stream as _, StreamExt as _};
use libp2p::core::Endpoint;
use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt as _, SubstreamBox};
use libp2p::core::transport::{DialOpts, PortUse, Transport as _};
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, noise};

use crate::multiplex::{Accounts, Multiplex};
use crate::runtime::Runtime;

/// What either side of a stream says until both know that it is for Bitswap.
pub(super) const BITSWAP: &[u8] = b"\x13/multistream/1.0.0\n\x14/ipfs/bitswap/1.2.0\n";

/// How much of it is said of the negotiation itself.
pub(super) const MULTISTREAM: usize = 20;

/// One connection. It closes at once when this is dropped.
pub(super) struct RawPeer {
    opens: mpsc::Sender<oneshot::Sender<SubstreamBox>>,
    /// Streams that the other side opened; none of them is read.
    inbound: mpsc::UnboundedReceiver<SubstreamBox>,
    _open: oneshot::Sender<()>,
}

impl RawPeer {
    /// Connects, as somebody new.
    pub(super) async fn dial(runtime: &Arc<dyn Runtime>, address: &Multiaddr) -> io::Result<Self> {
        Self::dial_as(&Keypair::generate_ed25519(), runtime, address).await
    }

    /// Connects, as the owner of a key.
    pub(super) async fn dial_as(
        key: &Keypair,
        runtime: &Arc<dyn Runtime>,
        address: &Multiaddr,
    ) -> io::Result<Self> {
        let noise = noise::Config::new(key).map_err(io::Error::other)?;
        let mut transport = runtime
            .tcp()
            .upgrade(Version::V1Lazy)
            .authenticate(noise)
            .multiplex_ext(|node, _| Multiplex::with(&Accounts::default(), *node))
            .boxed();
        let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
        let dial = transport.dial(address.clone(), options).map_err(io::Error::other)?;
        let (_, muxer) = dial.await?;
        let (opens, asked) = mpsc::channel(1);
        #[expect(clippy::disallowed_methods, reason = "the node opens a few")]
        let (accepted, inbound) = mpsc::unbounded();
        let (open, closed) = oneshot::channel();
        let mut drive = Drive { muxer, asked, opening: None, accepted };
        runtime.spawn(Box::pin(async move {
            let driven = poll_fn(|cx| drive.poll(cx));
            futures::future::select(driven, closed).await;
        }));
        Ok(Self { opens, inbound, _open: open })
    }

    /// Opens a stream on which nothing was said yet.
    pub(super) async fn open_bare(&mut self) -> io::Result<SubstreamBox> {
        let (answer, answered) = oneshot::channel();
        self.opens.send(answer).await.map_err(io::Error::other)?;
        answered.await.map_err(io::Error::other)
    }

    /// Opens a stream for Bitswap.
    pub(super) async fn open(&mut self) -> io::Result<SubstreamBox> {
        let mut stream = self.open_bare().await?;
        stream.write_all(BITSWAP).await?;
        stream.flush().await?;
        read_greeting(&mut stream).await?;
        Ok(stream)
    }

    /// Takes the next stream that the node opens for Bitswap.
    pub(super) async fn accept(&mut self) -> io::Result<SubstreamBox> {
        loop {
            let closed = || io::Error::from(io::ErrorKind::ConnectionAborted);
            let mut stream = self.inbound.next().await.ok_or_else(closed)?;
            // Identify and the like are of no interest here.
            if read_greeting(&mut stream).await.is_ok() {
                stream.write_all(BITSWAP).await?;
                stream.flush().await?;
                return Ok(stream);
            }
        }
    }

    /// Whether the other side has not closed the connection yet.
    pub(super) fn is_open(&self) -> bool {
        !self.opens.is_closed()
    }
}

async fn read_greeting(stream: &mut SubstreamBox) -> io::Result<()> {
    // The version of the negotiation, then a length and a name that may be a shorter one.
    let mut said = vec![0; MULTISTREAM + 1];
    stream.read_exact(&mut said).await?;
    let name = said.len();
    said.resize(name + usize::from(said[MULTISTREAM]), 0);
    stream.read_exact(&mut said[name..]).await?;
    if said == BITSWAP { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// The task of a connection.
struct Drive {
    muxer: StreamMuxerBox,
    asked: mpsc::Receiver<oneshot::Sender<SubstreamBox>>,
    opening: Option<oneshot::Sender<SubstreamBox>>,
    accepted: mpsc::UnboundedSender<SubstreamBox>,
}

impl Drive {
    /// Ends with the connection.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Poll::Ready(Err(_)) = self.muxer.poll_unpin(cx) {
                return Poll::Ready(());
            }
            match self.muxer.poll_inbound_unpin(cx) {
                Poll::Ready(Ok(stream)) => {
                    let _ = self.accepted.unbounded_send(stream);
                    continue;
                }
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {}
            }
            if self.opening.is_none() {
                self.opening = ready!(Pin::new(&mut self.asked).poll_next(cx));
                if self.opening.is_none() {
                    return Poll::Ready(());
                }
            }
            match ready!(self.muxer.poll_outbound_unpin(cx)) {
                Ok(stream) => {
                    if let Some(answer) = self.opening.take() {
                        let _ = answer.send(stream);
                    }
                }
                Err(_) => return Poll::Ready(()),
            }
        }
    }
}

/// What a stream takes without waiting: it is flushed, and the rest not written.
pub(super) async fn write_what_is_taken(
    stream: &mut SubstreamBox,
    mut bytes: &[u8],
) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes).now_or_never() {
            Some(written) => bytes = bytes.get(written?..).unwrap_or_default(),
            None => break,
        }
    }
    // Pending when the other side takes nothing: what matters was said.
    stream.flush().now_or_never().unwrap_or(Ok(()))
}
