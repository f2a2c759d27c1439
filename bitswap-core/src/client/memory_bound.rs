//! What this half takes of memory at most.

use super::Output;
use super::peer_want::PeerWant;
use super::peers::Peers;
use super::provider_search::{LOOKUPS_MAX, Lookups};
use super::session::Session;
use super::timers::{Due, Timers};
use super::want_queue::WantQueue;
use super::want_table::bound;
use crate::config::Config;
use crate::memory::{Terms, list};
use crate::peer::Peer;

/// The terms of this half.
pub(crate) fn terms(config: &Config) -> Terms {
    let limits = &config.limits;
    let (peers, told) = (u64::from(limits.peers), u64::from(limits.sent_wants_per_peer));
    let messages = u64::from(limits.messages_per_stream);
    let peer_wants = |wants: u64| bound::peer_wants(wants) + Due::<PeerWant>::bytes_max(wants);
    // The lists that grow by doubling have been as long as they can be.
    let wants = u64::from(limits.wants).max(1);
    let sessions = u64::from(limits.sessions).max(1);
    Terms {
        empty: 6 * Due::<PeerWant>::bytes_max(0)
            + Timers::peers_bytes_max(0)
            + bound::EMPTY
            + Lookups::bytes_max()
            + list::<Output>(2 * LOOKUPS_MAX as u64),
        each_peer: Peers::bytes_max_each(peers, messages)
            + Timers::peers_bytes_max(1)
            + Due::<Peer>::bytes_max(1)
            + list::<Output>(1),
        one_peer: peer_wants(told),
        all_peers: peer_wants((peers * told).min(limits.sent_wants.into())),
        session: Session::bytes_max(sessions, peers),
        want: (bound::wants(wants)
            + 2 * Due::<PeerWant>::bytes_max(wants)
            + WantQueue::bytes_max(wants))
        .div_ceil(wants),
    }
}
