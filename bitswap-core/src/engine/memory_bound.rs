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
