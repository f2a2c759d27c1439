//! Credit beside that of yamux, for streams that the peer opens.
//!
//! A stream begins with a window of 256 KiB, and yamux grants more when half of that was read. Other implementations
//! answer each message on a stream of its own: one with a block of 1 MiB would wait for three round trips. So with
//! the first frame that answers on such a stream the peer is granted more at once, and its second round trip carries
//! the rest.
//!
//! Yamux knows nothing of that, and ends a connection on which a stream sends more than yamux granted. It need not
//! have granted it when the frame arrives, only when it is given the frame: a frame that is too early is held back
//! until the stream is read, which is soon. What yamux has granted by then is known without waiting for what it
//! writes. Two peers that both waited for that could wait for ever, each with its sending buffer full.

use super::frame::{ACK, DATA, HEADER, Header, RST, WINDOW_UPDATE};

/// The window of a stream that was just opened: what the specification of yamux says.
pub(super) const WINDOW_BYTES: usize = 256 << 10;

/// Bytes that the peer is granted beside what yamux grants. With the first window, and with what yamux adds when half of
/// that was read, it is enough for a block of 1 MiB and what its message has around it.
///
/// While nothing can be written, the peer can send what it was granted before, and this; yamux then has a window update
/// to be written for each 128 KiB: eight. It queues eleven frames of a stream, and when that is full it grants no more,
/// whatever is read.
const EXTRA_BYTES: u32 = 768 << 10;

/// The frames of a stream that leave place for those eight.
const WRITES_MAX: u32 = 3;

/// What yamux takes on a stream that the peer opened. Kept as differences, which are small: a peer has hundreds of streams.
#[derive(Debug)]
pub(super) struct Window {
    /// Bytes that the peer was granted in what yamux has written, less those that yamux was given.
    granted: i32,
    /// Bytes that yamux was given, less those read before the last read.
    unseen: u32,
    /// Bytes of the last read.
    last_read: u32,
    writes: u32,
}

impl Window {
    pub(super) const fn new() -> Self {
        Self { granted: WINDOW_BYTES as i32, unseen: 0, last_read: 0, writes: 0 }
    }

    /// Yamux has granted the peer so much that it takes so many bytes more.
    pub(super) const fn takes(&self, bytes: usize) -> bool {
        // Each read of a stream begins with a look at what was read before: when more than half of the window was, yamux
        // grants it again. It never has less than half of its first window to give, then.
        let is_granted = bytes as i64 <= self.granted as i64;
        let is_soon = self.writes <= WRITES_MAX;
        is_granted || is_soon && self.unseen as usize + bytes <= WINDOW_BYTES / 2
    }

    /// Yamux is given so many bytes.
    pub(super) const fn gives(&mut self, bytes: usize) {
        self.granted = self.granted.saturating_sub(bytes as i32);
        self.unseen += bytes as u32;
    }

    /// So many bytes were read.
    pub(super) const fn reads(&mut self, bytes: usize) {
        self.unseen -= self.last_read;
        self.last_read = bytes as u32;
    }

    /// Something was written on the stream.
    pub(super) const fn writes(&mut self) {
        self.writes = self.writes.saturating_add(1);
    }

    /// Yamux has written that it grants so many bytes.
    pub(super) const fn grants(&mut self, bytes: u32) {
        self.granted = self.granted.saturating_add_unsigned(bytes);
    }
}

/// What yamux writes, frame by frame, and what is put between two frames.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// The header that is being written, and how much of it is.
    header: [u8; HEADER],
    filled: usize,
    /// Bytes of the frame that are still to be written.
    body: usize,
    between: Vec<u8>,
}

impl Writer {
    /// What is to be written before the next bytes of yamux.
    pub(super) fn between(&self) -> &[u8] {
        if self.filled == 0 && self.body == 0 { &self.between } else { &[] }
    }

    /// So much of that was written.
    pub(super) fn between_written(&mut self, bytes: usize) {
        self.between.drain(..bytes);
    }

    /// Of the bytes of yamux those that do not go beyond the header or the frame.
    pub(super) fn part<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let most = if self.body > 0 { self.body } else { HEADER - self.filled };
        bytes.get(..most).unwrap_or(bytes)
    }

    /// These bytes, all within a part, were written. The header that they completed.
    pub(super) fn written(&mut self, bytes: &[u8]) -> Option<Header> {
        if self.body > 0 {
            self.body -= bytes.len();
            return None;
        }
        let rest = self.header.iter_mut().skip(self.filled);
        rest.zip(bytes).for_each(|(to, byte)| *to = *byte);
        self.filled += bytes.len();
        if self.filled < HEADER {
            return None;
        }
        self.filled = 0;
        let header = Header::parse(self.header);
        self.body = header.body();
        Some(header)
    }

    /// Behind the first frame on a stream that the peer opened, it is granted more.
    pub(super) fn grant_extra(&mut self, first: Header) {
        if first.flags & (ACK | RST) == ACK && matches!(first.tag, DATA | WINDOW_UPDATE) {
            let grant = Header { tag: WINDOW_UPDATE, flags: 0, id: first.id, len: EXTRA_BYTES };
            self.between.extend(grant.bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_much_is_written_on_a_stream_only_what_yamux_has_written_counts() {
        let mut window = Window::new();
        window.gives(WINDOW_BYTES);
        window.reads(WINDOW_BYTES);
        assert!(!window.takes(1), "what was read is looked at with the next read");
        window.reads(0);
        assert!(window.takes(WINDOW_BYTES / 2) && !window.takes(WINDOW_BYTES / 2 + 1));
        (0..WRITES_MAX).for_each(|_| window.writes());
        assert!(window.takes(WINDOW_BYTES / 2));
        window.writes();
        assert!(!window.takes(1), "its queue may be full");
        window.grants(5);
        assert!(window.takes(5) && !window.takes(6));
    }

    #[test]
    fn more_is_granted_between_two_frames_behind_the_first_one_that_answers() {
        let mut writer = Writer::default();
        let frame = Header { tag: DATA, flags: ACK, id: 3, len: 5 };
        for byte in frame.bytes().iter().take(HEADER - 1) {
            assert_eq!(writer.written(&[*byte]), None);
        }
        assert_eq!(writer.part(&[5, 1, 2]), [5], "no further than the header");
        assert_eq!(writer.written(&[5]), Some(frame));
        writer.grant_extra(frame);
        assert_eq!(writer.written(writer.part(&[0; 3])), None);
        assert!(writer.between().is_empty(), "within a frame");
        assert_eq!(writer.part(&[0; 3]), [0; 2], "no further than the frame");
        assert_eq!(writer.written(&[0; 2]), None);
        let grant = Header { tag: WINDOW_UPDATE, flags: 0, id: 3, len: EXTRA_BYTES };
        assert_eq!(writer.between(), grant.bytes());
        writer.between_written(4);
        assert_eq!(writer.between(), &grant.bytes()[4..]);
        writer.between_written(8);
        assert!(writer.between().is_empty());
    }

    #[test]
    fn a_stream_that_is_reset_and_a_ping_are_granted_nothing() {
        let mut writer = Writer::default();
        for (tag, flags) in [(DATA, ACK | RST), (DATA, 0), (WINDOW_UPDATE, 0), (2, ACK)] {
            writer.grant_extra(Header { tag, flags, id: 3, len: 0 });
            assert!(writer.between().is_empty());
        }
    }
}
