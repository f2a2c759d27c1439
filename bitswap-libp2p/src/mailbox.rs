//! What the behaviour tells the task of a connection.
//!
//! Why not the swarm's own way, `ToSwarm::NotifyHandler`? Its channel holds a few dozen events, and
//! while one event finds no room there, the swarm polls no behaviour at all: one connection whose
//! task is held up would stall every peer. A mailbox always has room, because what is put into it
//! is bounded by the engine: a stream has at most one `Open`, `Close` or `Reset` and the messages of its
//! credit on their way, see [`bitswap_core::Limits`].

use std::collections::VecDeque;
use std::mem;
use std::task::Waker;

use bitswap_core::{Message, SendId, StreamKind, Version};

use crate::locked::Locked;
use crate::protocol::Offer;

/// Names one stream. A stream that is opened again gets another, so what is said of the
/// old stream cannot be taken for the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(crate) u64);

/// Something the task of a connection is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// Negotiate a stream of this kind.
    Open { kind: StreamKind, stream: StreamId, offer: Offer },
    /// Write a message.
    Send { kind: StreamKind, stream: StreamId, id: SendId, version: Version, message: Message },
    /// Close the stream in good order.
    Close { kind: StreamKind, stream: StreamId },
    /// Drop the stream with all that waits on it.
    Reset { kind: StreamKind, stream: StreamId },
}

/// The behaviour's end and the task's end are clones of each other.
#[derive(Clone, Debug)]
pub(crate) struct Mailbox(Locked<Contents>);

#[derive(Debug)]
struct Contents {
    commands: VecDeque<Command>,
    keep_alive: bool,
    applied: bool,
    task: Option<Waker>,
}

/// What was in a mailbox.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) commands: VecDeque<Command>,
    /// Whether the connection is needed.
    pub(crate) keep_alive: bool,
    /// Whether the messages of the last report were applied since the last look.
    pub(crate) applied: bool,
}

impl Mailbox {
    pub(crate) fn new() -> Self {
        Self(Locked::new(Contents {
            commands: VecDeque::new(),
            keep_alive: false,
            applied: false,
            task: None,
        }))
    }

    /// Asks the task to do something. What waits to be sent on a stream that is to be reset is dropped
    /// at once: the task may be held up.
    pub(crate) fn put(&self, command: Command) {
        let task = {
            let mut contents = self.0.lock();
            if let Command::Reset { stream: reset, .. } = command {
                contents.commands.retain(
                    |command| !matches!(command, Command::Send { stream, .. } if *stream == reset),
                );
            }
            contents.commands.push_back(command);
            contents.task.take()
        };
        task.into_iter().for_each(Waker::wake);
    }

    /// Says whether the connection is needed.
    pub(crate) fn keep_alive(&self, needed: bool) {
        let task = {
            let mut contents = self.0.lock();
            if contents.keep_alive == needed {
                return;
            }
            contents.keep_alive = needed;
            contents.task.take()
        };
        task.into_iter().for_each(Waker::wake);
    }

    /// Says that the messages of the last report were applied.
    pub(crate) fn applied(&self) {
        let task = {
            let mut contents = self.0.lock();
            contents.applied = true;
            contents.task.take()
        };
        task.into_iter().for_each(Waker::wake);
    }

    /// Takes what is there; what comes later wakes the task.
    pub(crate) fn take(&self, task: &Waker) -> Taken {
        let mut contents = self.0.lock();
        match &mut contents.task {
            Some(known) => known.clone_from(task),
            none => *none = Some(task.clone()),
        }
        Taken {
            commands: mem::take(&mut contents.commands),
            keep_alive: contents.keep_alive,
            applied: mem::take(&mut contents.applied),
        }
    }
}

/// Every interleaving of the two ends: `ci/loom`.
#[cfg(test)]
#[cfg(bitswap_loom)]
mod interleavings {
    use std::task::Wake;

    use loom::sync::atomic::{AtomicUsize, Ordering};
    use loom::thread;

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// What was taken: streams that are to be closed, whether it is needed, whether something was applied.
    #[derive(Debug, Default, PartialEq)]
    struct Seen(Vec<u64>, bool, bool);

