//! A scripted peer: who it is, what waits to be said, and whose turn it is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bitswap_core::message::Version;
use bitswap_core::{Message, Timestamp};
use cid::Cid;

use super::{PeerBehavior, answer};
use crate::actor::{Actor, Context};
use crate::draw;
use crate::node::Node;
use crate::rng::Rng;

/// A scripted peer that serves, or attacks.
#[derive(Debug)]
pub struct Server {
    pub(super) behavior: PeerBehavior,
    /// How it answers wants, if its behavior says nothing about that.
    manner: PeerBehavior,
    /// Wants that it answers honestly before it turns.
    honest_first: u32,
    /// What it sends goes as bytes, which the receiver decodes and verifies.
    writes_bytes: bool,
    stock: BTreeSet<usize>,
    later: BTreeMap<Timestamp, Vec<Reply>>,
    flips: bool,
    pub(super) rng: Rng,
    pub(super) seed: u64,
    /// Turns that it takes on each victim.
    turns: u32,
    /// Turns left with each victim.
    victims: BTreeMap<Node, u32>,
    /// When the next turn is.
    turn_at: Option<Timestamp>,
    cancelled: BTreeSet<(Node, Cid)>,
}

/// Something to be said later.
#[derive(Debug)]
pub(super) struct Reply {
    to: Node,
    stream: u32,
    pub(super) message: Message,
}

impl Server {
    /// A peer with these blocks, by number.
    #[must_use]
    pub fn new(behavior: PeerBehavior, stock: impl IntoIterator<Item = usize>, seed: u64) -> Self {
        Self {
            behavior,
            manner: PeerBehavior::Silent,
            honest_first: 0,
            writes_bytes: false,
            stock: stock.into_iter().collect(),
            later: BTreeMap::new(),
            flips: false,
            rng: Rng::new(&draw::seed(seed, 2), "server"),
            seed,
            turns: behavior.turns().0,
            victims: BTreeMap::new(),
            turn_at: None,
            cancelled: BTreeSet::new(),
        }
    }

    /// Answers wants like this, if its behavior says nothing about that.
    #[must_use]
    pub const fn answering(mut self, manner: PeerBehavior) -> Self {
        self.manner = manner;
        self
    }

    /// Answers so many wants as it should before it turns.
    #[must_use]
    pub const fn honest_first(mut self, wants: u32) -> Self {
        self.honest_first = wants;
        self
    }

    /// What it sends goes as bytes, which the receiver decodes and verifies as the adapter does.
    #[must_use]
    pub const fn writing_bytes(mut self) -> Self {
        self.writes_bytes = true;
        self
    }

    /// What it does.
    #[must_use]
    pub const fn behavior(&self) -> PeerBehavior {
        self.behavior
    }

    /// The same peer under another name, with so many turns left.
    pub(super) fn reborn(&self, turns: u32) -> Self {
        let seed = self.seed.wrapping_add(1);
        let next = Self::new(self.behavior, self.stock.iter().copied(), seed);
        Self { turns, manner: self.manner, writes_bytes: self.writes_bytes, ..next }
    }

    pub(super) fn has(&self, number: usize) -> bool {
        self.stock.contains(&number)
    }

    /// How it answers.
    pub(super) const fn manner(&self) -> PeerBehavior {
        match (self.honest_first, self.behavior.is_in_answers()) {
            (0, true) => self.behavior,
            (0, false) => self.manner,
            _ => PeerBehavior::Honest,
        }
    }

    /// How it answers the next want.
    pub(super) fn next_manner(&mut self) -> PeerBehavior {
        let manner = self.manner();
        self.honest_first = self.honest_first.saturating_sub(1);
        manner
    }

    /// True and false in turn.
    pub(super) fn flip(&mut self) -> bool {
        self.flips = !self.flips;
        self.flips
    }

    pub(super) fn reply(&self, to: Node, stream: u32, message: Message, context: &mut Context<'_>) {
        if self.writes_bytes {
            let frame = message.encode(Version::V1_2).into_segments().concat();
            context.send_bytes(to, stream, frame.into());
        } else {
            context.send(to, message);
        }
    }

    pub(super) fn delay(
        &mut self,
        by: Duration,
        to: Node,
        message: Message,
        context: &mut Context<'_>,
    ) {
        self.delay_on(by, to, 0, message, context);
    }

    pub(super) fn delay_on(
        &mut self,
        by: Duration,
        to: Node,
        stream: u32,
        message: Message,
        context: &mut Context<'_>,
    ) {
        let at = context.now + by;
        self.later.entry(at).or_default().push(Reply { to, stream, message });
        context.wake_at(at);
    }

    fn take_turns(&mut self, context: &mut Context<'_>) {
        let (_, pause) = self.behavior.turns();
        if self.turn_at.is_some_and(|at| at <= context.now) {
            self.turn_at = None;
            let targets: Vec<Node> = self.victims.keys().copied().collect();
            for victim in targets {
                let left = self.victims.entry(victim).or_default();
                if *left == 0 {
                    continue;
                }
                *left -= 1;
                let left = *left;
                if left > 0 {
                    self.turn_at = Some(context.now + pause);
                }
                self.ask(victim, left, context);
                self.write_frames(victim, left, context);
                self.come_and_go(victim, left, context);
            }
        }
        if let Some(at) = self.turn_at {
            context.wake_at(at);
        }
    }
}

impl Actor for Server {
    fn connected(&mut self, peer: Node, context: &mut Context<'_>) {
        let (_, pause) = self.behavior.turns();
        if self.turns > 0 {
            self.victims.entry(peer).or_insert(self.turns);
            // Honest traffic is on its way by then, or not, as it happens.
            self.turn_at.get_or_insert(context.now + pause);
            context.wake_at(context.now + pause);
        }
    }

    fn disconnected(&mut self, peer: Node, _scene: &mut Context<'_>) {
        // One that comes and goes does not begin anew each time.
        if self.behavior != PeerBehavior::ConnectionChurner {
            self.victims.remove(&peer);
        }
        self.cancelled.retain(|(other, _)| *other != peer);
        for replies in self.later.values_mut() {
            replies.retain(|reply| reply.to != peer);
        }
    }

    fn received(&mut self, from: Node, message: Message, context: &mut Context<'_>) {
        let mut now = Message::default();
        for entry in &message.wantlist.entries {
            if entry.cancel {
                self.cancelled.insert((from, entry.cid));
            } else {
                self.cancelled.remove(&(from, entry.cid));
                self.answer(from, entry, &mut now, context);
            }
        }
        self.embellish(&mut now, context);
        if now.is_empty() {
            return;
        }
        let copies = if self.manner() == PeerBehavior::Duplicator { 3 } else { 1 };
        for _ in 0..copies {
            self.reply(from, 0, now.clone(), context);
        }
    }

    fn woken(&mut self, context: &mut Context<'_>) {
        while let Some(due) = self.later.first_entry().filter(|first| *first.key() <= context.now) {
            for mut reply in due.remove() {
                let to = reply.to;
                let live = |cid: &Cid| !self.cancelled.contains(&(to, *cid));
                answer::without_cancelled(&mut reply, live);
                if !reply.message.is_empty() {
                    self.reply(reply.to, reply.stream, reply.message, context);
                }
            }
        }
        if let Some(at) = self.later.keys().next() {
            context.wake_at(*at);
        }
        self.take_turns(context);
    }
}
