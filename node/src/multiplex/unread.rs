//! What has arrived on the streams of a connection and was not read there yet.
//!
//! Each stream may send its window, 256 KiB and more on a long path, before its receiver has read any of it,
//! and a connection has thousands of streams. So frames are counted as they leave the socket, by reading along
//! the headers of yamux, and until the last of their bytes is read from the stream; a header is held back
//! while there is no room for its frame. Whoever owns a stream reads or drops it without waiting for
//! the peer, so that ends by itself.
//!
//! A frame may be as long as the window, and yamux keeps all of it until its last byte is there. So a long
//! frame is handed to yamux as several frames, each of which is counted alone: what is held does not depend
//! on the window.
//!
//! A header is also held back while yamux would not take its frame: the peer may have been granted more than yamux
//! knows of, see [`credit`](super::credit).

use std::collections::{HashMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use futures::io::{AsyncRead, AsyncWrite};

use super::account::Account;
use super::credit::{Window, Writer};
use super::frame::{ACK, DATA, FIN, HEADER, Header, RST, SYN, WINDOW_UPDATE};

/// The longest frame that yamux is given. Other implementations send no longer ones.
pub(super) const FRAME_BYTES_MAX: usize = 64 << 10;

/// Memory of a frame besides its bytes.
const PER_FRAME: usize = 96;

/// What is unread on the streams of one connection. A handle.
#[derive(Clone, Debug, Default)]
pub(super) struct Unread(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    /// The open streams by their number.
    streams: HashMap<u32, Stream>,
    /// The memory of the frame that arrives.
    arriving: usize,
    /// The stream whose next frame is held back, and who waits for it.
    waiting: Option<(u32, Waker)>,
    /// The peer's, with the memory of all frames of all connections.
    account: Account,
}

#[derive(Debug, Default)]
struct Stream {
    frames: Frames,
    /// If the peer opened it.
    window: Option<Window>,
}

/// The frames of a stream, in order, as yamux keeps them: all of a frame until a read finds that nothing of
/// it is left. Were only what is left of it counted, a peer could have whole windows kept for a byte
/// each.
#[derive(Debug, Default)]
struct Frames(VecDeque<Kept>);

#[derive(Debug)]
struct Kept {
    bytes: u32,
    left: u32,
}

/// The memory of a frame. An empty one is not kept.
const fn memory(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { bytes + PER_FRAME }
}

impl Frames {
    /// So many bytes were read. The memory of the frames that went.
    fn read(&mut self, mut bytes: usize) -> usize {
        let mut freed = 0;
        while let Some(first) = self.0.front_mut() {
            if first.left > 0 {
                let part = bytes.min(first.left as usize);
                first.left -= part as u32;
                bytes -= part;
                // Whether yamux drops a frame with its last byte depends on the buffer of the read; it
                // does with the next read.
                if bytes == 0 {
                    break;
                }
            }
            freed += memory(first.bytes as usize);
            self.0.pop_front();
        }
        freed
    }

    fn memory(&self) -> usize {
        self.0.iter().map(|kept| memory(kept.bytes as usize)).sum()
    }
}

impl Table {
    /// Something has changed for who waits to give the stream its next frame.
    fn wake(&mut self, id: u32) {
        if let Some((_, task)) = self.waiting.take_if(|(stream, _)| *stream == id) {
            task.wake();
        }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        let frames: usize = self.streams.values().map(|stream| stream.frames.memory()).sum();
        self.account.give(frames + self.arriving);
    }
}

impl Unread {
    pub(super) fn new(account: Account) -> Self {
        let (streams, arriving, waiting) = (HashMap::new(), 0, None);
        Self(Arc::new(Mutex::new(Table { streams, arriving, waiting, account })))
    }

    /// A stream was opened, by either side.
    pub(super) fn opened(&self, id: u32) {
        self.lock().streams.entry(id).or_default();
    }

    /// The peer opens a stream.
    fn opened_by_peer(&self, id: u32) {
        let stream = Stream { frames: Frames::default(), window: Some(Window::new()) };
        self.lock().streams.entry(id).or_insert(stream);
    }

    /// A frame begins to arrive: takes room for it; else the task is woken when there is some. False when the
    /// stream is not open.
    fn poll_room(&self, id: u32, bytes: usize, cx: &Context<'_>) -> Poll<bool> {
        if bytes == 0 {
            return Poll::Ready(true);
        }
        let mut table = self.lock();
        let Table { streams, waiting, account, arriving } = &mut *table;
        let Some(stream) = streams.get_mut(&id) else { return Poll::Ready(false) };
        if stream.window.as_ref().is_some_and(|window| !window.takes(bytes)) {
            *waiting = Some((id, cx.waker().clone()));
            return Poll::Pending;
        }
        ready!(account.poll_take(memory(bytes), cx));
        *arriving = memory(bytes);
        stream.window.iter_mut().for_each(|window| window.gives(bytes));
        Poll::Ready(true)
    }

    /// A frame that had begun is whole. What is for no open stream yamux drops.
    fn arrived(&self, id: u32, bytes: usize) {
        let mut table = self.lock();
        table.arriving = 0;
        match table.streams.get_mut(&id) {
            Some(stream) => {
                let bytes = bytes as u32;
                stream.frames.0.push_back(Kept { bytes, left: bytes });
            }
            None => table.account.give(memory(bytes)),
        }
    }

    /// Bytes of a stream were read, or none because there are none.
    pub(super) fn read(&self, id: u32, bytes: usize) {
        let mut table = self.lock();
        let Some(stream) = table.streams.get_mut(&id) else { return };
        stream.window.iter_mut().for_each(|window| window.reads(bytes));
        let freed = stream.frames.read(bytes);
        table.account.give(freed);
        table.wake(id);
    }

    /// Something was written on a stream.
    pub(super) fn written(&self, id: u32) {
        if let Some(stream) = self.lock().streams.get_mut(&id) {
            stream.window.iter_mut().for_each(Window::writes);
        }
    }

    /// The peer was granted more of a stream, in a frame that yamux has written. Whether the stream is open.
    fn granted(&self, id: u32, bytes: u32) -> bool {
        let mut table = self.lock();
        let Some(stream) = table.streams.get_mut(&id) else { return false };
        stream.window.iter_mut().for_each(|window| window.grants(bytes));
        table.wake(id);
        true
    }

    /// A stream was dropped, with all that was unread.
    pub(super) fn dropped(&self, id: u32) {
        let mut table = self.lock();
        let freed = table.streams.remove(&id).map_or(0, |stream| stream.frames.memory());
        table.account.give(freed);
        table.wake(id);
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
    at: At,
    writer: Writer,
}

/// How far the bytes are that yamux is given.
#[derive(Clone, Copy, Debug)]
enum At {
    /// Within a header of which so many bytes have arrived. Yamux is given none of it.
    Header(usize),
    /// The header is whole, and waits for room.
    Room(Next),
    /// Yamux was given so many bytes of the header.
    Known(usize, Next),
    /// Within the bytes of a frame: so many are still to come.
    Body(usize, Next),
    /// Within bytes that yamux is not given: so many are still to come.
    Skipped(usize),
}

/// What a header says: a stream, and how many bytes follow it.
#[derive(Clone, Copy, Debug)]
struct Next {
    id: u32,
    bytes: usize,
    /// Bytes of the peer's frame that come after these: yamux is given them in frames of their own, or, if these are
    /// none, not at all.
    later: usize,
    /// The last of them ends the stream.
    ends: bool,
}

impl<C> Socket<C> {
    pub(super) fn new(inner: C, unread: Unread) -> Self {
        let (header, at, writer) = ([0; HEADER], At::Header(0), Writer::default());
        Self { inner, unread, header, at, writer }
    }

    /// A header of the peer is complete; it becomes the one that yamux is given.
    fn begin(&mut self) -> Next {
        let header = Header::parse(self.header);
        let Header { tag, flags, id, .. } = header;
        // What is opened and reset in one breath never becomes a stream.
        if flags & (SYN | RST) == SYN && matches!(tag, DATA | WINDOW_UPDATE) {
            self.unread.opened_by_peer(id);
        }
        let len = header.body();
        if len <= FRAME_BYTES_MAX {
            return Next { id, bytes: len, later: 0, ends: false };
        }
        let ends = flags & FIN == FIN;
        self.header = data_header(flags & !FIN, id, FRAME_BYTES_MAX);
        Next { id, bytes: FRAME_BYTES_MAX, later: len - FRAME_BYTES_MAX, ends }
    }

    /// A frame is complete that is followed by more of the same frame of the peer.
    fn go_on(&mut self, Next { id, later, ends, .. }: Next) -> Next {
        let bytes = later.min(FRAME_BYTES_MAX);
        let later = later - bytes;
        let flags = if ends && later == 0 { FIN } else { 0 };
        self.header = data_header(flags, id, bytes);
        Next { id, bytes, later, ends }
    }

    /// The stream is not open: of the frame yamux is given what it says besides its bytes. Where it does not know yet that
    /// the stream was dropped, it might find them too many.
    fn skip(&mut self, Next { id, bytes, later, ends }: Next) -> Next {
        let flags = Header::parse(self.header).flags | if ends { FIN } else { 0 };
        self.header = data_header(flags, id, 0);
        Next { id, bytes: 0, later: bytes + later, ends: false }
    }
}

const fn data_header(flags: u16, id: u32, len: usize) -> [u8; HEADER] {
    Header { tag: DATA, flags, id, len: len as u32 }.bytes()
}

impl<C: AsyncRead + Unpin> AsyncRead for Socket<C> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            match this.at {
                At::Header(HEADER) => this.at = At::Room(this.begin()),
                At::Header(filled) => {
                    let rest = this.header.get_mut(filled..).unwrap_or_default();
                    let read = ready!(Pin::new(&mut this.inner).poll_read(cx, rest))?;
                    if read == 0 && filled > 0 {
                        return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                    }
                    if read == 0 {
                        return Poll::Ready(Ok(0));
                    }
                    this.at = At::Header(filled + read);
                }
                At::Room(next) => {
                    let is_open = ready!(this.unread.poll_room(next.id, next.bytes, cx));
                    this.at = At::Known(0, if is_open { next } else { this.skip(next) });
                }
                At::Known(HEADER, Next { bytes: 0, later, .. }) => this.at = At::Skipped(later),
                At::Known(HEADER, next) => this.at = At::Body(next.bytes, next),
                At::Known(given, next) => {
                    let rest = this.header.get(given..).unwrap_or_default();
                    let part = rest.len().min(buffer.len());
                    buffer.iter_mut().zip(rest).for_each(|(to, byte)| *to = *byte);
                    this.at = At::Known(given + part, next);
                    return Poll::Ready(Ok(part));
                }
                At::Skipped(0) => this.at = At::Header(0),
                At::Skipped(left) => {
                    let mut nowhere = [0; 4096];
                    let len = nowhere.len().min(left);
                    let part = nowhere.get_mut(..len).unwrap_or_default();
                    let read = ready!(Pin::new(&mut this.inner).poll_read(cx, part))?;
                    if read == 0 {
                        return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                    }
                    this.at = At::Skipped(left - read);
                }
                At::Body(left, next) => {
                    let len = buffer.len().min(left);
                    let part = buffer.get_mut(..len).unwrap_or_default();
                    let read = ready!(Pin::new(&mut this.inner).poll_read(cx, part))?;
                    this.at = if read == left {
                        this.unread.arrived(next.id, next.bytes);
                        if next.later > 0 { At::Room(this.go_on(next)) } else { At::Header(0) }
                    } else {
                        At::Body(left - read, next)
                    };
                    return Poll::Ready(Ok(read));
                }
            }
        }
    }
}

