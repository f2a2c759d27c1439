//! The moving part of a download: which blocks to ask for, which ranges to compare, what to write.
//!
//! It joins the [`Manifest`] and the [`RangeMap`], and holds the bytes that are received and not
//! written yet. It knows positions in the file, not files.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;
use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};

use super::checks::Checks;
use super::effects::{Check, FileRole};
use super::events::BlockWant;
use super::options::DownloadOptions;
use crate::chunk::cost;
use crate::chunk::manifest::{Contents, Extent, Manifest, Segment};
use crate::chunk::range_map::Order;
use crate::chunk::range_map::RangeMap;
use crate::chunk::range_map::Step;
use crate::chunk::range_set::RangeSet;
use crate::chunk::unixfs::{FileNode, InvalidDag, RAW};
use crate::key::Key;
use crate::rng::Rng;

/// What happens with the bytes of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// They are written to the temporary file.
    Fetch,
    /// The target is compared with them; the first difference ends it.
    Precheck,
    /// The target is compared with them, all of it.
    Verify,
}

impl Mode {
    /// The file on disk.
    pub(super) const fn role(self) -> FileRole {
        match self {
            Self::Fetch => FileRole::Temp,
            Self::Precheck | Self::Verify => FileRole::Target(0),
        }
    }
}

/// The next thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Move {
    Want(BlockWant),
    /// Compare the range of the row at this position.
    Check(u64, Check),
}

/// What came of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compared {
    Equal,
    Different,
    /// Not equal to a leaf; but it may be a node, whose leaves are equal.
    Unclear,
}

/// What the answer to a want is taken to take.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Leaf(u64),
    Node(u64),
}

#[derive(Clone, Debug)]
pub(super) struct Transfer {
    manifest: Manifest,
    map: RangeMap,
    mode: Mode,
    checks: Checks,
    order: Order,
    window: u64,
    read_ahead: u64,
    reader: u64,
    asked: BTreeMap<Key, Asked>,
    /// Bytes of leaves asked for.
    asked_bytes: u64,
    /// What the nodes asked for are taken to take.
    asked_nodes: u64,
    /// Received and not handed out for writing (or comparing).
    waiting: VecDeque<Extent>,
    /// Bytes received and not answered for.
    held_bytes: u64,
    /// Ranges being compared, by position: the segment, or `None` for bytes that are known.
    comparing: BTreeMap<u64, (u64, Option<Segment>)>,
    different: RangeSet,
}

impl Transfer {
    /// Starts at the root.
    pub(super) fn new(
        cid: &Cid,
        root: &Arc<FileNode>,
        mode: Mode,
        (have, checks): (RangeSet, Checks),
        options: &DownloadOptions,
    ) -> Result<Self, InvalidDag> {
        let mut manifest = Manifest::new(options.wanted.clone(), options.bounds);
        let top = manifest.begin(cid, root)?;
        let selection = manifest.selection();
        let rng = Rng::new(&options.seed, "chunk order");
        let mut transfer = Self {
            map: RangeMap::new(
                selection.clone(),
                have,
                options.order,
                cost::rows_max(options.window),
                rng,
            ),
            manifest,
            mode,
            checks,
            order: options.order,
            window: options.window.max(1),
            read_ahead: options.read_ahead,
            reader: selection.start,
            asked: BTreeMap::new(),
            asked_bytes: 0,
            asked_nodes: 0,
            waiting: VecDeque::new(),
            held_bytes: 0,
            comparing: BTreeMap::new(),
            different: RangeSet::new(),
        };
        if root.is_leaf() {
            let contents = transfer.manifest.expand(&top, root)?;
            transfer.accept(contents);
        } else if !selection.is_empty() {
            transfer.map.add_root(&top, root.clone(), transfer.checks.of(&top, &selection));
        }
        Ok(transfer)
    }

    pub(super) const fn map(&self) -> &RangeMap {
        &self.map
    }

    pub(super) const fn map_mut(&mut self) -> &mut RangeMap {
        &mut self.map
    }

    pub(super) const fn mode(&self) -> Mode {
        self.mode
    }

    /// The ranges that differ from the DAG, as positions in the file on disk.
    pub(super) fn different(&self) -> Vec<Range<u64>> {
        self.different.iter().collect()
    }

