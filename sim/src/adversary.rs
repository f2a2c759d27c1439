//! Scripted peers that serve blocks, more or less honestly.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bitswap_core::{Block, Entry, Message, Presence, Rng, Timestamp, WantKind, Wantlist};
use cid::Cid;

use crate::actor::{Actor, Scene};
use crate::draw;
use crate::node::Node;
use crate::store::rotten;
use crate::universe::altered;

/// How a scripted peer answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// As it should, from the blocks it has.
    Honest,
    /// Never.
    Silent,
    /// HAVE for everything, and nothing more.
    HaveThenSilent,
    /// HAVE and DONT_HAVE in turn, the second so much later and from then on with each answer; never a
    /// block. Without a pause both are in one message.
    Flapper(Duration),
    /// DONT_HAVE, and the block later, unasked.
    DontHaveThenBlock(Duration),
    /// HAVE at once, the block much later.
    FastHaveSlowBlock(Duration),
    /// Altered bytes.
    Corruptor,
    /// Every answer three times.
    Duplicator,
    /// Blocks that nobody asked for, with every answer.
    Spammer,
    /// Asks for everything there is, again and again, and never serves.
    Flooder,
    /// Wants and cancels the same blocks, over and over.
    Churner,
}

impl Conduct {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Honest,
        Self::Silent,
        Self::HaveThenSilent,
        Self::Flapper(Duration::from_millis(100)),
        Self::DontHaveThenBlock(Duration::from_millis(700)),
        Self::FastHaveSlowBlock(Duration::from_secs(8)),
        Self::Corruptor,
        Self::Duplicator,
        Self::Spammer,
        Self::Flooder,
        Self::Churner,
    ];

    /// The same with another pause between what it says and does, where it makes one.
    #[must_use]
    pub const fn with_pause(self, pause: Duration) -> Self {
        match self {
            Self::Flapper(_) => Self::Flapper(pause),
            Self::DontHaveThenBlock(_) => Self::DontHaveThenBlock(pause),
            Self::FastHaveSlowBlock(_) => Self::FastHaveSlowBlock(pause),
            other => other,
        }
    }
}

/// Pauses that random worlds draw from: none, one that looks like latency, and long ones.
pub(crate) const PAUSES: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(1),
    Duration::from_millis(100),
    Duration::from_millis(700),
    Duration::from_secs(8),
];

/// Messages that a flooder or churner sends to each peer: enough to hurt, few enough to end.
const ATTACKS: u32 = 40;
/// Pause between two of them.
const ATTACK_PAUSE: Duration = Duration::from_millis(50);

/// A scripted peer that serves.
#[derive(Debug)]
pub struct Server {
    conduct: Conduct,
    stock: BTreeSet<usize>,
    later: BTreeMap<Timestamp, Vec<(Node, Message)>>,
    flips: bool,
    rng: Rng,
    victims: BTreeMap<Node, u32>,
    cancelled: BTreeSet<(Node, Cid)>,
}

impl Server {
    /// A peer with these blocks, by number.
    #[must_use]
    pub fn new(conduct: Conduct, stock: impl IntoIterator<Item = usize>, seed: u64) -> Self {
        Self {
            conduct,
            stock: stock.into_iter().collect(),
            later: BTreeMap::new(),
            flips: false,
            rng: Rng::new(&draw::seed(seed, 2), "server"),
            victims: BTreeMap::new(),
            cancelled: BTreeSet::new(),
        }
    }

    fn delay(&mut self, by: Duration, to: Node, message: Message, scene: &mut Scene<'_>) {
        let at = scene.now + by;
        self.later.entry(at).or_default().push((to, message));
        scene.wake_at(at);
    }

    fn block(&self, cid: &Cid, scene: &Scene<'_>) -> Option<Block> {
        let number = scene.universe.number(cid).filter(|number| self.stock.contains(number))?;
        Some(scene.universe.block(number).clone())
    }

