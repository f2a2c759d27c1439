//! What this half takes of memory at most: the sum of what its parts do.

use crate::config::Config;
use crate::limits::CID_BYTES_MAX;
use crate::memory::{Terms, list};

use super::agenda::Agenda;
use super::composer::RESPONSES_MAX;
use super::in_flight::InFlight;
use super::ledger::Ledger;
use super::loader::Loader;
use super::memory::Memory;
use super::peer_state::Peers;
use super::relays::Relays;
use super::scheduler::Scheduler;

/// The terms of this half.
pub(crate) fn terms(config: &Config) -> Terms {
    let limits = &config.limits;
    let (peers, wants) = (u64::from(limits.peers), u64::from(limits.ledger_per_peer));
    let (loads, messages) =
        (u64::from(limits.loads_per_peer), u64::from(limits.messages_per_stream));
    let block = u64::from(config.block_bytes_max);
    // A block beyond the limit of a peer is held alone.
    let blocks = block.max(limits.response_bytes_per_peer.into());
    let key = CID_BYTES_MAX as u64;

    let ledger = |rows: u64| Ledger::bytes_max(rows, wants, key);
    let lookups = |items: u64| Loader::bytes_max(items, key);
    let flights = InFlight::heap_bytes_max(messages, wants.min(RESPONSES_MAX as u64));
    let relays = Relays::bytes_max(limits);
    let each_peer = Ledger::peer_bytes_max(peers)
        + Loader::peer_bytes_max(peers)
        + Memory::peer_bytes_max(peers)
        + Scheduler::peer_bytes_max(peers)
        + Agenda::peer_bytes_max(peers)
        + Peers::peer_bytes_max(peers)
        + list::<[u32; 2]>(messages)
        + listed(1);
    Terms {
        empty: listed(0),
        each_peer,
        one_peer: ledger(wants) + lookups(loads) + flights + blocks + relays,
        all_peers: ledger((peers * wants).min(limits.ledger.into()))
            + lookups(peers * loads)
            + peers * flights
            + relays
            + (peers * blocks).min(u64::from(limits.response_bytes) + block),
        session: 0,
        want: 0,
    }
}

/// The lists of peers, with so many of them.
const fn listed(peers: u64) -> u64 {
    Ledger::lists_bytes_max(peers)
        + Memory::lists_bytes_max(peers)
        + Scheduler::lists_bytes_max(peers)
        + Agenda::lists_bytes_max(peers)
}

#[cfg(test)]
mod tests {
    use crate::server::Server;
    use crate::time::Timestamp;
    use crate::util::rows::Ref;

    use super::*;

    /// For each part, so that none is hidden behind larger ones.
    #[test]
    fn what_a_part_keeps_of_peers_is_within_its_term_and_most_of_it() {
        const PEERS: u32 = 1000;
        let mut server = Server::new(&Config::default(), &[1; 32], Timestamp::ZERO);
        let empty = [server.ledger.bytes(), server.loader.bytes(), server.memory.bytes()];
        assert_eq!(empty, [0; 3]);
        let empty = [server.scheduler.bytes(), server.peers.bytes(), server.agenda.bytes()];
        assert_eq!(empty, [0; 3]);
        for place in 0..PEERS {
            server.connected(Ref::from_place(place), Timestamp::ZERO);
        }
        let peers = u64::from(PEERS);
        let parts = [
            ("ledger", server.ledger.bytes(), Ledger::peer_bytes_max(peers)),
            ("loader", server.loader.bytes(), Loader::peer_bytes_max(peers)),
            ("memory", server.memory.bytes(), Memory::peer_bytes_max(peers)),
            ("scheduler", server.scheduler.bytes(), Scheduler::peer_bytes_max(peers)),
            ("peers", server.peers.bytes(), Peers::peer_bytes_max(peers)),
            ("agenda", server.agenda.bytes(), Agenda::peer_bytes_max(peers)),
        ];
        for (part, bytes, each) in parts {
            let most = each * peers;
            assert!((most / 2..=most).contains(&(bytes as u64)), "{part}: {bytes} of {most}");
        }
    }
}