    /// Whether everything is there, and nothing is being compared.
    pub(super) fn is_complete(&self) -> bool {
        self.map.is_complete() && self.comparing.is_empty()
    }

    /// The next block to ask for or range to compare, within the window.
    pub(super) fn next_move(&mut self, may_want: bool) -> Result<Option<Move>, InvalidDag> {
        if self.mode != Mode::Fetch
            && let Some(extent) = self.waiting.pop_front()
        {
            return Ok(Some(self.compare_bytes(extent)));
        }
        while may_want && self.has_room() {
            let is_idle =
                self.asked.is_empty() && self.held_bytes == 0 && self.comparing.is_empty();
            match self.map.next(is_idle, self.node_room()) {
                None => break,
                Some(Step::Expand(segment, from, node)) => {
                    self.expand(&segment, from, &node)?;
                    if self.mode != Mode::Fetch && !self.waiting.is_empty() {
                        return self.next_move(may_want);
                    }
                }
                Some(Step::Compare(segment)) => return Ok(Some(self.compare_segment(segment))),
                Some(Step::Want(segment, cost)) => return Ok(Some(self.want(&segment, cost))),
            }
        }
        Ok(None)
    }

    /// Whether the window has room. Nodes take their share of it at most, so that leaves always have
    /// theirs.
    fn has_room(&self) -> bool {
        let nodes = (self.asked_nodes + self.map.node_bytes()).min(cost::share(self.window));
        self.asked_bytes + self.held_bytes + nodes < self.window
    }

    /// What the next node may take that is asked for. One may always be asked for: what is held and comes
    /// later in the file makes room for it.
    fn node_room(&self) -> u64 {
        match self.asked_nodes {
            0 => u64::MAX,
            asked => cost::share(self.window).saturating_sub(asked + self.map.node_bytes()),
        }
    }

    /// The next bytes to write.
    pub(super) fn next_write(&mut self) -> Option<Extent> {
        if self.mode == Mode::Fetch { self.waiting.pop_front() } else { None }
    }

    /// Whether bytes wait to be written.
    pub(super) fn has_writes(&self) -> bool {
        self.mode == Mode::Fetch && !self.waiting.is_empty()
    }

    /// A write that did not work: the bytes are kept for another.
    pub(super) fn write_failed(&mut self, extent: Extent) {
        self.waiting.push_front(extent);
    }

    pub(super) fn written(&mut self, extent: &Extent) {
        self.held_bytes -= extent.bytes.len() as u64;
        self.map.written(extent.offset);
    }

    /// A verified block. Tells whether it was of use.
    pub(super) fn block(&mut self, cid: &Cid, data: &Bytes) -> Result<bool, InvalidDag> {
        self.unask(cid);
        if !self.map.needs(cid) {
            return Ok(false);
        }
        let node = self.manifest.read(cid, data)?;
        if node.is_leaf() {
            let node = node.into_compact(data);
            for segment in self.map.take_segments(cid, &node, cost::share(self.window)) {
                let contents = self.manifest.expand(&segment, &node)?;
                self.accept(contents);
            }
        } else {
            self.map.hold_node(cid, node.into_compact(data), cost::share(self.window));
        }
        Ok(true)
    }

    /// A want ended without a block.
    pub(super) fn unwant(&mut self, cid: &Cid) -> bool {
        self.map.request_ended(cid);
        self.unask(cid)
    }

    /// Takes back all wants.
    pub(super) fn withdraw(&mut self) -> Vec<Cid> {
        self.withdraw_if(|_, _| true)
    }

    /// Moves the reader and takes back the wants that it does not wait for.
    pub(super) fn seek(&mut self, position: u64) -> Vec<Cid> {
        self.reader = position;
        self.map.seek(position);
        let ahead = self.ahead();
        self.withdraw_if(|map, cid| !map.overlaps(cid, &ahead))
    }

    pub(super) fn set_order(&mut self, order: Order) {
        self.order = order;
        self.map.set_order(order);
    }

