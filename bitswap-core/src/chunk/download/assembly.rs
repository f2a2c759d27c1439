//! The assembly of a file from its blocks: which to request, which ranges to compare, what to write.
//!
//! It joins the [`Manifest`] and the [`RangeMap`], and holds the bytes that are received and not
//! written yet, within the window. It knows positions in the file, not files.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use cid::Cid;
use multihash_codetable::{Code, MultihashDigest};

use super::claims::Plan;
use super::effects::{Check, FileRole};
use super::events::BlockWant;
use super::options::DownloadOptions;
use super::requests::{Expected, Requests};
use super::verification::VerificationPlan;
use crate::block::Block;
use crate::chunk::cost;
use crate::chunk::digest::Leaves;
use crate::chunk::manifest::{Contents, Extent, Manifest, Segment};
use crate::chunk::range_map::{Holders, Order, RangeMap, Step};
use crate::chunk::range_set::RangeSet;
use crate::chunk::unixfs::{FileNode, InvalidDag, RAW};
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
pub(super) enum Next {
    Want(BlockWant),
    /// Compare the range of the row at this position.
    Compare(u64, Check),
}

/// The result of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compared {
    Equal,
    Different,
    /// Not equal to a leaf; but it may be a node, whose leaves are equal.
    Unclear,
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub(super) struct Assembly {
    manifest: Manifest,
    map: RangeMap,
    mode: Mode,
    verification: VerificationPlan,
    order: Order,
    window: u64,
    read_ahead: u64,
    reader: u64,
    requests: Requests,
    /// Received, and not yet being written (or compared).
    received: VecDeque<Extent>,
    /// Bytes that are received or being written (or compared).
    held_bytes: u64,
    /// Ranges being compared, by position: the segment, or `None` for bytes that are known.
    comparing: BTreeMap<u64, (u64, Option<Segment>)>,
    different: RangeSet,
    /// Where leaves lie, if that is of interest.
    leaves: Option<Leaves>,
}

impl Assembly {
    /// Starts at the root, with the leaves that are known.
    pub(super) fn new(
        cid: &Cid,
        root: &Arc<FileNode>,
        mode: Mode,
        (plan, leaves): (Plan, Leaves),
        options: &DownloadOptions,
    ) -> Result<Self, InvalidDag> {
        let (have, verification) = plan.into_parts();
        let mut manifest = Manifest::new(options.wanted.clone(), options.bounds);
        let top = manifest.begin(cid, root)?;
        let selection = manifest.selection();
        let rng = Rng::new(&options.seed, "chunk order");
        let mut assembly = Self {
            map: RangeMap::new(
                selection.clone(),
                have,
                options.order,
                cost::rows_max(options.window),
                rng,
            ),
            manifest,
            mode,
            verification,
            order: options.order,
            window: options.window.max(1),
            read_ahead: options.read_ahead,
            reader: selection.start,
            requests: Requests::default(),
            received: VecDeque::new(),
            held_bytes: 0,
            comparing: BTreeMap::new(),
            different: RangeSet::new(),
            leaves: options.expected.merkle_root.map(|_| leaves),
        };
        if root.is_leaf() {
            let contents = assembly.manifest.expand(&top, root)?;
            assembly.accept(contents);
        } else if !selection.is_empty() {
            assembly.map.add_root(&top, root.clone(), assembly.verification.of(&top, &selection));
        }
        Ok(assembly)
    }

    pub(super) const fn map(&self) -> &RangeMap {
        &self.map
    }

    /// Sets how many peers have each block.
    pub(super) fn set_holders(&mut self, holders: Holders) {
        self.map.set_holders(holders);
    }

    pub(super) const fn mode(&self) -> Mode {
        self.mode
    }

    /// The ranges that differ from the DAG, as positions in the file on disk.
    pub(super) fn different(&self) -> Vec<Range<u64>> {
        self.different.iter().collect()
    }

    pub(super) fn has_differences(&self) -> bool {
        !self.different.is_empty()
    }