impl<C: AsyncWrite + Unpin> Socket<C> {
    /// Writes what belongs between two frames, when yamux is there.
    fn poll_between(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.writer.between().is_empty() {
            let inner = Pin::new(&mut self.inner);
            match ready!(inner.poll_write(cx, self.writer.between()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.writer.between_written(written),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Yamux has written a header.
    fn on_written(&mut self, header: Header) {
        let grant = if header.tag == WINDOW_UPDATE { header.len } else { 0 };
        if (grant > 0 || header.flags & ACK > 0) && self.unread.granted(header.id, grant) {
            self.writer.grant_extra(header);
        }
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Socket<C> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_between(cx))?;
        let part = this.writer.part(bytes);
        let written = ready!(Pin::new(&mut this.inner).poll_write(cx, part))?;
        if let Some(header) = this.writer.written(part.get(..written).unwrap_or(part)) {
            this.on_written(header);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_between(cx))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_between(cx))?;
        Pin::new(&mut this.inner).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures::io::{AsyncReadExt as _, Cursor};
    use futures::{FutureExt as _, future::poll_fn};

    use super::super::account::UNREAD_MAX;
    use super::*;
    use crate::multiplex::tests::Wakes;

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
        unread.lock().account.unread()
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
            // Of frames for streams that are not open their headers are given.
            let len = wire.len() - 2 * 500;
            assert_eq!(read_all(wire, piece, &unread).unwrap(), len);
            assert_eq!(total(&unread), 137 + 3 * PER_FRAME, "in pieces of {piece}");
            unread.read(2, 100);
            assert_eq!(total(&unread), 137 + 3 * PER_FRAME, "yamux keeps it until the next read");
            unread.read(2, 0);
            assert_eq!(total(&unread), 37 + 2 * PER_FRAME);
            unread.dropped(1);
            unread.dropped(4);
            assert_eq!((total(&unread), unread.lock().streams.len()), (0, 1));
        }
    }

    #[test]
    fn a_frame_is_counted_whole_until_the_last_of_its_bytes_is_read() {
        let unread = Unread::default();
        unread.opened(1);
        let wire = [frame(0, 1, 1000), frame(0, 1, 10), frame(0, 1, 100)].concat();
        read_all(wire, 100, &unread).unwrap();
        let all = 1110 + 3 * PER_FRAME;
        for (read, left) in [
            (999, all),
            (1, all),
            (5, 110 + 2 * PER_FRAME),
            (6, 100 + PER_FRAME),
            (98, 100 + PER_FRAME),
            (1, 100 + PER_FRAME),
            (0, 0),
        ] {
            unread.read(1, read);
            assert_eq!(total(&unread), left, "after {read} more");
        }
    }

    #[test]
    fn a_frame_for_which_there_is_no_room_is_not_begun_and_one_that_is_alone_always_is() {
        let unread = Unread::default();
        unread.opened(1);
        // As much as there is room for, then more, and a change of a window between them.
        let first = [frame(0, 1, FRAME_BYTES_MAX), frame(0, 1, FRAME_BYTES_MAX)].concat().repeat(2);
        let second = [header(WINDOW_UPDATE, 0, 1, 9), frame(0, 1, 20 << 10)].concat();
        let mut socket = Socket::new(Cursor::new([&first[..], &second].concat()), unread.clone());
        let mut buffer = vec![0; 2 * FRAME_BYTES_MAX];
        let mut given = 0;
        while let Some(read) = socket.read(&mut buffer).now_or_never() {
            let read = read.unwrap();
            assert!(read > 0, "all of it was given");
            given += read;
        }
        assert_eq!(given, first.len() + HEADER, "the window is known, and nothing of the frame");
        assert_eq!(total(&unread), 4 * (FRAME_BYTES_MAX + PER_FRAME));
        unread.read(1, FRAME_BYTES_MAX);
        assert!(socket.read(&mut buffer).now_or_never().is_none());
        unread.read(1, 0);
        let mut rest = vec![0; second.len() - HEADER];
        socket.read_exact(&mut rest).now_or_never().unwrap().unwrap();
        assert_eq!(rest, second[HEADER..]);
    }

    #[test]
    fn a_connection_that_ends_gives_back_what_was_unread_and_the_frame_that_arrived() {
        let account = Account::default();
        let unread = Unread::new(account.clone());
        unread.opened(1);
        let wire = [frame(0, 1, 1000), frame(0, 1, 500)[..HEADER + 1].to_vec()].concat();
        assert!(read_all(wire, 100, &unread).is_ok());
        assert_eq!(account.unread(), 1500 + 2 * PER_FRAME);
        drop(unread);
        assert_eq!(account.unread(), 0);
    }

    #[test]
    fn a_frame_that_is_cut_off_is_an_error_and_an_end_between_frames_is_none() {
        for (cut, ends) in [(0, true), (1, false), (HEADER - 1, false)] {
            let end = read_all(frame(0, 1, 5)[..cut].to_vec(), 100, &Unread::default());
            assert_eq!(end.is_ok(), ends, "after {cut}");
        }
    }

    #[test]
    fn tiny_frames_count_with_what_keeping_them_takes() {
        let unread = Unread::default();
        unread.opened(1);
        let wire = frame(0, 1, 1).repeat(10_000);
        let taken = read_all(wire, 4096, &unread).unwrap() / (HEADER + 1);
        assert!(total(&unread) <= UNREAD_MAX, "{taken} frames taken");
        assert!(taken < 3300, "{taken} frames taken");
    }

    #[test]
    fn a_socket_is_not_read_while_too_much_is_unread_and_its_task_is_woken_after() {
        let unread = Unread::default();
        unread.opened(1);
        unread.opened(2);
        let small = UNREAD_MAX - 4 * (FRAME_BYTES_MAX + PER_FRAME) - PER_FRAME;
        let second = [frame(0, 2, 3 * FRAME_BYTES_MAX), frame(0, 2, small)].concat();
        read_all([frame(0, 1, FRAME_BYTES_MAX), second].concat(), 1000, &unread).unwrap();
        assert_eq!(total(&unread), UNREAD_MAX);
        let mut socket = Socket::new(Cursor::new(frame(0, 1, 1)), unread.clone());
        let (wakes, task) = Wakes::new();
        let mut buffer = [0; 100];
        let mut poll = || {
            Pin::new(&mut socket).poll_read(&mut Context::from_waker(&task), &mut buffer).is_ready()
        };
        assert!(!poll());
        unread.read(1, FRAME_BYTES_MAX);
        assert_eq!(wakes.count(), 0, "yamux keeps it until the next read");
        unread.dropped(2);
        assert_eq!(wakes.count(), 1);
        unread.dropped(1);
        assert_eq!(wakes.count(), 1, "nobody waits");
        assert!(poll());
    }

    #[test]
    fn a_frame_that_yamux_would_not_take_is_held_back_until_the_stream_is_read_or_dropped() {
        const MAX: usize = FRAME_BYTES_MAX;
        for is_dropped in [false, true] {
            let unread = Unread::default();
            let wire = [frame(SYN, 1, MAX), frame(0, 1, MAX).repeat(3), frame(FIN, 1, 9)].concat();
            let mut socket = Socket::new(Cursor::new(wire), unread.clone());
            let (wakes, task) = Wakes::new();
            let mut buffer = vec![0; 1 << 20];
            let mut given = |wakes: u32| {
                let mut all = Vec::new();
                let cx = &mut Context::from_waker(&task);
                while let Poll::Ready(read) = Pin::new(&mut socket).poll_read(cx, &mut buffer) {
                    match read.unwrap() {
                        0 => break,
                        read => all.extend_from_slice(&buffer[..read]),
                    }
                }
                (all.len(), all.last_chunk().map(|last| Header::parse(*last)), wakes)
            };
            // The window of a stream that was just opened.
            assert_eq!(given(0).0, 4 * (HEADER + MAX));
            if is_dropped {
                unread.dropped(1);
                assert_eq!(wakes.count(), 1);
                let ends = Header { tag: DATA, flags: FIN, id: 1, len: 0 };
                assert_eq!(given(1), (HEADER, Some(ends), 1), "that it ends, and no more");
            } else {
                unread.read(1, 2 * MAX);
                assert_eq!(wakes.count(), 1);
                assert_eq!(given(1).0, 0, "what was read is looked at with the next read");
                unread.read(1, 0);
                assert_eq!((wakes.count(), given(2).0), (2, 0), "that is half of the window");
                unread.read(1, 2 * MAX);
                unread.read(1, 0);
                assert_eq!((wakes.count(), given(3).0), (3, HEADER + 9));
            }
        }
    }

    /// Headers and bytes as yamux is given them; what it is given is read at once.
    fn given(wire: Vec<u8>, piece: usize) -> Vec<(u16, usize)> {
        let unread = Unread::default();
        unread.opened(1);
        let mut socket = Socket::new(Cursor::new(wire), unread.clone());
        let (mut all, mut buffer) = (Vec::new(), vec![0; piece]);
        while let Some(Ok(read @ 1..)) = socket.read(&mut buffer).now_or_never() {
            all.extend_from_slice(&buffer[..read]);
            unread.read(1, FRAME_BYTES_MAX);
            unread.read(1, 0);
        }
        let (mut frames, mut next) = (Vec::new(), 0);
        while let Some(header) = all.get(next..next + HEADER) {
            let len = u32::from_be_bytes(header[8..].try_into().unwrap()) as usize;
            frames.push((u16::from_be_bytes([header[2], header[3]]), len));
            next += HEADER + len;
            assert!(next <= all.len(), "the last frame is whole");
        }
        frames
    }

    #[test]
    fn a_long_frame_is_handed_on_as_several_of_which_the_first_opens_and_the_last_ends_its_stream()
    {
        const MAX: usize = FRAME_BYTES_MAX;
        for piece in [1, 12, 4096, 1 << 20] {
            assert_eq!(given(frame(SYN | FIN, 1, MAX), piece), [(SYN | FIN, MAX)]);
            let two = [(SYN, MAX), (FIN, 1)];
            assert_eq!(given(frame(SYN | FIN, 1, MAX + 1), piece), two);
            let wire = [frame(0, 1, 3 * MAX), frame(FIN, 1, 5)].concat();
            assert_eq!(given(wire, piece), [(0, MAX), (0, MAX), (0, MAX), (FIN, 5)]);
        }
    }

    #[test]
    fn of_a_frame_as_long_as_frames_get_no_more_is_held_than_there_is_room_for() {
        let unread = Unread::default();
        unread.opened(1);
        let wire = frame(0, 1, 3 << 20);
        let given = read_all(wire, 1 << 20, &unread).unwrap();
        assert_eq!(given, 4 * (HEADER + FRAME_BYTES_MAX));
        assert_eq!(total(&unread), 4 * (FRAME_BYTES_MAX + PER_FRAME));
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
