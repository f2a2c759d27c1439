//! QUIC, with streams whose sender wants no answer.
//!
//! Older go-libp2p opens a stream, says the protocol and the message in one breath, and closes the stream
//! for reading too; over QUIC that tells us to stop sending. The confirmation of the protocol, which
//! negotiation has to write before it reads the message, then fails, and the message with it, although it
//! has arrived. TCP does not show it: yamux has no word for "stop sending".

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::{AsyncRead, AsyncWrite};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerBox, StreamMuxerEvent};
use libp2p::core::transport::{Boxed, Transport as _};
use libp2p::identity::Keypair;
use libp2p::{PeerId, quic};

/// Bytes that a peer may send on one connection before any of them was read, on one stream as on all.
/// With a round trip of 50 ms that lets 80 MB/s through.
const UNREAD_MAX: u32 = 4 << 20;

/// The QUIC transport of a node.
pub(crate) fn transport(identity: &Keypair) -> Boxed<(PeerId, StreamMuxerBox)> {
    let mut config = quic::Config::new(identity);
    config.max_connection_data = UNREAD_MAX;
    config.max_stream_data = UNREAD_MAX;
    quic::tokio::Transport::new(config)
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(Heard(connection))))
        .boxed()
}

/// A connection whose inbound streams can be read whatever became of what we wrote there.
struct Heard(quic::Connection);

impl StreamMuxer for Heard {
    type Substream = Stream<quic::Stream>;
    type Error = quic::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let stream = ready!(Pin::new(&mut self.0).poll_inbound(cx))?;
        Poll::Ready(Ok(Stream { stream, inbound: true }))
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let stream = ready!(Pin::new(&mut self.0).poll_outbound(cx))?;
        Poll::Ready(Ok(Stream { stream, inbound: false }))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Pin::new(&mut self.0).poll_close(cx)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        Pin::new(&mut self.0).poll(cx)
    }
}

struct Stream<S> {
    stream: S,
    inbound: bool,
}

impl<S> Stream<S> {
    /// Takes what the peer does not want to hear for written, on a stream of the peer's.
    fn unless_stopped<T>(&self, result: io::Result<T>, written: T) -> io::Result<T> {
        match result {
            Err(error) if self.inbound && error.kind() == io::ErrorKind::ConnectionReset => {
                Ok(written)
            }
            result => result,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        Poll::Ready(self.unless_stopped(written, bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        Poll::Ready(self.unless_stopped(flushed, ()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = ready!(Pin::new(&mut self.stream).poll_close(cx));
        Poll::Ready(self.unless_stopped(closed, ()))
    }
}

#[cfg(test)]
mod tests {
    use futures::io::{AsyncReadExt as _, AsyncWriteExt as _, Cursor};

    use super::*;

    /// A stream that brings a message and takes nothing.
    struct Stopped(io::ErrorKind, Cursor<&'static [u8]>);

    impl AsyncRead for Stopped {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.1).poll_read(cx, buffer)
        }
    }

    impl AsyncWrite for Stopped {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(self.0.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(self.0.into()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(self.0.into()))
        }
    }

    fn stream(inbound: bool, error: io::ErrorKind) -> Stream<Stopped> {
        Stream { stream: Stopped(error, Cursor::new(b"message")), inbound }
    }

    #[tokio::test]
    async fn a_stream_whose_sender_wants_no_answer_is_read() {
        let mut theirs = stream(true, io::ErrorKind::ConnectionReset);
        theirs.write_all(b"the protocol is fine").await.unwrap();
        theirs.flush().await.unwrap();
        let mut message = Vec::new();
        theirs.read_to_end(&mut message).await.unwrap();
        assert_eq!(message, b"message");
        theirs.close().await.unwrap();
    }

    #[tokio::test]
    async fn what_is_not_taken_on_a_stream_of_ours_is_not_sent() {
        let mut ours = stream(false, io::ErrorKind::ConnectionReset);
        assert!(ours.write_all(b"a block").await.is_err());
        assert!(ours.flush().await.is_err());
        assert!(ours.close().await.is_err());
    }

    #[tokio::test]
    async fn a_lost_connection_stays_lost() {
        let mut theirs = stream(true, io::ErrorKind::NotConnected);
        assert!(theirs.write_all(b"the protocol is fine").await.is_err());
    }
}
