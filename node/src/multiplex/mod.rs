//! Many streams in one connection: yamux, with a bound on what they hold unread.

mod unread;

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use futures::future::{Ready, ready as done};
use futures::io::{AsyncRead, AsyncWrite};
use libp2p::core::UpgradeInfo;
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade};

use unread::{Socket, Unread};

/// Streams that one connection may hold open; a peer that opens more loses the connection. Other
/// implementations answer a long wantlist with one short stream per message, hundreds at once; what
/// is refused they do not send again.
///
/// The number also decides about the windows: what 256 KiB for each stream leaves of the connection's
/// 1 GiB, yamux uses to let the windows of busy streams grow. 4096 leaves nothing. Measured with 1536:
/// transfers of 50 MB from Helia 7 stall for half a minute; why is not known. What the streams really
/// hold is bounded in [`unread`].
const STREAMS_MAX: usize = 4096;

/// New inbound streams that wait to be negotiated; further ones are reset.
const INBOUND_MAX: usize = 256;

/// The upgrade of a connection to many streams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Multiplex;

impl Multiplex {
    fn over<C: AsyncRead + AsyncWrite + Unpin>(socket: C, mode: yamux::Mode) -> Muxer<C> {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(STREAMS_MAX);
        let unread = Unread::default();
        let socket = Socket::new(socket, unread.clone());
        Muxer {
            connection: yamux::Connection::new(socket, config, mode),
            unread,
            inbound: VecDeque::new(),
            task: None,
        }
    }
}

impl UpgradeInfo for Multiplex {
    type Info = &'static str;
    type InfoIter = std::iter::Once<&'static str>;

    fn protocol_info(&self) -> Self::InfoIter {
        std::iter::once("/yamux/1.0.0")
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> InboundConnectionUpgrade<C> for Multiplex {
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = Ready<io::Result<Muxer<C>>>;

    fn upgrade_inbound(self, socket: C, _: &'static str) -> Self::Future {
        done(Ok(Self::over(socket, yamux::Mode::Server)))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> OutboundConnectionUpgrade<C> for Multiplex {
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = Ready<io::Result<Muxer<C>>>;

    fn upgrade_outbound(self, socket: C, _: &'static str) -> Self::Future {
        done(Ok(Self::over(socket, yamux::Mode::Client)))
    }
}

/// A connection of many streams.
pub(crate) struct Muxer<C> {
    connection: yamux::Connection<Socket<C>>,
    unread: Unread,
    /// Streams that came while something else was asked for.
    inbound: VecDeque<Stream>,
    /// Who waits for one.
    task: Option<Waker>,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Muxer<C> {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        let next = ready!(self.connection.poll_next_inbound(cx));
        let stream = next.unwrap_or(Err(yamux::ConnectionError::Closed));
        Poll::Ready(stream.map(|stream| Stream::new(stream, &self.unread)).map_err(failed))
    }
}

fn failed(error: yamux::ConnectionError) -> io::Error {
    match error {
        yamux::ConnectionError::Io(error) => error,
        error => io::Error::other(error),
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> StreamMuxer for Muxer<C> {
    type Substream = Stream;
    type Error = io::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Stream, io::Error>> {
        if let Some(stream) = self.inbound.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        let next = self.poll_next(cx);
        if next.is_pending() {
            self.task = Some(cx.waker().clone());
        }
        next
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Stream, io::Error>> {
        let stream = ready!(self.connection.poll_new_outbound(cx)).map_err(failed)?;
        Poll::Ready(Ok(Stream::new(stream, &self.unread)))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        self.connection.poll_close(cx).map_err(failed)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, io::Error>> {
        // What comes is only known by asking for new streams.
        let stream = ready!(self.poll_next(cx))?;
        if self.inbound.len() < INBOUND_MAX {
            self.inbound.push_back(stream);
            self.task.take().into_iter().for_each(Waker::wake);
        } else {
            tracing::debug!("a stream is reset: too many wait to be negotiated");
        }
        // Others get their turn before the next stream.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// One stream of a connection.
#[derive(Debug)]
pub(crate) struct Stream {
    inner: yamux::Stream,
    id: u32,
    unread: Unread,
}

impl Stream {
    fn new(inner: yamux::Stream, unread: &Unread) -> Self {
        let id = inner.id().val();
        unread.opened(id);
        Self { inner, id, unread: unread.clone() }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.unread.dropped(self.id);
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        self.unread.read(self.id, read);
        Poll::Ready(Ok(read))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}