    /// Whether nothing is missing, being written, or being compared.
    pub(super) fn is_complete(&self) -> bool {
        self.map.is_complete() && self.comparing.is_empty()
    }

    /// The next block to request or range to compare, within the window.
    pub(super) fn next(&mut self, may_want: bool) -> Result<Option<Next>, InvalidDag> {
        if self.mode != Mode::Fetch
            && let Some(extent) = self.received.pop_front()
        {
            return Ok(Some(self.compare_bytes(extent)));
        }
        while may_want && self.has_room() {
            let is_idle =
                self.requests.is_empty() && self.held_bytes == 0 && self.comparing.is_empty();
            match self.map.next(is_idle, self.node_room()) {
                None => break,
                Some(Step::Expand(segment, from, node)) => {
                    self.expand(&segment, from, &node)?;
                    if self.mode != Mode::Fetch && !self.received.is_empty() {
                        return self.next(may_want);
                    }
                }
                Some(Step::Compare(segment)) => return Ok(Some(self.compare_segment(segment))),
                Some(Step::Want(segment, cost)) => return Ok(Some(self.want(&segment, cost))),
            }
        }
        Ok(None)
    }

    /// Whether the window has room. Nodes count up to their share of it, so that leaves always have
    /// the rest.
    fn has_room(&self) -> bool {
        let nodes =
            (self.requests.node_bytes() + self.map.node_bytes()).min(cost::share(self.window));
        self.requests.leaf_bytes() + self.held_bytes + nodes < self.window
    }

    /// The memory that the next requested node may take. One may always be requested: held nodes that come
    /// later in the file are evicted for it.
    fn node_room(&self) -> u64 {
        match self.requests.node_bytes() {
            0 => u64::MAX,
            requested => cost::share(self.window).saturating_sub(requested + self.map.node_bytes()),
        }
    }

    /// The next bytes to write.
    pub(super) fn next_write(&mut self) -> Option<Extent> {
        if self.mode == Mode::Fetch { self.received.pop_front() } else { None }
    }

    /// Whether bytes wait to be written.
    pub(super) fn has_writes(&self) -> bool {
        self.mode == Mode::Fetch && !self.received.is_empty()
    }

    /// A write failed: its bytes are written again.
    pub(super) fn write_failed(&mut self, extent: Extent) {
        self.received.push_front(extent);
    }

    pub(super) fn written(&mut self, extent: &Extent) {
        self.held_bytes -= extent.bytes.len() as u64;
        self.map.written(extent.offset);
    }

