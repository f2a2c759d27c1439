//! The socket below yamux, which reads and writes along.
//!
//! What the peer sends is counted before yamux is given it, and waits while there is no room for it. What yamux writes
//! says what it has granted; where a stream is to be granted more, that goes between two of its frames.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::io::{AsyncRead, AsyncWrite};

use super::super::credit::Writer;
use super::super::frame::{ACK, DATA, FIN, HEADER, Header, RST, SYN, WINDOW_UPDATE};
use super::{FRAME_BYTES_MAX, Unread};

/// The socket of a connection, encrypted, below yamux.
#[derive(Debug)]
pub(in crate::multiplex) struct Socket<C> {
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
    pub(in crate::multiplex) fn new(inner: C, unread: Unread) -> Self {
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
    use futures::FutureExt as _;
    use futures::future::poll_fn;
    use futures::io::Cursor;

    use super::*;

    #[test]
    fn what_is_written_is_passed_on() {
        use futures::io::AsyncWriteExt as _;
        let mut socket = Socket::new(Cursor::new(Vec::new()), Unread::default());
        socket.write_all(b"bytes").now_or_never().unwrap().unwrap();
        poll_fn(|cx| Pin::new(&mut socket).poll_flush(cx)).now_or_never().unwrap().unwrap();
        assert_eq!(socket.inner.into_inner(), b"bytes");
    }
}