    /// Answers one want.
    fn answer(&mut self, from: Node, entry: &Entry, now: &mut Message, scene: &mut Scene<'_>) {
        let cid = entry.cid;
        let presence = |have| Presence { cid, have };
        let block = self.block(&cid, scene);
        match self.conduct {
            Conduct::Silent | Conduct::Flooder | Conduct::Churner => {}
            Conduct::HaveThenSilent => now.presences.push(presence(true)),
            Conduct::Flapper(pause) => {
                self.flips = !self.flips;
                now.presences.push(presence(self.flips));
                if pause.is_zero() {
                    now.presences.push(presence(!self.flips));
                } else {
                    let presences = vec![presence(!self.flips)];
                    self.delay(pause, from, Message { presences, ..Message::default() }, scene);
                }
            }
            Conduct::DontHaveThenBlock(by) => {
                if entry.send_dont_have {
                    now.presences.push(presence(false));
                }
                if let Some(block) = block {
                    let late = Message { blocks: vec![block], ..Message::default() };
                    self.delay(by, from, late, scene);
                }
            }
            Conduct::FastHaveSlowBlock(by) => {
                now.presences.push(presence(true));
                if let Some(block) = block.filter(|_| entry.kind == WantKind::Block) {
                    let late = Message { blocks: vec![block], ..Message::default() };
                    self.delay(by, from, late, scene);
                }
            }
            Conduct::Corruptor => {
                let flipped = block.and_then(|block| altered(block.cid(), rotten(block.data())));
                now.blocks.extend(flipped);
            }
            Conduct::Honest | Conduct::Duplicator | Conduct::Spammer => match block {
                Some(block) if entry.kind == WantKind::Block => now.blocks.push(block),
                Some(_) => now.presences.push(presence(true)),
                None if entry.send_dont_have => now.presences.push(presence(false)),
                None => {}
            },
        }
    }

    fn attack(&mut self, scene: &mut Scene<'_>) {
        let mut left = false;
        let targets: Vec<Node> = self.victims.keys().copied().collect();
        for victim in targets {
            let times = self.victims.entry(victim).or_default();
            if *times == 0 {
                continue;
            }
            *times -= 1;
            left |= *times > 0;
            let churns = self.conduct == Conduct::Churner;
            let all = (0..scene.universe.len()).map(|number| scene.universe.cid(number));
            let mut entries: Vec<Entry> = all
                .map(|cid| {
                    let priority = self.rng.next_u64() as i32;
                    Entry::want(cid, WantKind::Block, priority, true)
                })
                .collect();
            if churns && times.is_multiple_of(2) {
                entries = entries.iter().map(|entry| Entry::cancel(entry.cid)).collect();
            }
            let full = !churns && times.is_multiple_of(3);
            let wantlist = Wantlist { entries, full };
            scene.send(victim, Message { wantlist, ..Message::default() });
        }
        if left {
            scene.wake_at(scene.now + ATTACK_PAUSE);
        }
    }
}

impl Actor for Server {
    fn connected(&mut self, peer: Node, scene: &mut Scene<'_>) {
        if matches!(self.conduct, Conduct::Flooder | Conduct::Churner) {
            self.victims.insert(peer, ATTACKS);
            scene.wake_at(scene.now + ATTACK_PAUSE);
        }
    }

    fn disconnected(&mut self, peer: Node, _scene: &mut Scene<'_>) {
        self.victims.remove(&peer);
        self.cancelled.retain(|(other, _)| *other != peer);
        for messages in self.later.values_mut() {
            messages.retain(|(to, _)| *to != peer);
        }
    }

    fn received(&mut self, from: Node, message: Message, scene: &mut Scene<'_>) {
        let mut now = Message::default();
        for entry in &message.wantlist.entries {
            if entry.cancel {
                self.cancelled.insert((from, entry.cid));
            } else {
                self.cancelled.remove(&(from, entry.cid));
                self.answer(from, entry, &mut now, scene);
            }
        }
        if self.conduct == Conduct::Spammer && !scene.universe.is_empty() {
            let number = self.rng.below(scene.universe.len() as u64) as usize;
            let block = scene.universe.block(number);
            now.blocks.extend(altered(block.cid(), rotten(block.data())));
            now.blocks.push(block.clone());
        }
        if now.is_empty() {
            return;
        }
        let copies = if self.conduct == Conduct::Duplicator { 3 } else { 1 };
        for _ in 0..copies {
            scene.send(from, now.clone());
        }
    }

    fn woken(&mut self, scene: &mut Scene<'_>) {
        while let Some(due) = self.later.first_entry().filter(|first| *first.key() <= scene.now) {
            for (to, mut message) in due.remove() {
                // A liar that repeats itself for ever stops when the want is cancelled.
                let live = |cid: &Cid| !self.cancelled.contains(&(to, *cid));
                message.presences.retain(|presence| live(&presence.cid));
                message.blocks.retain(|block| live(block.cid()));
                if !message.is_empty() {
                    scene.send(to, message);
                }
            }
        }
        if let Some(at) = self.later.keys().next() {
            scene.wake_at(*at);
        }
        self.attack(scene);
    }
}
