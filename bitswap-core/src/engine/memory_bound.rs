//! The most memory that an engine may ever take, put together from what its parts may.

use super::admissions::Admissions;
use super::registry::Registry;
use crate::client;
use crate::config::Config;
use crate::memory::{MemoryMax, list};
use crate::output::PeerHistory;
use crate::server;

/// What [`Engine::memory_max`](super::Engine::memory_max) tells.
pub(super) fn max<P: Copy + Ord>(config: &Config) -> MemoryMax {
    let (client, server) = (client::memory_bound::terms(config), server::bound::terms(config));
    let (peers, histories) =
        (u64::from(config.limits.peers), u64::from(config.limits.peer_histories));
    // A peer's row has a page of the table for itself at worst.
    let own = Registry::<P>::bytes_max(1) + list::<(P, PeerHistory)>(1);
    let each = client.each_peer + server.each_peer;
    MemoryMax {
        empty: client.empty
            + server.empty
            + Registry::<P>::bytes_empty()
            + Admissions::<P>::bytes_empty(),
        peer: own + each + client.one_peer + server.one_peer,
        peers: Registry::<P>::bytes_max(peers)
            + list::<(P, PeerHistory)>(histories)
            + peers * each
            + client.all_peers
            + server.all_peers,
        session: client.session,
        want: client.want,
    }
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::*;
    use crate::limits::Limits;

    /// A term that is forgotten, or counted twice, may be small beside the others: no test of what is really
    /// allocated would see it.
    #[test]
    fn the_bound_changes_only_when_it_is_meant_to() {
        let max = |limits| {
            let max = max::<u64>(&Config::default().with_limits(limits).unwrap());
            [max.empty, max.peer, max.peers, max.session, max.want]
        };
        assert_eq!(max(Limits::default()), [44_522, 6_586_229, 373_291_549, 59_760, 585]);
        let few = Limits {
            peers: 3,
            ledger_per_peer: 50,
            ledger: 100,
            response_bytes_per_peer: 10_000,
            response_bytes: 40_000,
            loads_per_peer: 7,
            messages_per_stream: 2,
            want_bytes_per_peer: 3000,
            sent_wants_per_peer: 20,
            sent_wants: 40,
            wants: 60,
            sessions: 5,
            entries_per_message: 30,
            peer_histories: 11,
        };
        assert_eq!(max(few), [44_522, 4_307_557, 4_398_775, 12_887, 1138]);
    }
}
