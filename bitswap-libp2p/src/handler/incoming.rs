//! From frames to messages: decoding and verifying, in the order of arrival.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bitswap_core::error::DecodeError;
use bitswap_core::message::{Decoded, Payload, PayloadFilter, decode_answers};
use bitswap_core::{Block, Message};
use bytes::Bytes;
use futures::channel::oneshot;
use futures_timer::Delay;
use web_time::Instant;

use super::weight::Weight;
use crate::allowance::Allowance;
use crate::locked::Locked;
use crate::memory::{Held, Memory};
use crate::spawner::TaskSpawner;
use crate::trace::log;
use crate::traffic::Traffic;

/// Block bytes of a message up to which they are hashed in the connection's task: less time than
/// handing them over takes.
const INLINE_BYTES_MAX: usize = 32 << 10;

/// Messages received and not reported yet.
pub(crate) struct Incoming {
    filter: Locked<PayloadFilter>,
    allowance: Locked<Allowance>,
    /// Armed while the peer has said more than its allowance.
    pause: Option<Delay>,
    memory: Arc<Memory>,
    /// The last look found no room in it.
    crowded: bool,
    spawner: Arc<dyn TaskSpawner>,
    queue: VecDeque<Pending>,
}

/// A message in the queue.
struct Pending {
    message: Message,
    /// Its blocks, while they are being hashed.
    hashing: Option<oneshot::Receiver<Verified>>,
    /// Its memory. Counts the message too, not only its blocks: one without anything in it takes one
    /// byte on the wire and a hundred here.
    held: Held,
}

/// What became of a message's payloads.
#[derive(Debug, Default)]
struct Verified {
    blocks: Vec<Block>,
    unverifiable: u64,
}

impl Incoming {
    pub(crate) fn new(
        filter: Locked<PayloadFilter>,
        allowance: Locked<Allowance>,
        memory: Arc<Memory>,
        spawner: Arc<dyn TaskSpawner>,
    ) -> Self {
        let queue = VecDeque::new();
        Self { filter, allowance, pause: None, memory, crowded: false, spawner, queue }
    }

    /// Room for another frame; while there is none, the task is woken once there may be.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>, traffic: &mut Traffic) -> Poll<Held> {
        let room = self.memory.poll_message(cx.waker());
        self.crowded = room.is_pending();
        let room = ready!(room);
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(Pin::new(pause).poll(cx));
                self.pause = None;
            }
            match self.allowance.lock().pause(Instant::now()) {
                None => return Poll::Ready(room),
                Some(pause) => {
                    traffic.pauses += 1;
                    self.pause = Some(Delay::new(pause));
                }
            }
        }
    }

    /// Whether something will go on by itself: a message that waits for its blocks, or one that is read
    /// once those before it are applied.
    pub(crate) fn is_waiting(&self) -> bool {
        self.crowded || !self.queue.is_empty()
    }

    /// Takes a frame. On error nothing of it was taken and its stream must be reset.
    pub(crate) fn push(
        &mut self,
        frame: &Bytes,
        mut held: Held,
        traffic: &mut Traffic,
    ) -> Result<(), DecodeError> {
        let decoded = decode_answers(frame, held.answers_max())?;
        let Decoded { mut message, payloads, ignored, skipped } = decoded;
        let useless = ignored as usize + skipped as usize;
        traffic.ignored_items += useless as u64;
        let received = payloads.len();
        let payloads = self.admitted(payloads, traffic);
        // Blocks that were asked for are free, or a fast peer with small blocks would be slowed down. Any
        // other message costs something even if there is nothing in it.
        let refused = received - payloads.len();
        let message_itself = usize::from(payloads.is_empty());
        let items = message_itself + Weight::of(&message).items + refused + useless;
        self.allowance.lock().take(items, Instant::now());
        let frame_bytes = frame.len();
        let bytes: usize = payloads.iter().map(|payload| payload.data.len()).sum();
        // The queue's own memory too, which may be twice as long as what is in it.
        let queued = |message: &Message| Weight::of(message).bytes + 2 * size_of::<Pending>();
        let pending = if bytes <= INLINE_BYTES_MAX {
            let verified = verify(payloads, frame_bytes);
            traffic.unverifiable_payloads += verified.unverifiable;
            message.add_blocks(verified.blocks);
            held.set(queued(&message));
            Pending { message, hashing: None, held }
        } else {
            // Until they are hashed, the payloads keep all of the frame, and some are copied out of it.
            let list = payloads.capacity() * size_of::<Payload>();
            held.set(queued(&message) + frame_bytes + copied(&payloads, frame_bytes) + list);
            let (answer, verified) = oneshot::channel();
            // Nobody waits for the answer when the connection has closed meanwhile.
            let task = move || drop(answer.send(verify(payloads, frame_bytes)));
            self.spawner.spawn_blocking(Box::new(task));
            Pending { message, hashing: Some(verified), held }
        };
        self.queue.push_back(pending);
        Ok(())
    }

    /// The next message, in the order in which their frames arrived; `None` while there is none.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        traffic: &mut Traffic,
    ) -> Poll<Option<(Message, Held)>> {
        let Some(Pending { message, hashing, held }) = self.queue.front_mut() else {
            return Poll::Ready(None);
        };
        if let Some(verified) = hashing {
            match ready!(Pin::new(verified).poll(cx)) {
                Ok(verified) => {
                    traffic.unverifiable_payloads += verified.unverifiable;
                    message.add_blocks(verified.blocks);
                    held.set(Weight::of(message).bytes);
                }
                Err(oneshot::Canceled) => {
                    log!(warn, "the spawner dropped a task; the blocks of a message are lost");
                    traffic.dropped_tasks += 1;
                }
            }
        }
        Poll::Ready(self.queue.pop_front().map(|Pending { message, held, .. }| (message, held)))
    }

    /// The payloads that the peer was asked for.
    fn admitted(&self, mut payloads: Vec<Payload>, traffic: &mut Traffic) -> Vec<Payload> {
        if payloads.is_empty() {
            return payloads;
        }
        let all = payloads.len();
        {
            let mut filter = self.filter.lock();
            payloads.retain(|payload| filter.admit(&payload.prefix));
        }
        traffic.refused_payloads += (all - payloads.len()) as u64;
        payloads
    }
}

