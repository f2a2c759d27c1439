//! What an engine takes of memory at the very most: a formula over [`Limits`](crate::Limits).
//!
//! Each half of the engine has its terms in a file `bound`, with the sizes of the rows that are really used.

/// The most bytes that an engine takes, by what they are for. See [`Engine::memory_max`](crate::Engine::memory_max).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct MemoryMax {
    /// An engine without peers and wants, beside the value itself.
    pub empty: u64,
    /// For any one peer.
    pub peer: u64,
    /// For all peers together, however many there are of those that [`Limits`](crate::Limits) let in.
    pub peers: u64,
    /// For a session, without its wants and the blocks that were delivered and not taken yet: those take its
    /// window and one block.
    pub session: u64,
    /// For a want of one session, with a CID of the longest kind.
    pub want: u64,
}

/// The terms of one half of the engine, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terms {
    /// Without peers and wants.
    pub(crate) empty: u64,
    /// For each peer, whatever it does.
    pub(crate) each_peer: u64,
    /// For what one peer may have the engine keep beside.
    pub(crate) one_peer: u64,
    /// For what all peers together may.
    pub(crate) all_peers: u64,
    pub(crate) session: u64,
    pub(crate) want: u64,
}

/// The most bytes of a B-tree with so many entries of this type.
pub(crate) const fn tree<T>(entries: u64) -> u64 {
    // A node has room for eleven entries and holds five at least; above six nodes is one of their parents,
    // with twelve links.
    let node = 11 * size_of::<T>() as u64 + 16;
    let parent = node + 12 * size_of::<usize>() as u64;
    entries * node / 5 + entries * parent / 25 + node
}

/// The most bytes of a list that grows by doubling.
pub(crate) const fn list<T>(entries: u64) -> u64 {
    let room = match entries {
        0..=4 => 4,
        more => more.next_power_of_two(),
    };
    room * size_of::<T>() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_its_nodes_half_full_their_parents_and_a_node_of_room() {
        // 11 entries and 16 bytes, and 12 links of a parent: 104 bytes, and 200.
        assert_eq!(tree::<u64>(0), 104);
        let links = 12 * size_of::<usize>() as u64;
        assert_eq!(tree::<u64>(25), 25 * 104 / 5 + (104 + links) + 104);
        assert_eq!(tree::<u64>(2500), 2500 * 104 / 5 + 100 * (104 + links) + 104);
    }

    #[test]
    fn a_list_doubles_from_four() {
        let most = [0, 1, 4, 5, 8, 9, 1000].map(list::<u32>);
        assert_eq!(most, [16, 16, 16, 32, 32, 64, 4096]);
    }
}
