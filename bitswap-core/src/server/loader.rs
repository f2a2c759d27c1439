//! Lookups in the local store: which wants are looked up next, and the bytes that are expected of them.
//!
//! Invariant: what a peer has under way, and the bytes reserved for it, are the sums over the items of its lookups
//! that are not answered.

use alloc::vec::Vec;

use cid::Cid;

use crate::config::Config;
use crate::key::Key;
use crate::message::Version;
use crate::outbound_stream::OutboundStream;
use crate::output::LoadKind;
use crate::peer::Peer;
use crate::time::Timestamp;
use crate::util::list::{Linked, Links, List};
use crate::util::rows::{Id, Ref, Rows};
use crate::util::side_table::SideTable;

use super::consistent;
use super::ledger::Ledger;
use super::memory::Memory;
use super::peer_state::can_hold_blocks;
use super::task_queue::TaskQueue;
use super::want::Want;

/// Blocks in one lookup: enough to share the host's cost of a call, few enough to find an answer's place by looking.
const BATCH: usize = 64;
/// The size that a block is taken to have before any of the peer's was loaded: the usual leaf.
const FIRST_ESTIMATE: u32 = 256 << 10;
/// Estimates stay above this, so that a peer of small blocks that turns to big ones has few loads under way that were
/// taken for small ones.
const LOWEST_ESTIMATE: u32 = 8 << 10;

/// A lookup that the host is asked for.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) id: u64,
    pub(super) cids: Vec<Cid>,
    pub(super) kind: LoadKind,
}

/// A want whose lookup was answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answered {
    pub(super) peer: Ref<Peer>,
    /// The want may have ended since.
    pub(super) want: Id<Want>,
    pub(super) kind: LoadKind,
    /// Bytes that were expected.
    pub(super) reserved: u32,
}

/// A lookup under way.
#[derive(Debug)]
struct Lookup {
    peer: Ref<Peer>,
    kind: LoadKind,
    items: Vec<Item>,
    /// How many items are not answered: at most [`BATCH`].
    unanswered: u8,
    of_peer: Links<Self>,
}

#[derive(Debug)]
struct Item {
    key: Key,
    want: Id<Want>,
    reserved: u32,
    answered: bool,
}

/// Marks the list of the lookups of one peer.
#[derive(Debug)]
struct OfPeer;

impl Linked<OfPeer> for Lookup {
    fn links(&self) -> &Links<Self> {
        &self.of_peer
    }
    fn links_mut(&mut self) -> &mut Links<Self> {
        &mut self.of_peer
    }
}

impl Lookup {
    fn heap_bytes(&self) -> usize {
        let keys: usize = self.items.iter().map(|item| item.key.heap_bytes()).sum();
        self.items.capacity() * size_of::<Item>() + keys
    }
}

/// What is under way for one peer.
#[derive(Debug)]
struct PeerLookups {
    lookups: List<Lookup, OfPeer>,
    /// Items that are not answered.
    items: u32,
    /// Bytes expected of them.
    reserved: u64,
    /// What a block of unknown size is taken to have.
    estimate: u32,
}

/// The lookups of all peers.
#[derive(Debug)]
pub(super) struct Loader {
    lookups: Rows<Lookup>,
    peers: SideTable<PeerLookups, Peer>,
    loads_per_peer: u32,
    /// Bytes that the lookups hold.
    heap_bytes: usize,
}

