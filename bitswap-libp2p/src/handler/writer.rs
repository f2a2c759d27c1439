//! Writes messages to one stream, one after another.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bitswap_core::{Message, SendId, Version};
use bytes::{Buf, Bytes, BytesMut};
use futures::AsyncWrite;

use crate::progress::{Progress, WRITE_WINDOW};

/// Segments from this length on, which are blocks, are written from the store's buffer as they are, but for what
/// fills a run up to this length. Yamux's default for a frame.
const LONG: usize = 16 << 10;

/// Shorter segments are gathered into runs of this many bytes: a frame of the node's streams, and four of yamux's
/// default. Written one by one, each would become a frame, an encryption and a system call of its own.
const RUN_BYTES: usize = 63 << 10;

/// A stream with the messages that wait for it, in order.
#[derive(Debug)]
pub(crate) struct Writer<W> {
    stream: W,
    queue: VecDeque<(SendId, Version, Message)>,
    /// The message being written: its id and length, what is on its way into the stream, what follows.
    current: Option<(SendId, u64, Bytes, VecDeque<Bytes>)>,
    unflushed: bool,
    progress: Progress,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    pub(crate) fn new(stream: W) -> Self {
        Self {
            stream,
            queue: VecDeque::new(),
            current: None,
            unflushed: false,
            progress: Progress::default(),
        }
    }

    pub(crate) fn push(&mut self, id: SendId, version: Version, message: Message) {
        self.queue.push_back((id, version, message));
        if self.queue.len() == 1 && self.current.is_none() {
            self.progress.moved(0, true);
        }
    }

    /// Writes as much as the stream takes and names the messages it took whole, each with its length. Returns
    /// the number of bytes taken.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut sent: impl FnMut(SendId, u64),
    ) -> io::Result<u64> {
        let mut bytes = 0;
        loop {
            let Some((id, len, run, rest)) = &mut self.current else {
                let Some((id, version, message)) = self.queue.pop_front() else { break };
                let mut rest = VecDeque::from(message.encode(version).into_segments());
                let len = rest.iter().map(|segment| segment.len() as u64).sum();
                self.current = Some((id, len, next_run(&mut rest), rest));
                continue;
            };
            if run.is_empty() {
                *run = next_run(rest);
            }
            if run.is_empty() {
                sent(*id, *len);
                self.current = None;
                self.progress.moved(0, !self.queue.is_empty());
                continue;
            }
            match Pin::new(&mut self.stream).poll_write(cx, run) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(taken)) => {
                    run.advance(taken);
                    bytes += taken as u64;
                    self.unflushed = true;
                    self.progress.moved(taken as u64, true);
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(bytes),
            }
        }
        if self.unflushed && Pin::new(&mut self.stream).poll_flush(cx)?.is_ready() {
            self.unflushed = false;
        }
        Ok(bytes)
    }

    /// Whether the stream takes nothing any more, not even no bytes at all.
    pub(crate) fn is_gone(&mut self, cx: &mut Context<'_>) -> bool {
        matches!(Pin::new(&mut self.stream).poll_write(cx, &[]), Poll::Ready(Err(_)))
    }

    /// Whether messages wait.
    pub(crate) fn is_busy(&self) -> bool {
        self.current.is_some() || !self.queue.is_empty()
    }

    /// A tick passed: true when the stream has stopped taking bytes.
    pub(crate) fn tick(&mut self) -> bool {
        self.progress.tick(WRITE_WINDOW)
    }

    /// Ends the stream in good order.
    pub(crate) fn close(self) -> Closing<W> {
        let mut progress = Progress::default();
        progress.moved(0, true);
        Closing { stream: self.stream, progress }
    }
}

/// A stream whose end is being written.
#[derive(Debug)]
pub(crate) struct Closing<W> {
    stream: W,
    progress: Progress,
}

impl<W: AsyncWrite + Unpin> Closing<W> {
    /// Whether the end was written, or cannot be.
    pub(crate) fn is_done(&mut self, cx: &mut Context<'_>) -> bool {
        Pin::new(&mut self.stream).poll_close(cx).is_ready()
    }

    /// A tick passed: true when the end could not be written in time.
    pub(crate) fn tick(&mut self) -> bool {
        self.progress.tick(WRITE_WINDOW)
    }
}

