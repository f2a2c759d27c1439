//! A peer made by hand: a connection without a swarm, whose streams say what a test wants.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use bitswap_core::Message;
use bitswap_core::Version;
use bitswap_core::message::{FrameDecoder, decode};
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt, SubstreamBox};
use libp2p::core::transport::{DialOpts, PortUse};
use libp2p::core::{Endpoint, Transport};
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId};
use multistream_select::{Negotiated, dialer_select_proto, listener_select_proto};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::host::transport;
use super::soon;

/// One connection.
pub(crate) struct RawPeer {
    pub(crate) id: PeerId,
    opens: mpsc::Sender<oneshot::Sender<SubstreamBox>>,
    inbound: mpsc::Receiver<SubstreamBox>,
    task: JoinHandle<()>,
}

impl RawPeer {
    pub(crate) async fn dial(address: &Multiaddr) -> Self {
        Self::dial_as(&Keypair::generate_ed25519(), address).await
    }

    /// Connects under a given identity, so that a peer can have several connections.
    pub(crate) async fn dial_as(key: &Keypair, address: &Multiaddr) -> Self {
        let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
        let dial = transport(key).dial(address.clone(), options).unwrap();
        let (_, muxer) = soon("a connection", dial).await.unwrap();
        let (opens, asked) = mpsc::channel(1);
        let (accepted, inbound) = mpsc::channel(10_000);
        let task = tokio::spawn(drive(muxer, asked, accepted));
        Self { id: key.public().to_peer_id(), opens, inbound, task }
    }

    /// Opens a stream on which nothing was negotiated.
    pub(crate) async fn open_bare(&self) -> SubstreamBox {
        let (answer, answered) = oneshot::channel();
        self.opens.send(answer).await.unwrap();
        soon("a stream", answered).await.unwrap()
    }

    /// Opens a stream for a version.
    pub(crate) async fn open(&self, version: Version) -> Negotiated<SubstreamBox> {
        let stream = self.open_bare().await;
        let select =
            dialer_select_proto(stream, [version.protocol()], multistream_select::Version::V1);
        soon("negotiation", select).await.unwrap().1
    }

    /// The next stream the node opens, bare.
    pub(crate) async fn accept_bare(&mut self) -> SubstreamBox {
        soon("an inbound stream", self.inbound.recv()).await.unwrap()
    }

    /// Accepts the next stream, speaking only these versions.
    pub(crate) async fn accept(&mut self, versions: &[Version]) -> Option<RawStream> {
        let stream = self.accept_bare().await;
        let names: Vec<_> = versions.iter().map(|version| version.protocol()).collect();
        let select = listener_select_proto(stream, names.iter().copied());
        let (name, stream) = soon("negotiation", select).await.ok()?;
        Some(RawStream::new(stream, name.parse().unwrap()))
    }

    /// Closes the connection at once.
    pub(crate) fn hang_up(self) {}
}

impl Drop for RawPeer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Moves the muxer along.
async fn drive(
    mut muxer: StreamMuxerBox,
    mut asked: mpsc::Receiver<oneshot::Sender<SubstreamBox>>,
    accepted: mpsc::Sender<SubstreamBox>,
) {
    let mut opening: Option<oneshot::Sender<SubstreamBox>> = None;
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(Err(_)) = muxer.poll_unpin(cx) {
                return Poll::Ready(());
            }
            match muxer.poll_inbound_unpin(cx) {
                Poll::Ready(Ok(stream)) => {
                    accepted.try_send(stream).expect("a test takes its streams");
                    continue;
                }
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {}
            }
            if opening.is_none() {
                match pin!(asked.recv()).poll(cx) {
                    Poll::Ready(Some(answer)) => opening = Some(answer),
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
            match muxer.poll_outbound_unpin(cx) {
                Poll::Ready(Ok(stream)) => {
                    if let Some(answer) = opening.take() {
                        drop(answer.send(stream));
                    }
                }
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}

/// A stream that the node opened.
pub(crate) struct RawStream {
    pub(crate) version: Version,
    pub(crate) stream: Negotiated<SubstreamBox>,
    decoder: FrameDecoder,
}

impl RawStream {
    fn new(stream: Negotiated<SubstreamBox>, version: Version) -> Self {
        Self { version, stream, decoder: FrameDecoder::default() }
    }

    /// The next message, whose blocks are taken at their word; `None` at the end of the stream.
    pub(crate) async fn message(&mut self) -> Option<Message> {
        soon("a message", async {
            loop {
                if let Some(frame) = self.decoder.next_frame().unwrap() {
                    let decoded = decode(&frame).unwrap();
                    let mut message = decoded.message;
                    let payloads = decoded.payloads.into_iter();
                    message.add_blocks(payloads.map(|payload| payload.verify().unwrap()));
                    return Some(message);
                }
                let read = self.stream.read(self.decoder.buffer_mut()).await.ok()?;
                if read == 0 {
                    return None;
                }
                self.decoder.advance(read);
            }
        })
        .await
    }
}

/// Writes a message.
pub(crate) async fn send(stream: &mut Negotiated<SubstreamBox>, message: &Message) {
    let frame = message.encode(Version::V1_2);
    for segment in frame.into_segments() {
        soon("a write", stream.write_all(&segment)).await.unwrap();
    }
    soon("a flush", stream.flush()).await.unwrap();
}

/// Whether the other side resets the stream, and not merely ends it.
pub(crate) async fn is_reset(stream: &mut Negotiated<SubstreamBox>) -> bool {
    let mut end = [0; 1];
    match soon("the end of a stream", stream.read(&mut end)).await {
        Ok(0) => {
            // Yamux gives a reset as an end; only the other direction tells them apart.
            soon("a write", async {
                loop {
                    if stream.write_all(&[0]).await.is_err() || stream.flush().await.is_err() {
                        return true;
                    }
                    tokio::task::yield_now().await;
                }
            })
            .await
        }
        Ok(_) => false,
        Err(_) => true,
    }
}