    /// The answer to a comparison.
    pub(super) fn compared(&mut self, offset: u64, equal: bool) -> Compared {
        let compared = if equal { Compared::Equal } else { Compared::Different };
        let Some((len, segment)) = self.comparing.remove(&offset) else { return compared };
        let Some(segment) = segment else {
            self.held_bytes -= len;
            self.map.written(offset);
            if !equal {
                self.differs(offset, len);
            }
            return compared;
        };
        let is_leaf = Check::is_leaf(&segment);
        if !equal && self.mode != Mode::Fetch && is_leaf {
            self.differs(offset, len);
            // Compared is compared: there is nothing to fetch for it.
            self.map.compared(offset, true);
            return compared;
        }
        self.map.compared(offset, equal);
        if equal || is_leaf { compared } else { Compared::Unclear }
    }

    /// Whether what is compared stands for more that is not.
    pub(super) const fn is_sampling(&self) -> bool {
        matches!(self.checks, Checks::Probes(_))
    }

    fn differs(&mut self, offset: u64, len: u64) {
        let at = offset - self.manifest.selection().start;
        self.different.insert(at..at + len);
    }

    /// Places the next children of a node.
    fn expand(
        &mut self,
        segment: &Segment,
        from: usize,
        node: &FileNode,
    ) -> Result<(), InvalidDag> {
        let (contents, rest) =
            self.manifest.expand_some(segment, from, node, cost::EXPAND_BATCH)?;
        let selection = self.manifest.selection();
        let rest = rest.map(|(rest, child)| (rest, child, self.checks.of(&rest, &selection)));
        self.map.expanded(segment.offset, rest);
        self.accept(contents);
        Ok(())
    }

    fn accept(&mut self, contents: Contents) {
        let (selection, checks) = (self.manifest.selection(), &self.checks);
        self.map.add_contents(&contents, |segment| checks.of(segment, &selection));
        for extent in contents.extents {
            self.held_bytes += extent.bytes.len() as u64;
            self.waiting.push_back(extent);
        }
    }

    fn want(&mut self, segment: &Segment, cost: Option<u64>) -> Move {
        self.unask(&segment.cid);
        let asked = cost.map_or(Asked::Leaf(segment.len), Asked::Node);
        match asked {
            Asked::Leaf(bytes) => self.asked_bytes += bytes,
            Asked::Node(cost) => self.asked_nodes += cost,
        }
        self.asked.insert(Key::new(&segment.cid), asked);
        let estimate = cost.map_or(segment.len, cost::expected_block_len);
        let urgent =
            self.order == Order::Deadline && self.map.overlaps(&segment.cid, &self.ahead());
        Move::Want(BlockWant { cid: segment.cid, estimate, urgent })
    }

    fn ahead(&self) -> Range<u64> {
        self.reader..self.reader.saturating_add(self.read_ahead.max(1))
    }

    fn compare_segment(&mut self, segment: Segment) -> Move {
        self.comparing.insert(segment.offset, (segment.len, Some(segment)));
        self.check(segment.offset, segment.len, segment.cid)
    }

    fn compare_bytes(&mut self, extent: Extent) -> Move {
        let len = extent.bytes.len() as u64;
        self.comparing.insert(extent.offset, (len, None));
        let cid = Cid::new_v1(RAW, Code::Sha2_256.digest(&extent.bytes));
        self.check(extent.offset, len, cid)
    }

    fn check(&self, offset: u64, len: u64, cid: Cid) -> Move {
        let on_disk = offset - self.manifest.selection().start;
        // What is compared is a leaf or the bytes of one block.
        Move::Check(offset, Check::new(self.mode.role(), on_disk, len as usize, cid))
    }

    fn withdraw_if(&mut self, gone: impl Fn(&RangeMap, &Cid) -> bool) -> Vec<Cid> {
        let asked = self.asked.keys().map(Key::cid);
        let cids: Vec<Cid> = asked.filter(|cid| gone(&self.map, cid)).collect();
        for cid in &cids {
            self.unwant(cid);
        }
        cids
    }

    fn unask(&mut self, cid: &Cid) -> bool {
        let asked = self.asked.remove(&Key::new(cid));
        match asked {
            Some(Asked::Leaf(bytes)) => self.asked_bytes -= bytes,
            Some(Asked::Node(cost)) => self.asked_nodes -= cost,
            None => {}
        }
        asked.is_some()
    }
}