/// The next bytes to write: a long segment as it is, or as many short ones as make a run.
fn next_run(segments: &mut VecDeque<Bytes>) -> Bytes {
    if segments.len() == 1 || segments.front().is_some_and(|first| first.len() >= LONG) {
        return segments.pop_front().unwrap_or_default();
    }
    let most = |segment: &Bytes| if segment.len() >= LONG { LONG } else { RUN_BYTES };
    let bytes: usize = segments.iter().map(|segment| segment.len().min(LONG)).sum();
    let mut run = BytesMut::with_capacity(bytes.min(RUN_BYTES));
    while let Some(segment) = segments.front_mut() {
        let room = most(segment).saturating_sub(run.len());
        if room == 0 {
            break;
        }
        run.extend_from_slice(&segment.split_to(segment.len().min(room)));
        if segment.is_empty() {
            segments.pop_front();
        }
    }
    run.freeze()
}

#[cfg(test)]
mod tests {
    use bitswap_core::{Config, Engine, Outgoing, Output, SessionOptions, Timestamp, Want};

    use super::*;
    use crate::tests::block;

    fn runs(segments: &[Bytes]) -> Vec<Bytes> {
        let mut segments: VecDeque<Bytes> = segments.iter().cloned().collect();
        let mut runs = Vec::new();
        while !segments.is_empty() {
            runs.push(next_run(&mut segments));
        }
        runs
    }

    #[test]
    fn what_is_written_may_rest_for_longer_than_what_is_read() {
        let mut closing = Writer::new(futures::io::sink()).close();
        assert_eq!((1..=100).find(|_| closing.tick()), Some(WRITE_WINDOW));
    }

    #[test]
    fn small_segments_travel_together_and_a_long_one_is_not_copied() {
        let small = Bytes::from(vec![1; 100]);
        let long = Bytes::from(vec![2; 256 << 10]);
        let segments = [small.clone(), long.clone(), small.clone(), small];
        let runs = runs(&segments);
        assert_eq!(runs.concat(), segments.concat());
        assert_eq!(
            runs.iter().map(Bytes::len).collect::<Vec<_>>(),
            [LONG, (256 << 10) - LONG + 100, 200]
        );
        assert_eq!(runs[1].as_ptr(), long[LONG - 100..].as_ptr());
    }

    #[test]
    fn a_thousand_small_segments_make_few_runs() {
        let segments = vec![Bytes::from_static(&[3; 50]); 1000];
        let runs = runs(&segments);
        assert_eq!(runs.concat(), segments.concat());
        assert_eq!(runs.len(), 1);
    }

    #[test]
    fn many_small_segments_fill_a_run_and_a_long_one_behind_them_is_not_copied() {
        let mut segments = vec![Bytes::from_static(&[3; 1000]); 100];
        let long = Bytes::from(vec![2; 100_000]);
        segments.push(long.clone());
        let runs = runs(&segments);
        assert_eq!(runs.concat(), segments.concat());
        let rest = 100_000 - RUN_BYTES;
        assert_eq!(runs.iter().map(Bytes::len).collect::<Vec<_>>(), [RUN_BYTES, rest, 100_000]);
        assert_eq!(runs[2].as_ptr(), long.as_ptr());
    }

    /// A message that asks a peer for a block.
    fn request() -> Outgoing<u8> {
        let now = Timestamp::ZERO;
        let mut engine = Engine::new(Config::default(), [1; 32], now);
        engine.handle_connected(1, None, now);
        let session = engine.open_session(SessionOptions::default(), now).unwrap();
        engine.want(session, [Want::from(*block("wanted").cid())], now).unwrap();
        loop {
            match engine.poll_output().expect("it asks the peer") {
                Output::Open { peer, stream } => {
                    engine.handle_open(peer, stream, Ok(Version::V1_2), now);
                }
                Output::Send(outgoing) => return outgoing,
                _ => {}
            }
        }
    }

    #[test]
    fn a_writer_is_busy_from_a_message_to_its_last_byte() {
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        let (mut writer, mut sent) = (Writer::new(futures::io::sink()), Vec::new());
        assert!(!writer.is_busy());
        let Outgoing { id, version, message, .. } = request();
        let len = message.encode(version).into_segments().concat().len() as u64;
        for _ in 0..2 {
            writer.push(id, version, message.clone());
            assert!(writer.is_busy());
        }
        let bytes = writer.poll(cx, |id, bytes| sent.push((id, bytes))).unwrap();
        assert_eq!((bytes, sent), (2 * len, vec![(id, len); 2]));
        assert!(!writer.is_busy());
    }
}
