//! Many streams in one connection: yamux, with a bound on what they hold unread.

mod account;
mod credit;
mod frame;
mod names;
#[cfg(test)]
mod plain_yamux_tests;
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

use libp2p::PeerId;

pub(crate) use account::Accounts;
use account::{Account, StreamPermit};
use credit::WINDOW_BYTES;
use names::Names;
use unread::{Socket, Unread};

use crate::trace::log;

/// Streams that one connection may hold open; a peer that opens more loses the connection. Other
/// implementations answer a long wantlist with one short stream per message, hundreds at once; what
/// is refused they do not send again.
const STREAMS_MAX: usize = 4096;

/// Bytes by which the windows of a connection's streams may grow, all together. A window is doubled when
/// half of it was used up within two round trips, so that a stream is as fast as the path: 64 MiB fill
/// 1 Gbit/s over 500 ms. It is no bound on memory: what the streams hold is bounded in [`unread`], whatever
/// their windows, and how many of the peer's streams are kept in [`account`].
const WINDOW_GROWTH_BYTES: usize = 64 << 20;

/// The longest piece of a stream that is sent as one frame: with its header of 12 bytes it just fills one message of
/// noise, and is one encryption and one system call. With yamux's 16 KiB there are four times as many.
const SEND_BYTES: usize = 65_535 - 1024 - 12;

/// The upgrade of a connection to many streams.
#[derive(Clone, Debug)]
pub(crate) struct Multiplex(Account);

impl Multiplex {
    /// The upgrade of a connection with a peer.
    pub(crate) fn with(accounts: &Accounts, peer: PeerId) -> Self {
        Self(accounts.of(peer))
    }

