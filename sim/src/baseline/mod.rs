//! A node with the simplest policy that works: ask everybody who has a block, then ask one of them
//! for it.
//!
//! It exists to calibrate the network model: with the reference implementation's batching and
//! throttling it must come to about the same numbers of messages and blocks as that was measured at.
//! Then differences between our engine and those figures are due to policy and not to the model.

mod client;
mod server;

use bitswap_core::{Message, Timestamp};

use crate::actor::{Actor, Context};
use crate::fetch::Plan;
use crate::node::Node;
use client::Client;
use server::Server;

/// The baseline node: fetches by its plan, serves its stock.
#[derive(Debug)]
pub struct Baseline {
    client: Client,
    server: Server,
}

impl Baseline {
    /// A node that fetches by `plan` and serves `stock`, blocks by number.
    #[must_use]
    pub fn new(plan: Plan, stock: &[usize], seed: u64, store_takes: std::time::Duration) -> Self {
        Self { client: Client::new(plan, seed), server: Server::new(stock, store_takes) }
    }
}

impl Actor for Baseline {
    fn connected(&mut self, peer: Node, _scene: &mut Context<'_>) {
        self.client.connected(peer);
    }

    fn received(&mut self, from: Node, message: Message, context: &mut Context<'_>) {
        if !message.wantlist.entries.is_empty() {
            self.server.wanted(from, &message.wantlist.entries, context);
        }
        self.client.received(from, &message, context.now);
        self.client.flush(context);
    }

    fn woken(&mut self, context: &mut Context<'_>) {
        self.server.woken(context);
        if !self.client.started() {
            self.client.next_round(context.now);
        }
        self.client.flush(context);
    }

    fn finished(&self) -> Option<Timestamp> {
        self.client.finished
    }
}
