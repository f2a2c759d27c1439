//! Counts the bytes that cross the sockets, headers of noise and yamux included.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures::io::{AsyncRead, AsyncWrite, IoSlice, IoSliceMut};

/// Bytes received and sent over TCP by a node since its start.
#[derive(Clone, Debug, Default)]
pub struct SocketBytes {
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    received: AtomicU64,
    sent: AtomicU64,
}

impl SocketBytes {
    /// Bytes received.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.counters.received.load(Ordering::Relaxed)
    }

    /// Bytes sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.counters.sent.load(Ordering::Relaxed)
    }
}

/// A stream whose bytes are counted.
#[derive(Debug)]
pub struct Metered<S> {
    stream: S,
    bytes: SocketBytes,
}

impl<S> Metered<S> {
    /// Counts what crosses `stream` from now on.
    pub const fn new(stream: S, bytes: SocketBytes) -> Self {
        Self { stream, bytes }
    }

    fn received(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        count(&self.bytes.counters.received, result)
    }

    fn sent(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        count(&self.bytes.counters.sent, result)
    }
}

fn count(counter: &AtomicU64, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
    if let Poll::Ready(Ok(bytes)) = &result {
        counter.fetch_add(*bytes as u64, Ordering::Relaxed);
    }
    result
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.received(result)
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_read_vectored(cx, bufs);
        self.received(result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.sent(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.sent(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::io::{AsyncReadExt, AsyncWriteExt, Cursor};

    use super::*;

    #[test]
    fn what_is_read_and_written_is_counted_and_errors_are_not() {
        let bytes = SocketBytes::default();
        block_on(async {
            let mut stream = Metered::new(Cursor::new(vec![0; 100]), bytes.clone());
            stream.write_all(&[1; 30]).await.unwrap();
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, [0; 70]);
        });
        assert_eq!((bytes.received(), bytes.sent()), (70, 30));
    }

    #[test]
    fn what_goes_in_several_parts_is_counted_in_all() {
        let bytes = SocketBytes::default();
        block_on(async {
            let mut stream = Metered::new(Cursor::new(vec![7; 100]), bytes.clone());
            let parts = [IoSlice::new(&[1; 3]), IoSlice::new(&[2; 4])];
            assert_eq!(stream.write_vectored(&parts).await.unwrap(), 7);
            let (mut one, mut two) = ([0; 5], [0; 6]);
            let mut parts = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
            assert_eq!(stream.read_vectored(&mut parts).await.unwrap(), 11);
            assert_eq!((one, two), ([7; 5], [7; 6]));
        });
        assert_eq!((bytes.received(), bytes.sent()), (11, 7));
    }

    /// Takes nothing, and is flushed and closed once.
    #[derive(Default)]
    struct Broken {
        flushed: usize,
        closed: usize,
    }

    impl AsyncRead for Broken {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
        }
    }

    impl AsyncWrite for Broken {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushed += 1;
            Poll::Ready(Ok(()))
        }

        fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.closed += 1;
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn what_fails_is_not_counted_and_the_stream_below_is_flushed_and_closed() {
        let bytes = SocketBytes::default();
        let mut stream = Metered::new(Broken::default(), bytes.clone());
        block_on(async {
            assert!(stream.read(&mut [0; 9]).await.is_err());
            assert!(stream.read_vectored(&mut [IoSliceMut::new(&mut [0; 9])]).await.is_err());
            assert!(stream.write(&[0; 9]).await.is_err());
            assert!(stream.write_vectored(&[IoSlice::new(&[0; 9])]).await.is_err());
            stream.flush().await.unwrap();
            stream.close().await.unwrap();
        });
        assert_eq!((bytes.received(), bytes.sent()), (0, 0));
        assert_eq!((stream.stream.flushed, stream.stream.closed), (1, 1));
    }
}
