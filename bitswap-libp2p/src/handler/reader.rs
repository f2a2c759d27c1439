//! Reads frames from one stream.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use bitswap_core::StreamKind;
use bitswap_core::error::DecodeError;
use bitswap_core::message::FrameDecoder;
use bytes::Bytes;
use futures::io::ReadHalf;
use futures::{AsyncRead, AsyncWrite};
use libp2p_swarm::Stream;

use crate::mailbox::StreamId;
use crate::memory::{HeldFrame, Memory};
use crate::progress::{Progress, READ_WINDOW};

/// What the readers of a connection share. All run in the connection's task, so the counters are
/// never contended.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Of all connections of the peer.
    memory: Arc<Memory>,
    /// Readers within a frame.
    busy: AtomicUsize,
    /// Counts what is read, so that readers can be ordered by when they last were active.
    turn: AtomicU64,
    arrivals: Arrivals,
}

/// Counts the bytes of long frames of all connections as they arrive.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arrivals(Arc<AtomicU64>);

impl Arrivals {
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Shared {
    pub(crate) fn new(memory: Arc<Memory>, arrivals: Arrivals) -> Self {
        Self { memory, arrivals, ..Self::default() }
    }

    /// Whether a reader is within a frame.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > 0
    }
}

/// Whose stream is read.
#[derive(Debug)]
pub(crate) enum Source<S = Stream> {
    /// The peer's. Nothing is ever written to it.
    Theirs(S),
    /// One that we opened for a stream. Some peers answer on it.
    Ours(ReadHalf<S>, StreamKind, StreamId),
}

/// Names a reader among those of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReaderId(u64);

/// What a reader gives.
#[derive(Debug)]
pub(crate) enum Item {
    /// A whole frame, without its length.
    Frame(Whole),
    /// Nothing follows. Names our own stream, if it was one.
    Ended(Ended, Option<(StreamKind, StreamId)>),
}

/// A whole frame.
#[derive(Debug)]
pub(crate) struct Whole {
    /// Its bytes, without its length.
    pub(crate) frame: Bytes,
    /// The reader it is from.
    pub(crate) from: ReaderId,
    /// Its memory, until it is decoded.
    pub(crate) held: HeldFrame,
}

/// Why nothing follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The peer ended the stream in good order.
    Finished,
    /// The peer reset the stream, or the connection failed.
    Failed(io::ErrorKind),
    /// What the peer sent breaks the format.
    Malformed(DecodeError),
    /// It stopped moving within a frame.
    Stalled,
    /// It had to give way: too many streams, or too much memory.
    Evicted,
}

