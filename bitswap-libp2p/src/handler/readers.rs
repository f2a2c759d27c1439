//! All streams of a connection that are read.

use std::sync::Arc;
use std::task::{Context, Poll};

use bitswap_core::error::DecodeError;
use futures::StreamExt;
use futures::stream::SelectAll;

use super::reader::{Arrivals, Ended, Item, Reader, ReaderId, Shared, Source};
use crate::mailbox::StreamId;
use crate::memory::Memory;

/// The streams that are read, up to a number; beyond it, the one that was silent longest gives way.
#[derive(Debug)]
pub(crate) struct Readers {
    all: SelectAll<Reader>,
    shared: Arc<Shared>,
    max: usize,
}

impl Readers {
    pub(crate) fn new(max: usize, memory: Arc<Memory>, arrivals: Arrivals) -> Self {
        let shared = Arc::new(Shared::new(memory, arrivals));
        Self { all: SelectAll::new(), shared, max }
    }

    pub(crate) fn add(&mut self, source: Source) {
        if self.all.len() >= self.max {
            // Those that have ended already are on their way out.
            let oldest = self
                .all
                .iter_mut()
                .filter(|reader| reader.last_active().is_some())
                .min_by_key(|reader| reader.last_active());
            if let Some(oldest) = oldest {
                oldest.end(Ended::Evicted);
            }
        }
        self.all.push(Reader::new(source, self.shared.clone()));
    }

    /// The next frame or end of any of them, in turn.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        self.all.poll_next_unpin(cx)
    }

    /// What came from this reader was no message: resets its stream.
    pub(crate) fn malformed(&mut self, from: ReaderId, error: DecodeError) {
        if let Some(reader) = self.all.iter_mut().find(|reader| reader.id() == from) {
            reader.end(Ended::Malformed(error));
        }
    }

    /// The half of our stream that is written was closed: what the peer still says is read.
    pub(crate) fn drain(&mut self, ours: StreamId) {
        self.half_of(ours).into_iter().for_each(Reader::drain);
    }

    /// The half of our stream that is written was dropped: so is this one.
    pub(crate) fn drop_half_of(&mut self, ours: StreamId) {
        self.half_of(ours).into_iter().for_each(|reader| reader.end(Ended::Finished));
    }

    /// Whether a stream owes progress.
    pub(crate) fn is_busy(&self) -> bool {
        self.shared.is_busy()
    }

    /// A tick passed: streams that stopped moving end.
    pub(crate) fn tick(&mut self) {
        self.all.iter_mut().for_each(Reader::tick);
    }

    fn half_of(&mut self, ours: StreamId) -> Option<&mut Reader> {
        self.all.iter_mut().find(|reader| reader.is_of(ours))
    }
}