    /// A verified block arrived. Returns whether it was needed.
    pub(super) fn block(&mut self, block: &Block) -> Result<bool, InvalidDag> {
        let (cid, data) = (block.cid(), block.data());
        self.requests.remove(cid);
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

    /// A want ended without a block. Returns whether it was requested.
    pub(super) fn want_ended(&mut self, cid: &Cid) -> bool {
        self.map.request_ended(cid);
        self.requests.remove(cid)
    }

    /// Cancels all wants, and returns them.
    pub(super) fn cancel_all(&mut self) -> Vec<Cid> {
        self.cancel_if(|_, _| true)
    }

    /// Moves the reader, cancels the wants that it does not wait for, and returns them.
    pub(super) fn seek(&mut self, position: u64) -> Vec<Cid> {
        self.reader = position;
        self.map.seek(position);
        let ahead = self.read_ahead_range();
        self.cancel_if(|map, cid| !map.overlaps(cid, &ahead))
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
        if equal && let Some(leaves) = &mut self.leaves {
            leaves.insert(offset, len);
        }
        if !equal && self.mode != Mode::Fetch && is_leaf {
            self.differs(offset, len);
            // Nothing is fetched for a range that differs.
            self.map.compared(offset, true);
            return compared;
        }
        self.map.compared(offset, equal);
        if equal || is_leaf { compared } else { Compared::Unclear }
    }

    /// The leaves that are known, if they are of interest.
    pub(super) const fn leaves(&self) -> Option<&Leaves> {
        self.leaves.as_ref()
    }

    /// The leaves that are known, to be kept when the assembly is given up.
    pub(super) fn take_leaves(&mut self) -> Leaves {
        self.leaves.take().unwrap_or_default()
    }

    /// Whether the compared ranges are a sample of more that is trusted.
    pub(super) const fn is_sampling(&self) -> bool {
        matches!(self.verification, VerificationPlan::Samples(_))
    }

    fn differs(&mut self, offset: u64, len: u64) {
        let at = offset - self.manifest.selection().start;
        self.different.insert(at..at + len);
    }

    /// Expands the next children of a node.
    fn expand(
        &mut self,
        segment: &Segment,
        from: usize,
        node: &FileNode,
    ) -> Result<(), InvalidDag> {
        let (contents, rest) =
            self.manifest.expand_some(segment, from, node, cost::EXPAND_BATCH)?;
        let selection = self.manifest.selection();
        let rest = rest.map(|(rest, child)| (rest, child, self.verification.of(&rest, &selection)));
        self.map.expanded(segment.offset, rest);
        self.accept(contents);
        Ok(())
    }

    fn accept(&mut self, contents: Contents) {
        let (selection, verification) = (self.manifest.selection(), &self.verification);
        self.map.add_contents(&contents, |segment| verification.of(segment, &selection));
        for extent in contents.extents {
            if let Some(leaves) = &mut self.leaves {
                leaves.insert(extent.offset, extent.bytes.len() as u64);
            }
            self.held_bytes += extent.bytes.len() as u64;
            self.received.push_back(extent);
        }
    }

    fn want(&mut self, segment: &Segment, cost: Option<u64>) -> Next {
        let expected = cost.map_or(Expected::Leaf(segment.len), Expected::Node);
        self.requests.insert(&segment.cid, expected);
        let estimate = cost.map_or(segment.len, cost::expected_block_len);
        let is_read = self.order == Order::Deadline
            && self.map.overlaps(&segment.cid, &self.read_ahead_range());
        // Without a node, nothing of what is below it can be asked for.
        let urgent = is_read || cost.is_some();
        Next::Want(BlockWant { cid: segment.cid, estimate, urgent })
    }

    fn read_ahead_range(&self) -> Range<u64> {
        self.reader..self.reader.saturating_add(self.read_ahead.max(1))
    }

    fn compare_segment(&mut self, segment: Segment) -> Next {
        self.comparing.insert(segment.offset, (segment.len, Some(segment)));
        self.check(segment.offset, segment.len, segment.cid)
    }

    fn compare_bytes(&mut self, extent: Extent) -> Next {
        let len = extent.bytes.len() as u64;
        self.comparing.insert(extent.offset, (len, None));
        let cid = Cid::new_v1(RAW, Code::Sha2_256.digest(&extent.bytes));
        self.check(extent.offset, len, cid)
    }

    fn check(&self, offset: u64, len: u64, cid: Cid) -> Next {
        let on_disk = offset - self.manifest.selection().start;
        // What is compared is a leaf or the bytes of one block.
        Next::Compare(offset, Check::new(self.mode.role(), on_disk, len as usize, cid))
    }

    fn cancel_if(&mut self, gone: impl Fn(&RangeMap, &Cid) -> bool) -> Vec<Cid> {
        let cids: Vec<Cid> = self.requests.cids().filter(|cid| gone(&self.map, cid)).collect();
        for cid in &cids {
            self.want_ended(cid);
        }
        cids
    }
}

#[cfg(any(test, feature = "testing"))]
impl Assembly {
    /// Checks the structure.
    ///
    /// # Panics
    ///
    /// When a part is inconsistent, or more is received than held.
    pub(super) fn validate(&self) {
        self.map.validate();
        self.different.validate();
        self.requests.validate();
        let received: usize = self.received.iter().map(|extent| extent.bytes.len()).sum();
        assert!(received as u64 <= self.held_bytes, "{received} of {}", self.held_bytes);
    }
}