    impl Seen {
        fn look(&mut self, mailbox: &Mailbox, waker: &Waker) {
            let Taken { commands, keep_alive, applied } = mailbox.take(waker);
            self.0.extend(commands.into_iter().map(|command| match command {
                Command::Close { stream: StreamId(stream), .. } => stream,
                other => panic!("nobody put {other:?}"),
            }));
            self.1 = keep_alive;
            self.2 |= applied;
        }

        fn all() -> Self {
            Self(vec![1, 2], true, true)
        }
    }

    #[test]
    fn what_is_put_while_the_task_looks_is_taken_or_wakes_it() {
        loom::model(|| {
            let mailbox = Mailbox::new();
            let behaviour = mailbox.clone();
            let putting = thread::spawn(move || {
                let kind = StreamKind::Requests;
                behaviour.put(Command::Close { kind, stream: StreamId(1) });
                behaviour.keep_alive(true);
                behaviour.applied();
                behaviour.put(Command::Close { kind, stream: StreamId(2) });
            });
            let wakes = std::sync::Arc::new(Wakes::default());
            let waker = Waker::from(wakes.clone());
            let mut seen = Seen::default();
            seen.look(&mailbox, &waker);
            putting.join().unwrap();
            assert!(
                seen == Seen::all() || wakes.0.load(Ordering::SeqCst) > 0,
                "it sleeps: {seen:?}"
            );
            seen.look(&mailbox, &waker);
            assert_eq!(seen, Seen::all(), "nothing is lost, doubled or out of order");
        });
    }
}

#[cfg(test)]
mod tests {
    use bitswap_core::{Config, Engine, Output, SessionOptions, Timestamp, Want};

    use super::*;
    use crate::tests::Wakes;

    #[test]
    fn a_reset_drops_what_waits_for_that_stream_and_nothing_else() {
        let mailbox = Mailbox::new();
        let (id, version) = (a_send(), Version::V1_2);
        for stream in [StreamId(1), StreamId(2)] {
            let (kind, message) = (StreamKind::Responses, Message::default());
            mailbox.put(Command::Send { kind, stream, id, version, message });
        }
        mailbox.put(Command::Reset { kind: StreamKind::Responses, stream: StreamId(1) });
        let commands = Vec::from(mailbox.take(&futures::task::noop_waker()).commands);
        assert!(
            matches!(
                commands[..],
                [
                    Command::Send { stream: StreamId(2), .. },
                    Command::Reset { stream: StreamId(1), .. }
                ]
            ),
            "{commands:?}"
        );
    }

    /// The name of a message: only an engine gives one.
    fn a_send() -> SendId {
        let now = Timestamp::ZERO;
        let mut engine = Engine::new(Config::default(), [1; 32], now);
        engine.handle_connected(1, None, now);
        let session = engine.open_session(SessionOptions::default(), now).unwrap();
        let want = Want::from(*crate::tests::block("absent").cid());
        engine.want(session, [want], now).unwrap();
        loop {
            match engine.poll_output().expect("it asks the peer") {
                Output::Open { peer, stream: kind } => {
                    engine.handle_open(peer, kind, Ok(Version::V1_2), now);
                }
                Output::Send(sending) => return sending.id,
                _ => {}
            }
        }
    }

    #[test]
    fn a_change_wakes_the_task_and_repeating_it_does_not() {
        let (wakes, task) = Wakes::new();
        let mailbox = Mailbox::new();
        assert!(!mailbox.take(&task).keep_alive);
        mailbox.keep_alive(false);
        assert_eq!(wakes.count(), 0);
        mailbox.keep_alive(true);
        assert_eq!(wakes.count(), 1);
        assert!(mailbox.take(&task).keep_alive);
        let (kind, stream) = (StreamKind::Requests, StreamId(1));
        mailbox.put(Command::Close { kind, stream });
        mailbox.put(Command::Reset { kind, stream });
        assert_eq!(wakes.count(), 2, "one wake until the task looks");
        let commands = mailbox.take(&task).commands;
        assert!(matches!(Vec::from(commands)[..], [Command::Close { .. }, Command::Reset { .. }]));
    }
}