/// One stream being read.
#[derive(Debug)]
pub(crate) struct Reader<S = Stream> {
    id: ReaderId,
    /// `None` once it has ended. Dropping a stream that was not finished resets it.
    source: Option<Source<S>>,
    decoder: FrameDecoder,
    shared: Arc<Shared>,
    /// This reader's part of the peer's memory for frames, in bytes.
    memory: usize,
    /// This reader's part of [`Shared::busy`].
    busy: bool,
    progress: Progress,
    active: u64,
    /// The peer's end was read; our own is being written.
    finishing: bool,
    /// Our half of the stream is closed, so the peer has no reason to keep its half open long.
    draining: bool,
    /// Why it ends, when that was decided from outside.
    ending: Option<Item>,
    task: Option<Waker>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Reader<S> {
    pub(crate) fn new(source: Source<S>, shared: Arc<Shared>) -> Self {
        let active = shared.turn.fetch_add(1, Ordering::Relaxed);
        Self {
            id: ReaderId(active),
            source: Some(source),
            decoder: FrameDecoder::default(),
            shared,
            memory: 0,
            busy: false,
            progress: Progress::default(),
            active,
            finishing: false,
            draining: false,
            ending: None,
            task: None,
        }
    }

    pub(crate) const fn id(&self) -> ReaderId {
        self.id
    }

    /// When it was last active; `None` once it has ended.
    pub(crate) fn last_active(&self) -> Option<u64> {
        self.source.is_some().then_some(self.active)
    }

    /// Resets the stream; the next item tells why.
    pub(crate) fn end(&mut self, why: Ended) {
        if self.source.is_some() {
            self.ending = Some(self.ended(why));
            self.task.take().into_iter().for_each(Waker::wake);
        }
    }

    /// A tick passed: a stream that stopped moving ends.
    pub(crate) fn tick(&mut self) {
        if self.source.is_some() && self.progress.tick(READ_WINDOW) {
            // A stream that has said all is not to blame for what is left of it.
            let done = self.finishing || self.draining && !self.decoder.is_mid_frame();
            self.end(if done { Ended::Finished } else { Ended::Stalled });
        }
    }

    /// Whether this is the other half of a stream of ours.
    pub(crate) fn is_of(&self, ours: StreamId) -> bool {
        matches!(&self.source, Some(Source::Ours(_, _, stream)) if *stream == ours)
    }

    /// Our half of the stream was closed: the peer may say what it still has to say, as long as
    /// the stream moves.
    pub(crate) fn drain(&mut self) {
        self.draining = true;
        self.progress.moved(0, true);
        self.account(true);
    }

    fn ended(&mut self, why: Ended) -> Item {
        let of = match self.source.take() {
            Some(Source::Ours(_, kind, stream)) => Some((kind, stream)),
            _ => None,
        };
        self.decoder = FrameDecoder::default();
        self.account(false);
        Item::Ended(why, of)
    }

    /// Brings the shared sums up to date. Whether there was room for what this reader holds.
    fn account(&mut self, busy: bool) -> bool {
        self.account_as(self.decoder.allocated(), busy)
    }

    fn account_as(&mut self, memory: usize, busy: bool) -> bool {
        let room = self.shared.memory.frame(self.memory, memory);
        self.memory = memory;
        if busy && !self.busy {
            self.shared.busy.fetch_add(1, Ordering::Relaxed);
        } else if self.busy && !busy {
            self.shared.busy.fetch_sub(1, Ordering::Relaxed);
        }
        self.busy = busy;
        room
    }

    /// The next frame or end.
    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Item> {
        loop {
            if self.finishing {
                if let Some(Source::Theirs(stream)) = &mut self.source {
                    // Whether the end can be written or not: there is nothing else to do.
                    std::task::ready!(Pin::new(stream).poll_close(cx)).ok();
                }
                return Poll::Ready(self.ended(Ended::Finished));
            }
            match self.decoder.next_frame() {
                Ok(Some(frame)) => {
                    let busy = self.draining || self.decoder.is_mid_frame();
                    self.progress.moved(0, false);
                    self.progress.moved(0, busy);
                    let memory = self.decoder.allocated();
                    let held = self.shared.memory.whole_frame(self.memory.saturating_sub(memory));
                    self.memory = self.memory.min(memory);
                    self.account(busy);
                    return Poll::Ready(Item::Frame(Whole { frame, from: self.id, held }));
                }
                Ok(None) => {}
                Err(error) => return Poll::Ready(self.ended(Ended::Malformed(error))),
            }
            // It counts before it is allocated, and whether it is filled or not.
            let memory = self.decoder.will_allocate();
            if !self.account_as(memory, self.busy) {
                return Poll::Ready(self.ended(Ended::Evicted));
            }
            let buffer = self.decoder.buffer_mut();
            let read = match &mut self.source {
                Some(Source::Theirs(stream)) => Pin::new(stream).poll_read(cx, buffer),
                Some(Source::Ours(stream, ..)) => Pin::new(stream).poll_read(cx, buffer),
                None => return Poll::Pending,
            };
            let Poll::Ready(read) = read else {
                self.decoder.shrink();
                self.account(self.busy);
                return Poll::Pending;
            };
            match read {
                Ok(0) => match self.decoder.finish() {
                    Ok(()) => {
                        self.finishing = true;
                        self.progress.moved(0, true);
                        self.account(true);
                    }
                    Err(error) => return Poll::Ready(self.ended(Ended::Malformed(error))),
                },
                Ok(bytes) => {
                    self.decoder.advance(bytes);
                    if self.decoder.arriving().is_some() {
                        self.shared.arrivals.add(bytes as u64);
                    }
                    self.active = self.shared.turn.fetch_add(1, Ordering::Relaxed);
                    self.progress.moved(bytes as u64, true);
                    self.account(true);
                }
                Err(error) => return Poll::Ready(self.ended(Ended::Failed(error.kind()))),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> futures::Stream for Reader<S> {
    type Item = Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        let reader = self.get_mut();
        if let Some(ending) = reader.ending.take() {
            return Poll::Ready(Some(ending));
        }
        if reader.source.is_none() {
            return Poll::Ready(None);
        }
        let item = reader.poll_item(cx);
        if item.is_pending() {
            match &mut reader.task {
                Some(task) => task.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
        }
        item.map(Some)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use futures::{FutureExt as _, StreamExt as _};

    use super::*;
    use crate::memory::FRAMES_MAX;
    use crate::progress::READ_WINDOW as WINDOW;

    /// What the peer has sent so far.
    #[derive(Clone, Debug, Default)]
    struct Sent(Arc<Mutex<VecDeque<u8>>>);

    impl Sent {
        fn send(&self, bytes: &[u8]) {
            self.0.lock().unwrap().extend(bytes);
        }
    }

    impl AsyncRead for Sent {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            let mut sent = self.0.lock().unwrap();
            if sent.is_empty() {
                return Poll::Pending;
            }
            let len = sent.len().min(buffer.len());
            buffer.iter_mut().zip(sent.drain(..len)).for_each(|(to, byte)| *to = byte);
            Poll::Ready(Ok(len))
        }
    }

    impl AsyncWrite for Sent {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            panic!("nothing is written here")
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn reader() -> (Reader<Sent>, Sent, Arc<Shared>) {
        let (sent, shared) = (Sent::default(), Arc::new(Shared::default()));
        (Reader::new(Source::Theirs(sent.clone()), shared.clone()), sent, shared)
    }

    /// What it gives without waiting.
    fn next(reader: &mut Reader<Sent>) -> Option<Item> {
        reader.next().now_or_never().map(|item| item.expect("it has not ended"))
    }

    fn frame(item: Option<Item>) -> Bytes {
        match item {
            Some(Item::Frame(whole)) => whole.frame,
            other => panic!("{other:?}"),
        }
    }

    /// Ticks until it ends, and how; at most ten windows.
    fn ended(reader: &mut Reader<Sent>) -> Option<(u32, Ended)> {
        (1..=10 * WINDOW).find_map(|ticks| {
            reader.tick();
            match next(reader) {
                None => None,
                Some(Item::Ended(why, _)) => Some((ticks, why)),
                Some(frame) => panic!("{frame:?}"),
            }
        })
    }

    #[test]
    fn every_whole_frame_gives_the_next_one_its_time() {
        let (mut reader, sent, _) = reader();
        sent.send(&[2, 1]);
        assert!(next(&mut reader).is_none());
        for _ in 0..10 {
            for _ in 1..WINDOW {
                reader.tick();
                assert!(next(&mut reader).is_none());
            }
            // The rest of one frame and the beginning of another: it never rests between two.
            sent.send(&[2, 2, 1]);
            assert_eq!(frame(next(&mut reader))[..], [1, 2]);
            assert!(next(&mut reader).is_none());
        }
        assert_eq!(ended(&mut reader), Some((WINDOW, Ended::Stalled)));
    }

    #[test]
    fn a_stream_of_ours_that_is_closed_keeps_the_connection_as_long_as_it_moves() {
        let (mut reader, sent, shared) = reader();
        assert!(next(&mut reader).is_none());
        assert!(!shared.is_busy(), "it rests");
        reader.drain();
        assert!(shared.is_busy());
        for _ in 0..10 {
            for _ in 1..WINDOW {
                reader.tick();
            }
            sent.send(&[1, 7]);
            assert_eq!(frame(next(&mut reader))[..], [7]);
            assert!(shared.is_busy(), "more may follow");
            assert!(next(&mut reader).is_none());
        }
        // It has said all that it will say.
        assert_eq!(ended(&mut reader), Some((WINDOW, Ended::Finished)));
        assert!(!shared.is_busy());
    }

    #[test]
    fn a_frame_for_which_there_is_no_room_is_read_no_further() {
        let (mut reader, sent, shared) = reader();
        sent.send(&[0x80, 0x80, 0x80, 0x02]);
        sent.send(&vec![7; 3 << 20]);
        assert!(matches!(next(&mut reader), Some(Item::Ended(Ended::Evicted, None))));
        assert!(!sent.0.lock().unwrap().is_empty(), "it went on to the end");
        assert!(shared.memory.frame(0, FRAMES_MAX), "what it held is given back");
    }

    #[test]
    fn a_frame_that_stops_while_a_stream_drains_is_the_peers_fault() {
        let (mut reader, sent, shared) = reader();
        reader.drain();
        sent.send(&[2, 1]);
        assert!(next(&mut reader).is_none());
        assert_eq!(ended(&mut reader), Some((WINDOW, Ended::Stalled)));
        assert!(!shared.is_busy());
    }
}
