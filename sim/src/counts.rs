//! What is counted on the wire, at both ends and apart from the engines' own counters.

use std::time::Duration;

use bitswap_core::{Message, Timestamp, WantKind};

use crate::node::Node;

/// What one node sent and received, every message counted, cancels included.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Messages handed to the transport.
    pub messages_sent: u64,
    /// Messages received.
    pub messages_received: u64,
    /// Want-blocks sent.
    pub want_blocks_sent: u64,
    /// Want-haves sent.
    pub want_haves_sent: u64,
    /// Cancels sent.
    pub cancels_sent: u64,
    /// Blocks received, wanted or not.
    pub blocks_received: u64,
    /// Their bytes.
    pub block_bytes_received: u64,
    /// HAVEs received.
    pub haves_received: u64,
    /// DONT_HAVEs received.
    pub dont_haves_received: u64,
    /// Blocks sent.
    pub blocks_sent: u64,
    /// Their bytes.
    pub block_bytes_sent: u64,
    /// Provider searches started.
    pub searches: u64,
    /// When each message was sent.
    pub sent_at: Vec<Timestamp>,
    /// When each message was received.
    pub received_at: Vec<Timestamp>,
    /// When each block came, wanted or not.
    pub arrived: Vec<Timestamp>,
    /// Blocks that ended a want: when, from whom, how many bytes.
    pub delivered: Vec<Delivered>,
    /// The most that unfinished frames of all peers took, in bytes.
    pub gate_bytes_max: u64,
    /// Time that the node's engine took on the real clock.
    pub cpu: Duration,
}

/// A block that ended a want.
#[derive(Clone, Copy, Debug)]
pub struct Delivered {
    /// When.
    pub at: Timestamp,
    /// From whom, if the peer was still connected.
    pub from: Option<Node>,
    /// Bytes.
    pub bytes: u64,
}

impl Counts {
    pub(crate) fn sent(&mut self, message: &Message, now: Timestamp) {
        self.sent_at.push(now);
        self.messages_sent += 1;
        for entry in &message.wantlist.entries {
            match (entry.cancel, entry.kind) {
                (true, _) => self.cancels_sent += 1,
                (false, WantKind::Block) => self.want_blocks_sent += 1,
                (false, WantKind::Have) => self.want_haves_sent += 1,
            }
        }
        self.blocks_sent += message.blocks.len() as u64;
        self.block_bytes_sent += bytes(message);
    }

    pub(crate) fn received(&mut self, message: &Message, now: Timestamp) {
        self.arrived.extend(message.blocks.iter().map(|_| now));
        self.received_at.push(now);
        self.messages_received += 1;
        self.blocks_received += message.blocks.len() as u64;
        self.block_bytes_received += bytes(message);
        let haves = message.presences.iter().filter(|presence| presence.have).count() as u64;
        self.haves_received += haves;
        self.dont_haves_received += message.presences.len() as u64 - haves;
    }

    /// Blocks that ended a want.
    #[must_use]
    pub fn blocks_delivered(&self) -> u64 {
        self.delivered.len() as u64
    }

    /// Bytes delivered by one peer.
    #[must_use]
    pub fn bytes_from(&self, peer: Node) -> u64 {
        self.delivered
            .iter()
            .filter(|block| block.from == Some(peer))
            .map(|block| block.bytes)
            .sum()
    }
}

fn bytes(message: &Message) -> u64 {
    message.blocks.iter().map(|block| block.data().len() as u64).sum()
}
