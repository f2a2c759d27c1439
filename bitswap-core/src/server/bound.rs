//! What this half takes of memory at most.

use bytes::Bytes;

use crate::config::Config;
use crate::index::Index;
use crate::limits::CID_BYTES_MAX;
use crate::memory::{Terms, list, tree};
use crate::rows::Rows;
use crate::stats::TimerReason;
use crate::time::Timestamp;

use super::compose::ANSWERS_MAX;
use super::load::{Item, Lookup};
use super::memory::Turn;
use super::peer::{Answer, Flight, Peer};
use super::want::{Place, Want};

/// The terms of this half.
pub(crate) fn terms(config: &Config) -> Terms {
    let limits = &config.limits;
    let (peers, wants) = (u64::from(limits.peers), u64::from(limits.ledger_per_peer));
    let (loads, messages) = (u64::from(limits.loads_per_peer), u64::from(limits.messages_per_lane));
    let block = u64::from(config.block_bytes_max);
    // A block beyond the limit of a peer is held alone.
    let blocks = block.max(limits.answer_bytes_per_peer.into());
    let key = CID_BYTES_MAX as u64;

    // A want is in the queue of its state: at worst among those to be loaded and those of unknown size, or
    // among the loaded, whose bytes are counted below.
    let queues =
        (2 * tree::<Place>(wants)).max(tree::<(Place, Bytes)>(wants)) + 4 * tree::<Place>(0);
    let each = queues.div_ceil(wants.max(1)) + key;
    let ledger =
        |rows: u64| Rows::<Want>::bytes_max(rows) + 2 * Index::bytes_max(rows) + rows * each;
    let lookups = |items: u64| {
        Rows::<Lookup>::bytes_max(items)
            + list::<u32>(items)
            + items * (2 * size_of::<Item>() as u64 + key)
    };
    let flights =
        list::<Flight>(messages) + messages * list::<Answer>(wants.min(ANSWERS_MAX as u64));
    let each_peer = size_of::<Peer>() as u64
        + list::<Option<usize>>(peers) / peers.max(1)
        + list::<[u32; 2]>(messages)
        + listed(1);
    Terms {
        empty: listed(0),
        each_peer,
        one_peer: ledger(wants) + lookups(loads) + flights + blocks,
        all_peers: ledger((peers * wants).min(limits.ledger.into()))
            + lookups(peers * loads)
            + peers * flights
            + (peers * blocks).min(u64::from(limits.answer_bytes) + block),
        session: 0,
        want: 0,
    }
}

/// The lists of peers, with so many of them.
const fn listed(peers: u64) -> u64 {
    2 * tree::<(u64, u32)>(peers)
        + tree::<(u32, u32)>(peers)
        + tree::<Turn>(peers)
        + 2 * tree::<(Timestamp, u32)>(peers)
        + tree::<(Timestamp, TimerReason, u32)>(peers)
}