/// Whether a payload of a frame of so many bytes is copied.
fn is_copied(payload: &Payload, frame_bytes: usize) -> bool {
    payload.data.len() < frame_bytes - frame_bytes / 8
}

/// Bytes of payloads that are copied.
fn copied(payloads: &[Payload], frame_bytes: usize) -> usize {
    let copied = payloads.iter().filter(|payload| is_copied(payload, frame_bytes));
    copied.map(|payload| payload.data.len()).sum()
}

/// Hashes payloads of a frame of so many bytes. A payload is a slice of its frame and keeps all of
/// it in memory, whatever becomes of the others: one that is less than seven eighths of it is copied, so that
/// a block, which a store may keep as it is, never holds more than a seventh above its own bytes.
fn verify(payloads: Vec<Payload>, frame_bytes: usize) -> Verified {
    let mut verified = Verified::default();
    for mut payload in payloads {
        if is_copied(&payload, frame_bytes) {
            payload.data = Bytes::copy_from_slice(&payload.data);
        }
        match payload.verify() {
            Ok(block) => verified.blocks.push(block),
            Err(error) => {
                log!(debug, "a payload cannot be verified", error = error);
                verified.unverifiable += 1;
            }
        }
    }
    verified
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bitswap_core::message::Version;
    use bitswap_core::{Entry, WantKind, Wantlist};
    use futures::future::BoxFuture;
    use futures::task::noop_waker;

    use super::*;
    use crate::spawner::BlockingTask;
    use crate::tests::{block, bytes, room};

    struct Inline;

    impl TaskSpawner for Inline {
        fn spawn(&self, _future: BoxFuture<'static, ()>) {
            unreachable!("nothing is stored here");
        }

        fn spawn_blocking(&self, task: BlockingTask) {
            task();
        }
    }

    /// A message as it is read: without its length.
    fn frame(message: &Message) -> Bytes {
        let bytes: Bytes = message.encode(Version::V1_2).into_segments().concat().into();
        let length = bytes.iter().take_while(|byte| **byte >= 0x80).count() + 1;
        bytes.slice(length..)
    }

    /// Whether a peer that may say one item an hour is paused after these blocks.
    fn pauses(asked: bool) -> bool {
        let blocks: Vec<Block> = (0..100).map(|seed| block(bytes(seed, 1000))).collect();
        let mut filter = PayloadFilter::default();
        if asked {
            let want = |block: &Block| Entry::want(*block.cid(), WantKind::Block, 0, true);
            let entries = blocks.iter().map(want).collect();
            let wantlist = Wantlist { entries, full: false };
            filter.sent(&Message { wantlist, ..Message::default() });
        }
        let allowance = Allowance::new(1, Instant::now() + Duration::from_secs(3600));
        let (filter, allowance) = (Locked::new(filter), Locked::new(allowance));
        let mut incoming = Incoming::new(filter, allowance, Arc::default(), Arc::new(Inline));
        let mut traffic = Traffic::default();
        for block in blocks {
            let message = Message { blocks: vec![block], ..Message::default() };
            incoming.push(&frame(&message), room(), &mut traffic).unwrap();
        }
        let waker = noop_waker();
        incoming.poll_room(&mut Context::from_waker(&waker), &mut traffic).is_pending()
    }

    #[test]
    fn blocks_that_were_asked_for_count_towards_no_allowance() {
        assert!(!pauses(true));
        assert!(pauses(false));
    }

    /// Keeps what is to be hashed beside until it is asked for it.
    #[derive(Clone, Default)]
    struct Beside(Arc<std::sync::Mutex<Vec<BlockingTask>>>);

    impl TaskSpawner for Beside {
        fn spawn(&self, _future: BoxFuture<'static, ()>) {
            unreachable!("nothing is stored here");
        }

        fn spawn_blocking(&self, task: BlockingTask) {
            self.0.lock().unwrap().push(task);
        }
    }

    /// A connection of a peer that was asked for anything under the prefixes of these blocks.
    fn asking(blocks: &[Block], spawner: impl TaskSpawner) -> (Incoming, Arc<Memory>) {
        let mut filter = PayloadFilter::default();
        let want = |block: &Block| Entry::want(*block.cid(), WantKind::Block, 0, true);
        let entries = blocks.iter().map(want).collect();
        let wantlist = Wantlist { entries, full: false };
        filter.sent(&Message { wantlist, ..Message::default() });
        let memory = Arc::<Memory>::default();
        memory.set_wants(blocks.len() as u32);
        let allowance = Locked::new(Allowance::new(1 << 20, Instant::now()));
        (Incoming::new(Locked::new(filter), allowance, memory.clone(), Arc::new(spawner)), memory)
    }

    #[test]
    fn payloads_count_with_their_frame_and_their_copies_until_they_are_hashed() {
        let blocks: Vec<Block> = (0..2).map(|seed| block(bytes(seed, 20_000))).collect();
        let beside = Beside::default();
        let (mut incoming, memory) = asking(&blocks, beside.clone());
        let (cx, mut traffic) =
            (&mut Context::from_waker(std::task::Waker::noop()), Traffic::default());
        let frame = frame(&Message { blocks: blocks.clone(), ..Message::default() });
        let Poll::Ready(held) = incoming.poll_room(cx, &mut traffic) else { panic!("room") };
        let list = decode_answers(&frame, held.answers_max()).unwrap().payloads.capacity();
        incoming.push(&frame, held, &mut traffic).unwrap();
        let empty = Weight::of(&Message::default()).bytes + 2 * size_of::<Pending>();
        let all = empty + frame.len() + 2 * 20_000 + list * size_of::<Payload>();
        assert_eq!(memory.message_bytes(), all);
        assert!(incoming.poll_next(cx, &mut traffic).is_pending() && incoming.is_waiting());
        beside.0.lock().unwrap().drain(..).for_each(|task| task());
        let Poll::Ready(Some((message, held))) = incoming.poll_next(cx, &mut traffic) else {
            panic!("it is hashed")
        };
        assert_eq!(
            (&message.blocks, memory.message_bytes()),
            (&blocks, Weight::of(&message).bytes)
        );
        drop(held);
        assert_eq!((memory.message_bytes(), incoming.is_waiting()), (0, false));
    }

    #[test]
    fn a_message_that_is_hashed_at_once_counts_with_its_place_in_the_queue() {
        let blocks = [block(bytes(1, 1000))];
        let (mut incoming, memory) = asking(&blocks, Beside::default());
        let (cx, mut traffic) =
            (&mut Context::from_waker(std::task::Waker::noop()), Traffic::default());
        let Poll::Ready(held) = incoming.poll_room(cx, &mut traffic) else { panic!("room") };
        let message = Message { blocks: blocks.to_vec(), ..Message::default() };
        incoming.push(&frame(&message), held, &mut traffic).unwrap();
        let pending = Weight::of(&incoming.queue[0].message).bytes + 2 * size_of::<Pending>();
        assert_eq!(memory.message_bytes(), pending);
    }

    #[test]
    fn payloads_that_nobody_can_verify_are_counted_however_they_are_hashed() {
        let md5 = |seed| {
            let multihash = cid::multihash::Multihash::wrap(0xd5, &[seed; 16]).unwrap();
            cid::Cid::new_v1(0x55, multihash)
        };
        for len in [100, 40_000] {
            let blocks = [1, 2].map(|seed| Block::new_unchecked(md5(seed), vec![seed; len].into()));
            let (mut incoming, _) = asking(&blocks, Inline);
            let (cx, mut traffic) =
                (&mut Context::from_waker(std::task::Waker::noop()), Traffic::default());
            for times in 1..=2 {
                let message = Message { blocks: blocks.to_vec(), ..Message::default() };
                incoming.push(&frame(&message), room(), &mut traffic).unwrap();
                let Poll::Ready(Some((message, _))) = incoming.poll_next(cx, &mut traffic) else {
                    panic!("it is hashed")
                };
                assert_eq!((message.blocks.len(), traffic.unverifiable_payloads), (0, 2 * times));
            }
        }
    }

    #[test]
    fn a_payload_of_seven_eighths_of_its_frame_is_not_copied() {
        let payload = |len| Payload {
            prefix: bitswap_core::Prefix::sha2_256(0x55),
            data: bytes(1, len).into(),
        };
        let [less, enough] = [payload(699), payload(700)];
        assert!(is_copied(&less, 800) && !is_copied(&enough, 800));
        assert_eq!(copied(&[less.clone(), enough, less], 800), 2 * 699);
    }
}