impl Loader {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            lookups: Rows::default(),
            peers: SideTable::default(),
            loads_per_peer: config.limits.loads_per_peer,
            heap_bytes: 0,
        }
    }

    pub(super) fn connected(&mut self, peer: Ref<Peer>) {
        let state = PeerLookups {
            lookups: List::default(),
            items: 0,
            reserved: 0,
            estimate: FIRST_ESTIMATE,
        };
        self.peers.insert(peer, state);
    }

    pub(super) fn disconnected(&mut self, peer: Ref<Peer>) {
        self.forget(peer);
        self.peers.remove(peer);
    }

    /// Forgets the peer's lookups; answers to them are ignored.
    pub(super) fn forget(&mut self, peer: Ref<Peer>) {
        let Some(state) = consistent(self.peers.get_mut(peer), "the loader does not know a peer")
        else {
            return;
        };
        while let Some(row) = state.lookups.first() {
            state.lookups.remove(&mut self.lookups, row);
            if let Some(lookup) = self.lookups.remove(row) {
                self.heap_bytes -= lookup.heap_bytes();
            }
        }
        (state.items, state.reserved) = (0, 0);
    }

    /// Bytes expected from the peer's lookups under way.
    pub(super) fn reserved_bytes(&self, peer: Ref<Peer>) -> u64 {
        self.peers.get(peer).map_or(0, |state| state.reserved)
    }

    /// What a block of unknown size is taken to have.
    pub(super) fn estimate(&self, peer: Ref<Peer>) -> u32 {
        self.peers.get(peer).map_or(FIRST_ESTIMATE, |state| state.estimate)
    }

    /// A block of this size was loaded. Growth is believed at once, shrinking slowly: the estimate bounds how much may
    /// arrive unexpectedly.
    pub(super) fn learn(&mut self, peer: Ref<Peer>, size: u32) {
        let state = consistent(self.peers.get_mut(peer), "the loader does not know a peer");
        let Some(state) = state else { return };
        let slow = state.estimate - state.estimate / 4 + size / 4;
        state.estimate = size.max(slow).max(LOWEST_ESTIMATE);
    }

    /// Starts the next lookup for a peer, within its bounds and those of all peers.
    pub(super) fn start(
        &mut self,
        peer: Ref<Peer>,
        stream: &OutboundStream,
        ledger: &mut Ledger,
        memory: &mut Memory,
        now: Timestamp,
    ) -> Option<Load> {
        let state = consistent(self.peers.get(peer), "the loader does not know a peer")?;
        let room = (self.loads_per_peer.saturating_sub(state.items) as usize).min(BATCH);
        if room == 0 {
            memory.conclude(peer, None, now);
            return None;
        }
        let estimate = state.estimate;
        // Sizes first: they cost no memory, and their answers are small.
        let (mut kind, mut items) = (LoadKind::Size, Vec::new());
        if !stream.is_refused() {
            items = take_sizes(peer, room, ledger, TaskQueue::next_size);
        }
        if items.is_empty() {
            kind = LoadKind::Data;
            items = take_data(peer, room, estimate, stream, ledger, memory, now);
        }
        let can_deny = stream.version().is_none_or(Version::has_presence) && !stream.is_refused();
        if items.is_empty() && can_deny {
            // No memory for more blocks: the peer need not wait for it to be told of those that are absent.
            kind = LoadKind::Size;
            items = take_sizes(peer, room, ledger, TaskQueue::next_unsure);
        }
        if items.is_empty() {
            return None;
        }
        let cids = items.iter().map(|item| item.key.cid()).collect();
        Some(Load { id: self.insert(peer, kind, items)?.to_bits(), cids, kind })
    }

    fn insert(&mut self, peer: Ref<Peer>, kind: LoadKind, items: Vec<Item>) -> Option<Id<Lookup>> {
        let state = consistent(self.peers.get_mut(peer), "the loader does not know a peer")?;
        state.items += items.len() as u32;
        state.reserved += items.iter().map(|item| u64::from(item.reserved)).sum::<u64>();
        let unanswered = items.len() as u8;
        let lookup = Lookup { peer, kind, items, unanswered, of_peer: Links::default() };
        self.heap_bytes += lookup.heap_bytes();
        let id = self.lookups.insert(lookup);
        state.lookups.push_back(&mut self.lookups, id.at());
        Some(id)
    }

    /// Whether there is a lookup with this number, which comes from the host.
    pub(super) fn is_under_way(&self, id: u64) -> bool {
        self.lookups.get(Id::from_bits(id)).is_some()
    }

    /// The host's answer for one CID of a lookup. None for what was not asked, or was answered before.
    pub(super) fn answered(&mut self, id: u64, cid: &Cid) -> Option<Answered> {
        let id: Id<Lookup> = Id::from_bits(id);
        let key = Key::new(cid);
        let lookup = self.lookups.get_mut(id)?;
        let item = lookup.items.iter_mut().find(|item| !item.answered && item.key == key)?;
        item.answered = true;
        let (want, reserved) = (item.want, item.reserved);
        lookup.unanswered -= 1;
        let (peer, kind, done) = (lookup.peer, lookup.kind, lookup.unanswered == 0);
        let state = consistent(self.peers.get_mut(peer), "a peer left and its lookup stayed")?;
        state.items -= 1;
        state.reserved -= u64::from(reserved);
        if done {
            state.lookups.remove(&mut self.lookups, id.at());
            if let Some(lookup) = self.lookups.remove(id.at()) {
                self.heap_bytes -= lookup.heap_bytes();
            }
        }
        Some(Answered { peer, want, kind, reserved })
    }

    /// Bytes allocated.
    pub(super) fn bytes(&self) -> usize {
        self.lookups.bytes() + self.peers.bytes() + self.heap_bytes
    }

    /// The most bytes of lookups of so many blocks whose CIDs take so many bytes each.
    pub(super) const fn bytes_max(items: u64, cid_bytes: u64) -> u64 {
        Rows::<Lookup>::bytes_max(items) + items * (2 * size_of::<Item>() as u64 + cid_bytes)
    }

    /// The most bytes of a peer without lookups, beside `peers` others at most.
    pub(super) const fn peer_bytes_max(peers: u64) -> u64 {
        SideTable::<PeerLookups, Peer>::bytes_max_each(peers)
    }

    /// What breaks the invariant, if anything does: for tests.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn validate(&self) -> Result<(), &'static str> {
        let (mut lookups, mut bytes) = (0, 0);
        for (peer, state) in self.peers.iter() {
            state.lookups.validate(&self.lookups)?;
            let (mut items, mut reserved) = (0, 0);
            for (_, lookup) in state.lookups.iter(&self.lookups) {
                let open = || lookup.items.iter().filter(|item| !item.answered);
                if lookup.peer != peer || usize::from(lookup.unanswered) != open().count() {
                    return Err("a lookup has the wrong peer or number of open items");
                }
                items += open().count();
                reserved += open().map(|item| u64::from(item.reserved)).sum::<u64>();
                bytes += lookup.heap_bytes();
                lookups += 1;
            }
            if (items, reserved) != (state.items as usize, state.reserved) {
                return Err("a sum of a peer's lookups is wrong");
            }
        }
        if (lookups, bytes) != (self.lookups.len(), self.heap_bytes) {
            return Err("a sum of all lookups is wrong");
        }
        Ok(())
    }
}

