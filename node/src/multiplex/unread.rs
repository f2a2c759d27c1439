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

mod socket;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use super::account::Account;
use super::credit::Window;

pub(super) use socket::Socket;

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
