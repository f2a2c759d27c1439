//! How wants are answered.

use std::time::Duration;

use bitswap_core::{Block, Entry, Message, Prefix, Presence, WantKind};
use bytes::Bytes;
use cid::Cid;

use super::server::{Reply, Server};
use super::wire::{Wire, field};
use super::{Mangling, PeerBehavior};
use crate::actor::Context;
use crate::block_set::altered;
use crate::node::Node;
use crate::store::rotten;

/// A prefix that nobody asks for: CIDv1, raw, SHA3-512.
const OTHER_PREFIX: [u8; 4] = [1, 0x55, 0x14, 64];

impl Server {
    fn block(&self, cid: &Cid, context: &Context<'_>) -> Option<Block> {
        let number = context.block_set.number(cid).filter(|number| self.has(*number))?;
        Some(context.block_set.block(number).clone())
    }

    /// Answers one want.
    pub(super) fn answer(
        &mut self,
        from: Node,
        entry: &Entry,
        now: &mut Message,
        context: &mut Context<'_>,
    ) {
        let cid = entry.cid;
        let presence = |have| Presence { cid, have };
        let block = self.block(&cid, context);
        match self.next_manner() {
            PeerBehavior::HaveThenSilent => now.presences.push(presence(true)),
            PeerBehavior::Flapper(pause) => {
                let have = self.flip();
                now.presences.push(presence(have));
                if pause.is_zero() {
                    now.presences.push(presence(!have));
                } else {
                    let presences = vec![presence(!have)];
                    self.delay(pause, from, Message { presences, ..Message::default() }, context);
                }
            }
            PeerBehavior::DontHaveThenBlock(by) => {
                if entry.send_dont_have {
                    now.presences.push(presence(false));
                }
                if let Some(block) = block {
                    let late = Message { blocks: vec![block], ..Message::default() };
                    self.delay(by, from, late, context);
                }
            }
            PeerBehavior::FastHaveSlowBlock(by) => {
                now.presences.push(presence(true));
                if let Some(block) = block.filter(|_| entry.kind == WantKind::Block) {
                    let late = Message { blocks: vec![block], ..Message::default() };
                    self.delay(by, from, late, context);
                }
            }
            PeerBehavior::Corruptor => {
                let flipped = block.and_then(|block| altered(block.cid(), rotten(block.data())));
                now.blocks.extend(flipped);
            }
            PeerBehavior::Mangler(how) => {
                if let Some(block) = block {
                    context.send_bytes(from, 0, self.mangled(how, &block, context));
                }
            }
            PeerBehavior::Equivocator(pause) => {
                let have = self.flip();
                let answer =
                    |have| Message { presences: vec![presence(have)], ..Message::default() };
                self.reply(from, 0, answer(have), context);
                self.delay_on(pause, from, 1, answer(!have), context);
                if let Some(block) = block.filter(|_| have) {
                    let late = Message { blocks: vec![block], ..Message::default() };
                    self.delay_on(pause + Duration::from_millis(50), from, 2, late, context);
                }
            }
            PeerBehavior::PendingBytesLiar => {
                now.presences.push(presence(true));
                now.pending_bytes = if self.flip() { i32::MIN } else { i32::MAX };
            }
            PeerBehavior::Honest | PeerBehavior::Duplicator | PeerBehavior::Spammer => {
                match block {
                    Some(block) if entry.kind == WantKind::Block => now.blocks.push(block),
                    Some(_) => now.presences.push(presence(true)),
                    None if entry.send_dont_have => now.presences.push(presence(false)),
                    None => {}
                }
            }
            // The others have nothing to say to wants.
            _ => {}
        }
    }

    /// What comes with every answer or instead of one.
    pub(super) fn embellish(&mut self, now: &mut Message, context: &Context<'_>) {
        if self.manner() == PeerBehavior::Spammer && !context.block_set.is_empty() {
            let number = self.rng.below(context.block_set.len() as u64) as usize;
            let block = context.block_set.block(number);
            now.blocks.extend(altered(block.cid(), rotten(block.data())));
            now.blocks.push(block.clone());
        }
    }

    /// A block with something wrong, as a frame.
    fn mangled(&mut self, how: Mangling, block: &Block, context: &Context<'_>) -> Bytes {
        let prefix = Prefix::of(block.cid()).map(|prefix| prefix.to_bytes()).unwrap_or_default();
        let data = block.data();
        let payload = Wire::default();
        let payload = match how {
            Mangling::Truncated => {
                payload.bytes(field::PREFIX, &prefix).bytes(field::DATA, &data[..data.len() / 2])
            }
            Mangling::Extended => {
                let longer = [&data[..], &[0]].concat();
                payload.bytes(field::PREFIX, &prefix).bytes(field::DATA, &longer)
            }
            Mangling::Other => {
                let number = self.rng.below(context.block_set.len() as u64) as usize;
                let other = context.block_set.block(number).data();
                payload.bytes(field::PREFIX, &prefix).bytes(field::DATA, other)
            }
            Mangling::Prefix => {
                payload.bytes(field::PREFIX, &OTHER_PREFIX).bytes(field::DATA, data)
            }
            Mangling::Withheld => payload.bytes(field::PREFIX, &prefix),
        };
        Wire::default().nested(field::PAYLOAD, &payload).frame()
    }
}

/// Later answers leave what was cancelled meanwhile unsaid: a liar that repeats itself for ever stops
/// then.
pub(super) fn without_cancelled(reply: &mut Reply, live: impl Fn(&Cid) -> bool) {
    reply.message.presences.retain(|presence| live(&presence.cid));
    reply.message.blocks.retain(|block| live(block.cid()));
}