/// Moves wants into a lookup of sizes.
fn take_sizes(
    peer: Ref<Peer>,
    room: usize,
    ledger: &mut Ledger,
    next: impl Fn(&TaskQueue) -> Option<Ref<Want>>,
) -> Vec<Item> {
    let mut items = Vec::new();
    while items.len() < room
        && let Some(row) = ledger.queue(peer).and_then(&next)
    {
        items.extend(take(ledger, row, LoadKind::Size, 0));
    }
    items
}

/// Moves wants into a lookup of data, as far as there is memory.
fn take_data(
    peer: Ref<Peer>,
    room: usize,
    estimate: u32,
    stream: &OutboundStream,
    ledger: &mut Ledger,
    memory: &mut Memory,
    now: Timestamp,
) -> Vec<Item> {
    let mut items = Vec::new();
    let mut grant = if can_hold_blocks(stream) { memory.grant(peer, now) } else { None };
    while items.len() < room
        && let Some(grant) = &mut grant
        && let Some(row) = ledger.queue(peer).and_then(TaskQueue::next_data)
        && grant.has_memory()
        && let Some(want) = ledger.at(row)
    {
        if stream.version().is_some_and(|version| !version.can_carry(&want.key().cid())) {
            ledger.cannot_be_sent(row);
            continue;
        }
        let bytes = want.size().unwrap_or(estimate);
        if !grant.reserve(bytes) {
            break;
        }
        items.extend(take(ledger, row, LoadKind::Data, bytes));
    }
    memory.conclude(peer, grant, now);
    items
}