    fn over<C: AsyncRead + AsyncWrite + Unpin>(self, socket: C, mode: yamux::Mode) -> Muxer<C> {
        let mut config = yamux::Config::default();
        config.set_max_connection_receive_window(Some(
            STREAMS_MAX * WINDOW_BYTES + WINDOW_GROWTH_BYTES,
        ));
        config.set_max_num_streams(STREAMS_MAX);
        config.set_split_send_size(SEND_BYTES);
        let Self(account) = self;
        let unread = Unread::new(account.clone());
        let socket = Socket::new(socket, unread.clone());
        Muxer {
            connection: yamux::Connection::new(socket, config, mode),
            account,
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
        done(Ok(self.over(socket, yamux::Mode::Server)))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> OutboundConnectionUpgrade<C> for Multiplex {
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = Ready<io::Result<Muxer<C>>>;

    fn upgrade_outbound(self, socket: C, _: &'static str) -> Self::Future {
        done(Ok(self.over(socket, yamux::Mode::Client)))
    }
}

/// A connection of many streams.
pub(crate) struct Muxer<C> {
    connection: yamux::Connection<Socket<C>>,
    account: Account,
    unread: Unread,
    /// Streams that came while something else was asked for; as many as a peer's account permits.
    inbound: VecDeque<Stream>,
    /// Who waits for one.
    task: Option<Waker>,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Muxer<C> {
    /// The next stream that the peer opens; `None` for one that is reset.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Stream>>> {
        let next = ready!(self.connection.poll_next_inbound(cx));
        let stream = next.unwrap_or(Err(yamux::ConnectionError::Closed)).map_err(failed)?;
        let permit = self.account.stream_permit();
        if permit.is_none() {
            log!(debug, "a stream is reset: its peer has too many");
        }
        // Also what is reset is known, or what came with it would be counted for ever.
        let mut stream = Stream::new(stream, &self.unread, Names::Length);
        Poll::Ready(Ok(permit.map(|permit| {
            stream.permit = Some(permit);
            stream
        })))
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
        match self.poll_next(cx) {
            Poll::Ready(Ok(Some(stream))) => Poll::Ready(Ok(stream)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(None)) => {
                // Others get their turn before the next stream.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Pending => {
                self.task = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Stream, io::Error>> {
        let stream = ready!(self.connection.poll_new_outbound(cx)).map_err(failed)?;
        Poll::Ready(Ok(Stream::new(stream, &self.unread, Names::Over)))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        self.connection.poll_close(cx).map_err(failed)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, io::Error>> {
        // What comes is only known by asking for new streams.
        if let Some(stream) = ready!(self.poll_next(cx))? {
            self.inbound.push_back(stream);
            self.task.take().into_iter().for_each(Waker::wake);
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
    names: Names,
    /// If the peer opened it.
    permit: Option<StreamPermit>,
}

impl Stream {
    fn new(inner: yamux::Stream, unread: &Unread, names: Names) -> Self {
        let id = inner.id().val();
        unread.opened(id);
        Self { inner, id, unread: unread.clone(), names, permit: None }
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
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        let bytes = if let Poll::Ready(Ok(bytes)) = read { bytes } else { 0 };
        self.unread.read(self.id, bytes);
        self.names.read(buffer.len(), buffer.get(..bytes).unwrap_or_default())?;
        if let (Names::Over, Some(permit)) = (self.names, &mut self.permit) {
            permit.decided();
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, bytes))?;
        if self.permit.is_some() {
            self.unread.written(self.id);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::FutureExt as _;
    use futures::future::poll_fn;
    use futures::io::{AsyncReadExt as _, Cursor};
    use futures::task::{ArcWake, waker};

    use super::*;

    /// What a peer has sent, whatever it is answered.
    struct Sent(Cursor<Vec<u8>>);

    impl AsyncRead for Sent {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            match ready!(Pin::new(&mut self.0).poll_read(cx, buffer))? {
                0 => Poll::Pending,
                read => Poll::Ready(Ok(read)),
            }
        }
    }

    impl AsyncWrite for Sent {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// A connection on which a peer has opened so many streams and said something on each.
    fn opened(streams: u32, said: &[u8], account: &Account) -> Muxer<Sent> {
        let mut wire = Vec::new();
        for stream in 0..streams {
            // Data on a stream that it opens.
            wire.extend([0, 0, 0, 1]);
            wire.extend((2 * stream + 1).to_be_bytes());
            wire.extend((said.len() as u32).to_be_bytes());
            wire.extend(said);
        }
        Multiplex(account.clone()).over(Sent(Cursor::new(wire)), yamux::Mode::Server)
    }

    /// All streams that are given out, however often that has to be asked.
    fn inbound(muxer: &mut Muxer<Sent>, turns: u32) -> Vec<Stream> {
        let mut streams = Vec::new();
        for _ in 0..turns {
            let next = poll_fn(|cx| Pin::new(&mut *muxer).poll_inbound(cx)).now_or_never();
            streams.extend(next.map(Result::unwrap));
        }
        streams
    }

    #[test]
    fn streams_of_a_peer_beyond_its_bound_are_reset_and_count_for_nothing() {
        let account = Account::default();
        let mut first = opened(200, b"x", &account);
        let mut second = opened(200, b"x", &account);
        let mut of_first = inbound(&mut first, 1000);
        let of_second = inbound(&mut second, 1000);
        assert_eq!((of_first.len(), of_second.len()), (200, 56));
        // A read of another size than that of a length is one of a protocol.
        for stream in &mut of_first {
            assert_eq!(stream.read(&mut [0; 9]).now_or_never().unwrap().unwrap(), 1);
        }
        let more = inbound(&mut opened(300, b"x", &account), 1000);
        assert_eq!(more.len(), 200);
        drop((of_first, of_second, more));
        assert_eq!(account.unread(), 0, "nor does what was said on them");
        assert_eq!(inbound(&mut opened(1, b"x", &account), 10).len(), 1);
    }

    #[test]
    fn a_stream_on_which_a_name_of_a_protocol_is_too_long_fails_before_it_is_read() {
        let account = Account::default();
        // A length of 16 KiB less one.
        let mut muxer = opened(1, &[0xff, 0x7f, b'/'], &account);
        let mut stream = inbound(&mut muxer, 10).remove(0);
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).now_or_never().unwrap().unwrap(), 1);
        let refused = stream.read(&mut byte).now_or_never().unwrap().unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
    }

    /// Counts how often a task was woken.
    #[derive(Default)]
    pub(super) struct Wakes(AtomicU32);

    impl Wakes {
        pub(super) fn new() -> (Arc<Self>, Waker) {
            let wakes = Arc::new(Self::default());
            (wakes.clone(), waker(wakes))
        }

        pub(super) fn count(&self) -> u32 {
            self.0.load(Ordering::Relaxed)
        }
    }

    impl ArcWake for Wakes {
        fn wake_by_ref(wakes: &Arc<Self>) {
            wakes.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}
