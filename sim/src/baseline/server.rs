//! The baseline server: answers at once what it has, in messages of about 16 KiB.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bitswap_core::{Entry, Message, Presence, Timestamp, WantKind};

use crate::actor::Context;
use crate::node::Node;

/// A message is sent when it holds this many bytes.
const MESSAGE_BYTES: usize = 16 << 10;
/// A want-have for a block up to this size is answered by the block.
const SMALL_BLOCK: usize = 1024;

#[derive(Debug)]
pub(super) struct Server {
    stock: BTreeSet<usize>,
    store_takes: Duration,
    /// Answers that wait for the store.
    loading: BTreeMap<Timestamp, Vec<(Node, Vec<Entry>)>>,
}

impl Server {
    pub(super) fn new(stock: &[usize], store_takes: Duration) -> Self {
        Self { stock: stock.iter().copied().collect(), store_takes, loading: BTreeMap::new() }
    }

    pub(super) fn wanted(&mut self, from: Node, entries: &[Entry], context: &mut Context<'_>) {
        if self.store_takes.is_zero() {
            self.answer(from, entries, context);
            return;
        }
        let at = context.now + self.store_takes;
        self.loading.entry(at).or_default().push((from, entries.to_vec()));
        context.wake_at(at);
    }

    pub(super) fn woken(&mut self, context: &mut Context<'_>) {
        while let Some(due) = self.loading.first_entry().filter(|first| *first.key() <= context.now)
        {
            for (from, entries) in due.remove() {
                self.answer(from, &entries, context);
            }
        }
        if let Some(at) = self.loading.keys().next() {
            context.wake_at(*at);
        }
    }

    fn answer(&self, from: Node, entries: &[Entry], context: &mut Context<'_>) {
        let mut message = Message::default();
        let mut bytes = 0;
        for entry in entries.iter().filter(|entry| !entry.cancel) {
            let number = context.block_set.number(&entry.cid).filter(|at| self.stock.contains(at));
            let block = number.map(|at| context.block_set.block(at).clone());
            let small = |len| entry.kind == WantKind::Block || len <= SMALL_BLOCK;
            match block {
                Some(block) if small(block.data().len()) => {
                    bytes += block.data().len();
                    message.blocks.push(block);
                }
                Some(_) => {
                    bytes += entry.cid.encoded_len();
                    message.presences.push(Presence { cid: entry.cid, have: true });
                }
                None if entry.send_dont_have => {
                    bytes += entry.cid.encoded_len();
                    message.presences.push(Presence { cid: entry.cid, have: false });
                }
                None => {}
            }
            if bytes >= MESSAGE_BYTES {
                context.send(from, std::mem::take(&mut message));
                bytes = 0;
            }
        }
        if !message.is_empty() {
            context.send(from, message);
        }
    }
}