fn take(ledger: &mut Ledger, row: Ref<Want>, kind: LoadKind, reserved: u32) -> Option<Item> {
    let (want, key) = ledger.lookup_started(row, kind)?;
    Some(Item { key, want, reserved, answered: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::OpenError;
    use crate::server::samples::{cid, limited, peer, want_block, want_have_or};
    use core::time::Duration;

    const NOW: Timestamp = Timestamp::ZERO;

    struct Case {
        loader: Loader,
        ledger: Ledger,
        memory: Memory,
        stream: OutboundStream,
    }

    impl Case {
        fn new(loads_per_peer: u32) -> Self {
            let config = limited(|limits| limits.loads_per_peer = loads_per_peer);
            let mut case = Self {
                loader: Loader::new(&config),
                ledger: Ledger::new(&config, &[1; 32]),
                memory: Memory::new(&config.limits),
                stream: OutboundStream::new(Duration::from_secs(1), NOW),
            };
            case.loader.connected(peer(0));
            case.ledger.connected(peer(0));
            case.memory.connected(peer(0), NOW);
            case
        }

        fn open(&mut self, result: Result<Version, OpenError>) {
            self.stream.open(NOW);
            self.stream.opened(result, NOW);
        }

        fn start(&mut self) -> Option<Load> {
            let Self { loader, ledger, memory, stream } = self;
            let load = loader.start(peer(0), stream, ledger, memory, NOW);
            loader.validate().unwrap();
            ledger.validate().unwrap();
            load
        }
    }

    #[test]
    fn sizes_go_first_then_data_within_the_window() {
        let mut case = Case::new(256);
        for n in 0..5 {
            case.ledger.apply(peer(0), &want_block(n, 0));
        }
        case.ledger.apply(peer(0), &want_have_or(9, 0));
        let sizes = case.start().unwrap();
        assert_eq!((sizes.kind, &sizes.cids[..]), (LoadKind::Size, &[cid(9)][..]));
        assert_eq!(case.loader.reserved_bytes(peer(0)), 0);
        // The first window has room for two blocks of unknown size.
        let data = case.start().unwrap();
        assert_eq!((data.kind, &data.cids[..]), (LoadKind::Data, &[cid(0), cid(1)][..]));
        assert_eq!(case.loader.reserved_bytes(peer(0)), 512 << 10);
    }

    #[test]
    fn a_lookup_has_at_most_64_blocks_and_a_peer_a_limit_of_its_own() {
        let mut case = Case::new(70);
        for n in 0..100 {
            case.ledger.apply(peer(0), &want_have_or(n, 0));
        }
        let batches: Vec<usize> =
            core::iter::from_fn(|| case.start()).map(|load| load.cids.len()).collect();
        assert_eq!(batches, [64, 6]);
    }

    #[test]
    fn an_answer_counts_once_and_the_last_one_ends_the_lookup() {
        let mut case = Case::new(256);
        for n in 0..2 {
            case.ledger.apply(peer(0), &want_block(n, 0));
        }
        let id = case.start().unwrap().id;
        let answered = case.loader.answered(id, &cid(1)).unwrap();
        assert_eq!((answered.peer, answered.reserved), (peer(0), 256 << 10));
        assert!(case.loader.answered(id, &cid(1)).is_none(), "answered before");
        assert!(case.loader.answered(id, &cid(7)).is_none(), "not asked");
        assert!(case.loader.answered(id + 1, &cid(0)).is_none(), "no such lookup");
        case.loader.validate().unwrap();
        assert!(case.loader.is_under_way(id));
        assert!(case.loader.answered(id, &cid(0)).is_some());
        assert!(!case.loader.is_under_way(id));
        case.loader.validate().unwrap();
        case.loader.disconnected(peer(0));
        assert_eq!(case.loader.bytes(), 0);
    }

    #[test]
    fn a_peer_that_leaves_takes_its_lookups_along() {
        let mut case = Case::new(256);
        case.ledger.apply(peer(0), &want_block(1, 0));
        let id = case.start().unwrap().id;
        case.loader.disconnected(peer(0));
        assert!(case.loader.answered(id, &cid(1)).is_none());
        assert_eq!(case.loader.bytes(), 0);
    }

    #[test]
    fn a_peer_that_speaks_no_bitswap_has_nothing_looked_up() {
        let mut case = Case::new(256);
        case.ledger.apply(peer(0), &want_block(1, 0));
        case.ledger.apply(peer(0), &want_have_or(2, 0));
        case.open(Err(OpenError::Unsupported));
        assert!(case.start().is_none());
    }

    #[test]
    fn a_block_that_the_version_cannot_carry_is_not_loaded() {
        let mut case = Case::new(256);
        case.ledger.apply(peer(0), &want_block(1, 0));
        case.open(Ok(Version::V1_0));
        assert!(case.start().is_none(), "CIDv1 blocks need prefixes");
        assert!(!case.ledger.queue(peer(0)).unwrap().has_data());
    }

    #[test]
    fn an_estimate_grows_at_once_and_shrinks_slowly() {
        let mut case = Case::new(1);
        let mut learn = |size| {
            case.loader.learn(peer(0), size);
            case.loader.estimate(peer(0))
        };
        assert_eq!(learn(1 << 20), 1 << 20);
        assert_eq!(learn(0), 768 << 10);
        for _ in 0..99 {
            learn(0);
        }
        assert_eq!(learn(0), LOWEST_ESTIMATE);
    }
}
