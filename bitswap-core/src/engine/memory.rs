//! The memory that an engine takes: what it holds now, and the most that it may ever hold.

use super::Engine;
use super::admissions::Admissions;
use super::registry::Registry;
use crate::client;
use crate::config::Config;
use crate::memory::{MemoryMax, list};
use crate::output::PeerHistory;
use crate::server;

impl<P: Copy + Ord + core::fmt::Debug> Engine<P> {
    /// The bytes of memory that an engine of this configuration takes at the very most, and any one peer can
    /// have it take.
    ///
    /// `docs/limits.md` has the formula and where each limit is in it.
    #[must_use]
    pub fn memory_max(config: &Config) -> MemoryMax {
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

    /// Bytes of memory held, by the engine's own sums: to compare with a bound now and then, or for a gauge that is read
    /// every few seconds.
    ///
    /// It walks all sessions and peers, for what each of them has allocated is counted nowhere else. It walks no wants.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        let bytes = self.registry.bytes()
            + self.admissions.bytes()
            + self.gone.capacity() * size_of::<(P, PeerHistory)>()
            + self.client.held_bytes()
            + self.server.held_bytes();
        bytes as u64
    }
}
