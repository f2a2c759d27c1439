//! From frames to messages: decoding and verifying, in the order of arrival.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bitswap_core::error::DecodeError;
use bitswap_core::message::{Accept, Decoded, Payload, decode};
use bitswap_core::{Block, Message};
use bytes::Bytes;
use futures::channel::oneshot;

use crate::executor::Executor;
use crate::traffic::Traffic;

/// Block bytes of a message up to which they are hashed in the connection's task: less time than
/// handing them over takes.
const INLINE_BYTES_MAX: usize = 32 << 10;

/// Block bytes being hashed beside the connection's task above which it stops reading.
const PENDING_BYTES_MAX: usize = 4 << 20;

/// Messages received and not reported yet.
pub(crate) struct Incoming {
    accept: Arc<Mutex<Accept>>,
    executor: Arc<dyn Executor>,
    queue: VecDeque<Pending>,
    pending_bytes: usize,
}

/// A message in the queue.
enum Pending {
    Ready(Message),
    /// Its blocks are being hashed.
    Hashing {
        message: Message,
        verified: oneshot::Receiver<Verified>,
        bytes: usize,
    },
}

/// What became of a message's payloads.
#[derive(Debug, Default)]
struct Verified {
    blocks: Vec<Block>,
    unverifiable: u64,
}

impl Incoming {
    pub(crate) fn new(accept: Arc<Mutex<Accept>>, executor: Arc<dyn Executor>) -> Self {
        Self { accept, executor, queue: VecDeque::new(), pending_bytes: 0 }
    }

    /// Whether another frame may be read.
    pub(crate) fn has_room(&self) -> bool {
        self.pending_bytes < PENDING_BYTES_MAX
    }

    /// Whether no message waits, for its blocks or to be taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes a frame. On error nothing of it was taken and its stream must be reset.
    pub(crate) fn push(&mut self, frame: &Bytes, traffic: &mut Traffic) -> Result<(), DecodeError> {
        let Decoded { message, payloads, ignored, skipped } = decode(frame)?;
        traffic.ignored_items += u64::from(ignored) + u64::from(skipped);
        let payloads = self.admitted(frame, payloads, traffic);
        let bytes = payloads.iter().map(|payload| payload.data.len()).sum();
        let mut message = message;
        if bytes <= INLINE_BYTES_MAX {
            let verified = verify(payloads);
            traffic.unverifiable_payloads += verified.unverifiable;
            message.add_blocks(verified.blocks);
            self.queue.push_back(Pending::Ready(message));
        } else {
            let (answer, verified) = oneshot::channel();
            // Nobody waits for the answer when the connection has closed meanwhile.
            self.executor.compute(Box::new(move || drop(answer.send(verify(payloads)))));
            self.pending_bytes += bytes;
            self.queue.push_back(Pending::Hashing { message, verified, bytes });
        }
        Ok(())
    }

    /// The next message, in the order in which their frames arrived; `None` while there is none.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        traffic: &mut Traffic,
    ) -> Poll<Option<Message>> {
        if let Some(Pending::Hashing { message, verified, bytes }) = self.queue.front_mut() {
            match Pin::new(verified).poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(verified)) => {
                    traffic.unverifiable_payloads += verified.unverifiable;
                    message.add_blocks(verified.blocks);
                }
                Poll::Ready(Err(oneshot::Canceled)) => {
                    tracing::warn!("the executor dropped a job; the blocks of a message are lost");
                    traffic.dropped_jobs += 1;
                }
            }
            self.pending_bytes -= *bytes;
        }
        Poll::Ready(self.queue.pop_front().map(|pending| match pending {
            Pending::Ready(message) | Pending::Hashing { message, .. } => message,
        }))
    }

    /// The payloads that the peer was asked for.
    fn admitted(
        &self,
        frame: &Bytes,
        mut payloads: Vec<Payload>,
        traffic: &mut Traffic,
    ) -> Vec<Payload> {
        if payloads.is_empty() {
            return payloads;
        }
        let all = payloads.len();
        {
            let mut accept = self.accept.lock().unwrap_or_else(PoisonError::into_inner);
            payloads.retain(|payload| accept.admit(&payload.prefix));
        }
        traffic.refused_payloads += (all - payloads.len()) as u64;
        let bytes: usize = payloads.iter().map(|payload| payload.data.len()).sum();
        if bytes < frame.len() / 2 {
            // A payload is a slice of its frame and keeps all of it in memory. A peer that pads
            // its messages must not make a small block cost megabytes.
            for payload in &mut payloads {
                payload.data = Bytes::copy_from_slice(&payload.data);
            }
        }
        payloads
    }
}

fn verify(payloads: Vec<Payload>) -> Verified {
    let mut verified = Verified::default();
    for payload in payloads {
        match payload.verify() {
            Ok(block) => verified.blocks.push(block),
            Err(error) => {
                tracing::debug!(%error, "a payload cannot be verified");
                verified.unverifiable += 1;
            }
        }
    }
    verified
}
