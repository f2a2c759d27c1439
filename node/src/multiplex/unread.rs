//! What has arrived on the streams of a connection and was not read there yet.
//!
//! Each stream may send a window of 256 KiB before its receiver has read any of it, and a connection
//! has thousands of streams. So the bytes are counted as they leave the socket, by reading along the
//! headers of yamux, and again as they are read from the streams; while there are too many in
//! between, the socket is not read. Whoever owns a stream reads or drops it without waiting for the
//! peer, so that ends by itself.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use futures::io::{AsyncRead, AsyncWrite};

/// Memory of unread bytes above which the socket is not read. Overshot by one frame, of a window at most.
pub(crate) const UNREAD_MAX: usize = 256 << 10;

/// The receive window of a stream, and the largest frame.
const WINDOW: usize = 256 << 10;

/// Memory of a frame besides its bytes.
const PER_FRAME: usize = 96;

/// Bytes of a header.
const HEADER: usize = 12;

const DATA: u8 = 0;
const WINDOW_UPDATE: u8 = 1;
const SYN: u16 = 1;
const RST: u16 = 8;

/// What is unread on the streams of one connection. A handle.
#[derive(Clone, Debug, Default)]
pub(super) struct Unread(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    /// The open streams by their number.
    streams: HashMap<u32, Stream>,
    /// The memory of all.
    total: usize,
    /// Who waits to read the socket.
    task: Option<Waker>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Stream {
    bytes: usize,
    frames: usize,
}

impl Stream {
    const fn memory(self) -> usize {
        self.bytes + self.frames * PER_FRAME
    }
}

impl Unread {
    /// A stream was opened, by either side.
    pub(super) fn opened(&self, id: u32) {
        self.lock().streams.entry(id).or_default();
    }

    /// A frame arrived on a stream.
    fn arrived(&self, id: u32, bytes: usize) {
        self.change(id, |stream| {
            stream.bytes += bytes;
            // An empty frame is not kept.
            stream.frames += usize::from(bytes > 0);
        });
    }

    /// Bytes of a stream were read.
    pub(super) fn read(&self, id: u32, bytes: usize) {
        self.change(id, |stream| {
            stream.bytes = stream.bytes.saturating_sub(bytes);
            if stream.bytes == 0 {
                stream.frames = 0;
            }
        });
    }

    /// A stream was dropped, with all that was unread.
    pub(super) fn dropped(&self, id: u32) {
        self.change(id, |stream| *stream = Stream::default());
        self.lock().streams.remove(&id);
    }

    fn change(&self, id: u32, change: impl FnOnce(&mut Stream)) {
        let mut table = self.lock();
        let Some(stream) = table.streams.get_mut(&id) else { return };
        let before = stream.memory();
        change(stream);
        let after = stream.memory();
        table.total = table.total - before + after;
        let task = if table.total < UNREAD_MAX { table.task.take() } else { None };
        drop(table);
        task.into_iter().for_each(Waker::wake);
    }

    /// Whether the socket may be read; else the task is woken when it may.
    fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        let mut table = self.lock();
        if table.total < UNREAD_MAX {
            return Poll::Ready(());
        }
        table.task = Some(cx.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The socket of a connection, encrypted, below yamux.
#[derive(Debug)]
pub(super) struct Socket<C> {
    inner: C,
    unread: Unread,
    header: [u8; HEADER],
    /// Bytes of the header that have arrived.
    filled: usize,
    /// The frame whose bytes arrive: its stream, its length, and how much of it is still to come.
    body: Option<(u32, usize, usize)>,
}

impl<C> Socket<C> {
    pub(super) const fn new(inner: C, unread: Unread) -> Self {
        Self { inner, unread, header: [0; HEADER], filled: 0, body: None }
    }

    /// Reads along what yamux is given.
    fn follow(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if let Some((id, len, left)) = &mut self.body {
                let part = bytes.len().min(*left);
                bytes = bytes.get(part..).unwrap_or_default();
                *left -= part;
                if *left == 0 {
                    self.unread.arrived(*id, *len);
                    self.body = None;
                }
                continue;
            }
            let (first, rest) = bytes.split_at(bytes.len().min(HEADER - self.filled));
            let to = self.header.iter_mut().skip(self.filled);
            to.zip(first).for_each(|(to, byte)| *to = *byte);
            self.filled += first.len();
            bytes = rest;
            if self.filled == HEADER {
                self.filled = 0;
                self.begin()?;
            }
        }
        Ok(())
    }

    /// A header is complete.
    fn begin(&mut self) -> io::Result<()> {
        let [_, tag, f0, f1, i0, i1, i2, i3, l0, l1, l2, l3] = self.header;
        let flags = u16::from_be_bytes([f0, f1]);
        let id = u32::from_be_bytes([i0, i1, i2, i3]);
        // What is opened and reset in one breath never becomes a stream.
        if flags & (SYN | RST) == SYN && matches!(tag, DATA | WINDOW_UPDATE) {
            self.unread.opened(id);
        }
        let len = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        if tag == DATA && len > WINDOW {
            let why = "the peer sent a yamux frame that is larger than the window of a stream";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        self.body = (tag == DATA && len > 0).then_some((id, len, len));
        Ok(())
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Socket<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.unread.poll_room(cx));
        let read = ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        self.follow(buffer.get(..read).unwrap_or_default())?;
        Poll::Ready(Ok(read))
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Socket<C> {
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::io::{AsyncReadExt as _, Cursor};
    use futures::task::{ArcWake, waker};
    use futures::{FutureExt as _, future::poll_fn};

    use super::*;

    fn header(tag: u8, flags: u16, id: u32, len: u32) -> Vec<u8> {
        let mut header = vec![0, tag];
        header.extend(flags.to_be_bytes());
        header.extend(id.to_be_bytes());
        header.extend(len.to_be_bytes());
        header
    }

    fn frame(flags: u16, id: u32, len: usize) -> Vec<u8> {
        let mut frame = header(DATA, flags, id, len as u32);
        frame.resize(HEADER + len, 7);
        frame
    }

    fn total(unread: &Unread) -> usize {
        unread.lock().total
    }

    /// Reads all that there is, in pieces, as far as it is let.
    fn read_all(bytes: Vec<u8>, piece: usize, unread: &Unread) -> io::Result<usize> {
        let mut socket = Socket::new(Cursor::new(bytes), unread.clone());
        let (mut buffer, mut all) = (vec![0; piece], 0);
        loop {
            match socket.read(&mut buffer).now_or_never() {
                None | Some(Ok(0)) => return Ok(all),
                Some(Ok(read)) => all += read,
                Some(Err(error)) => return Err(error),
            }
        }
    }

    #[test]
    fn what_arrives_on_open_streams_is_counted_until_it_is_read_or_dropped() {
        for piece in [1, 5, 12, 13, 1 << 20] {
            let unread = Unread::default();
            unread.opened(1);
            let mut wire = header(WINDOW_UPDATE, SYN, 2, 0);
            wire.extend(frame(0, 2, 100));
            wire.extend(header(2, SYN, 0, 77));
            wire.extend(header(WINDOW_UPDATE, 0, 1, 5000));
            wire.extend(frame(0, 1, 30));
            wire.extend(frame(0, 1, 0));
            wire.extend(frame(SYN, 4, 7));
            wire.extend(frame(0, 6, 500));
            wire.extend(frame(SYN | RST, 8, 500));
            let len = wire.len();
            assert_eq!(read_all(wire, piece, &unread).unwrap(), len);
            assert_eq!(total(&unread), 137 + 3 * PER_FRAME, "in pieces of {piece}");
            unread.read(2, 40);
            assert_eq!(total(&unread), 97 + 3 * PER_FRAME);
            unread.read(2, 60);
            assert_eq!(total(&unread), 37 + 2 * PER_FRAME);
            unread.dropped(1);
            unread.dropped(4);
            assert_eq!((total(&unread), unread.lock().streams.len()), (0, 1));
        }
    }

    #[test]
    fn tiny_frames_count_with_what_keeping_them_takes() {
        let unread = Unread::default();
        unread.opened(1);
        let wire = frame(0, 1, 1).repeat(10_000);
        let taken = read_all(wire, 4096, &unread).unwrap() / (HEADER + 1);
        assert!(total(&unread) < UNREAD_MAX + 4096 / HEADER * PER_FRAME, "{taken} frames taken");
        assert!(taken < 3300, "{taken} frames taken");
    }

    #[derive(Default)]
    struct Wakes(AtomicU32);

    impl ArcWake for Wakes {
        fn wake_by_ref(wakes: &Arc<Self>) {
            wakes.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_socket_is_not_read_while_too_much_is_unread_and_its_task_is_woken_after() {
        let unread = Unread::default();
        unread.opened(1);
        unread.opened(2);
        unread.arrived(1, UNREAD_MAX / 2);
        unread.arrived(2, UNREAD_MAX / 2);
        let mut socket = Socket::new(Cursor::new(frame(0, 1, 1)), unread.clone());
        let wakes = Arc::new(Wakes::default());
        let task = waker(wakes.clone());
        let mut buffer = [0; 100];
        let mut poll = || {
            Pin::new(&mut socket).poll_read(&mut Context::from_waker(&task), &mut buffer).is_ready()
        };
        assert!(!poll());
        unread.read(1, 10);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0, "what keeping them takes counts too");
        unread.dropped(2);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        assert!(poll());
    }

    #[test]
    fn a_frame_beyond_the_window_is_refused_before_there_is_memory_for_it() {
        let unread = Unread::default();
        let refused = read_all(header(DATA, 0, 1, WINDOW as u32 + 1), 100, &unread);
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(read_all(header(DATA, 0, 1, WINDOW as u32), 100, &unread).is_ok());
    }

    #[test]
    fn what_is_written_is_passed_on() {
        use futures::io::AsyncWriteExt as _;
        let mut socket = Socket::new(Cursor::new(Vec::new()), Unread::default());
        socket.write_all(b"bytes").now_or_never().unwrap().unwrap();
        poll_fn(|cx| Pin::new(&mut socket).poll_flush(cx)).now_or_never().unwrap().unwrap();
        assert_eq!(socket.inner.into_inner(), b"bytes");
    }
}
