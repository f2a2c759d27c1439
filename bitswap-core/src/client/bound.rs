//! What this half takes of memory at most.

use core::cmp::Reverse;

use cid::Cid;

use super::Output;
use super::contact::Contact;
use super::receive::{AGAIN_MAX, STRAYS_MAX};
use super::search::LOOKUPS_MAX;
use super::session::{Member, Session};
use super::table::{Delivered, Interest, List, Pair, WantRow};
use crate::config::Config;
use crate::index::Index;
use crate::limits::CID_BYTES_MAX;
use crate::memory::{Terms, list, tree};
use crate::rows::{Id, Rows};
use crate::time::Timestamp;

/// A timer of a pair, want, session or peer.
type Timer = (Timestamp, u32);

/// The terms of this half.
pub(crate) fn terms(config: &Config) -> Terms {
    let limits = &config.limits;
    let (peers, told) = (u64::from(limits.peers), u64::from(limits.told_per_peer));
    let messages = u64::from(limits.messages_per_lane);
    let pairs = |pairs: u64| Rows::<Pair>::bytes_max(pairs) + tree::<Timer>(pairs);
    let each_peer = size_of::<Contact>() as u64
        + list::<Option<usize>>(peers) / peers.max(1)
        + list::<Cid>((STRAYS_MAX + AGAIN_MAX) as u64)
        + list::<[u32; 2]>(messages)
        + tree::<Timer>(1)
        + list::<u32>(1)
        + list::<Output>(1);
    // A session remembers of a peer that it asked it, and what came of it.
    let known = list::<Member>(peers) + list::<Id>(peers) + tree::<Id>(peers);
    let lookups = LOOKUPS_MAX as u64;
    // The lists that grow by doubling have been as long as they can be.
    let wants = u64::from(limits.wants).max(1);
    let sessions = u64::from(limits.sessions).max(1);
    Terms {
        empty: 5 * tree::<Timer>(0)
            + Index::<u32>::bytes_max(0)
            + tree::<(u64, u32)>(lookups)
            + list::<Output>(2 * lookups),
        each_peer,
        one_peer: pairs(told),
        all_peers: pairs((peers * told).min(limits.told.into())),
        session: Rows::<Session>::bytes_max(sessions).div_ceil(sessions)
            + tree::<Timer>(1)
            + 2 * tree::<(u64, u32)>(1)
            + 2 * list::<u32>(1)
            + known,
        want: (Rows::<WantRow>::bytes_max(wants)
            + Rows::<Interest>::bytes_max(wants)
            + Index::<u32>::bytes_max(wants)
            + 2 * tree::<Timer>(wants)
            + tree::<(Reverse<i32>, List)>(wants))
        .div_ceil(wants)
            + (CID_BYTES_MAX + size_of::<Delivered>()) as u64,
    }
}
