//! What happens: inputs of three peers, of the host and of the user, in any order.

use proptest::prelude::*;

use crate::world::{CIDS, LATE, PEERS, SIZES};

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Tell { peer: u32, entries: Vec<(u32, bool, bool, i8)>, full: bool },
    Cancel { peer: u32, cids: Vec<u32> },
    Store(u32),
    Poll(u8),
    Open { which: usize, ok: bool },
    Load { which: usize, part: usize },
    Sent { which: usize, ok: bool },
    Reset(u32),
    Reconnect(u32),
    Pass(u64),
}

pub(crate) fn ops() -> impl Strategy<Value = Vec<Op>> {
    let peer = 0..PEERS;
    let entry = (0..CIDS, any::<bool>(), any::<bool>(), any::<i8>());
    let which = any::<prop::sample::Index>().prop_map(|index| index.index(64));
    let op = prop_oneof![
        6 => (peer.clone(), prop::collection::vec(entry, 1..6), prop::bool::weighted(0.1))
            .prop_map(|(peer, entries, full)| Op::Tell { peer, entries, full }),
        3 => (peer.clone(), prop::collection::vec(0..CIDS, 1..4))
            .prop_map(|(peer, cids)| Op::Cancel { peer, cids }),
        1 => (LATE as u32..SIZES.len() as u32).prop_map(Op::Store),
        8 => (1..12u8).prop_map(Op::Poll),
        3 => (which.clone(), prop::bool::weighted(0.8))
            .prop_map(|(which, ok)| Op::Open { which, ok }),
        6 => (which.clone(), 1..4usize).prop_map(|(which, part)| Op::Load { which, part }),
        6 => (which, prop::bool::weighted(0.8)).prop_map(|(which, ok)| Op::Sent { which, ok }),
        1 => peer.clone().prop_map(Op::Reset),
        1 => peer.prop_map(Op::Reconnect),
        2 => prop_oneof![Just(0), 1..200_000u64, Just(6_000_000)].prop_map(Op::Pass),
    ];
    prop::collection::vec(op, 1..120)
}
