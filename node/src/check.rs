//! Whether one peer has something, and how fast it delivers it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bitswap_core::chunk::{Link, ShardChild, UnixfsNode};
use bitswap_core::{Block, PeerOutcome, PeerSet, SessionOptions, Want, WhenMissing};
use bitswap_libp2p::BlockDisposition;
use cid::Cid;
use futures::future::{Either, select};
use libp2p::{Multiaddr, PeerId};

use crate::doctor::Reached;
use crate::error::{GetError, NodeClosed};
use crate::node::Node;
use crate::node::routes::Outcome;

/// Blocks that are asked for at a time.
const AT_ONCE: usize = 32;
/// Links of one node that are followed.
const LINKS_MAX: usize = 1 << 16;
/// Missing blocks that are named.
const MISSING_MAX: usize = 8;
/// The longest block that peers send, in bytes.
const BLOCK_MAX: u64 = 2 << 20;

/// How a peer is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckOptions {
    /// Bytes of blocks that are asked for: the root always is, and no other once there are as many. What comes is
    /// hashed and dropped.
    pub bytes: u64,
    /// How long connecting may take, and how long nothing may come after that.
    pub timeout: Duration,
}

impl Default for CheckOptions {
    /// 16 MiB and ten seconds.
    fn default() -> Self {
        Self { bytes: 16 << 20, timeout: Duration::from_secs(10) }
    }
}

/// What a peer did when it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum CheckAnswer {
    /// It delivered the root, and everything else that was asked of it.
    Has,
    /// It delivered the root, and not all that was asked of it: it lacks some, or nothing more came in time.
    Partly,
    /// It says that it lacks the root.
    Lacks,
    /// It did not answer in time.
    Silent,
    /// It does not speak Bitswap.
    NoBitswap,
    /// It could not be reached.
    Unreachable,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Checked {
    /// What was asked for.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::serde_text::serialize"))]
    pub cid: Cid,
    /// What came of connecting; what the peer is and speaks.
    pub reached: Reached,
    /// What it did.
    pub answer: CheckAnswer,
    /// The time from asking for the root until it was there.
    pub root_after: Option<Duration>,
    /// Blocks that came, and their bytes.
    pub blocks: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// The time from asking for the root to the last block.
    pub elapsed: Duration,
    /// Whether that was the root and all that is below it.
    pub is_all: bool,
    /// Blocks that the peer lacks: how many.
    pub missing: u64,
    /// The first of them, at most eight.
    #[cfg_attr(feature = "serde", serde(serialize_with = "texts"))]
    pub missing_cids: Vec<Cid>,
    /// Blocks that were asked of it and neither came in time nor are said to be missing.
    pub undelivered: u64,
}

#[cfg(feature = "serde")]
fn texts<S: serde::Serializer>(cids: &[Cid], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(cids.iter().map(ToString::to_string))
}

impl Checked {
    /// Bytes per second, from asking for the root to the last block; `None` when nothing came.
    #[must_use]
    pub fn bytes_per_second(&self) -> Option<f64> {
        let seconds = self.elapsed.as_secs_f64();
        (self.bytes > 0 && seconds > 0.0).then(|| self.bytes as f64 / seconds)
    }

    /// Whether another block may be asked for, which may have `most` bytes, as what is under way may have `asked`.
    /// What a block may have is often more than it has, so one is always asked for until the bytes are there.
    const fn has_room(&self, bytes: u64, asked: u64, most: u64) -> bool {
        if asked == 0 {
            self.blocks == 0 || self.bytes < bytes
        } else {
            self.bytes.saturating_add(asked).saturating_add(most) <= bytes
        }
    }

    fn lacks(&mut self, cid: Cid) {
        self.missing += 1;
        if self.missing_cids.len() < MISSING_MAX {
            self.missing_cids.push(cid);
        }
    }
}

/// Why a block did not come.
enum Absent {
    Missing,
    NoBitswap,
    Silent,
}

impl Node {
    /// Asks one peer, and nobody else, for what a CID names, and measures how fast it comes. Nothing of it is kept,
    /// and what is here already is asked for all the same.
    ///
    /// # Errors
    ///
    /// [`GetError::Want`] for a CID that cannot be asked for, [`GetError::NodeClosed`].
    pub async fn check(
        &self,
        cid: Cid,
        address: Multiaddr,
        options: CheckOptions,
    ) -> Result<Checked, GetError> {
        let reached = self.reached(address, options.timeout).await?;
        let peer = reached.peer.as_ref().map(|connected| connected.info.peer);
        let mut checked = Checked {
            cid,
            reached,
            answer: CheckAnswer::Unreachable,
            root_after: None,
            blocks: 0,
            bytes: 0,
            elapsed: Duration::ZERO,
            is_all: false,
            missing: 0,
            missing_cids: Vec::new(),
            undelivered: 0,
        };
        if let Some(peer) = peer {
            self.ask(peer, options, &mut checked).await?;
            // What it said of the blocks is known by now.
            let connected = self.call(move |driver| driver.connected_peer(peer)).await?;
            checked.reached.peer = connected.or(checked.reached.peer);
        }
        Ok(checked)
    }

    async fn ask(
        &self,
        peer: PeerId,
        options: CheckOptions,
        checked: &mut Checked,
    ) -> Result<(), GetError> {
        let session = SessionOptions {
            peers: PeerSet::Only(vec![peer]),
            when_missing: WhenMissing::Fail,
            ..SessionOptions::default()
        };
        let session =
            self.session_keeping(session, BlockDisposition::Return, Some(checked.cid)).await?;
        let mut waiter = session.waiter_for_peers();
        let mut seen = BTreeSet::from([checked.cid]);
        let mut queue = VecDeque::from([(checked.cid, BLOCK_MAX)]);
        // What is under way, with the bytes that each block may have.
        let mut asked = BTreeMap::new();
        let mut root_absent = None;
        let start = Instant::now();
        loop {
            let mut wants = Vec::new();
            while asked.len() < AT_ONCE
                && let Some((_, most)) = queue.front()
                && checked.has_room(options.bytes, asked.values().sum(), *most)
                && let Some((cid, most)) = queue.pop_front()
            {
                asked.insert(cid, most);
                wants.push(Want::from(cid));
            }
            if !wants.is_empty() {
                waiter.want(wants).await;
            }
            if asked.is_empty() {
                break;
            }
            // Of a slow peer each block may take long, as long as others come.
            let patience = self.runtime().sleep(options.timeout);
            let ended = match select(Box::pin(waiter.next()), patience).await {
                Either::Left((ended, _)) => ended,
                Either::Right(_) => {
                    root_absent.get_or_insert(Absent::Silent);
                    checked.undelivered += asked.len() as u64;
                    break;
                }
            };
            asked.remove(&ended.cid);
            match ended.outcome {
                Outcome::Block(held) => {
                    checked.elapsed = start.elapsed();
                    checked.root_after.get_or_insert(checked.elapsed);
                    checked.blocks += 1;
                    checked.bytes += held.block.data().len() as u64;
                    queue.extend(
                        links(&held.block).into_iter().filter(|(cid, _)| seen.insert(*cid)),
                    );
                }
                // Somebody stored it here meanwhile.
                Outcome::Here(_) | Outcome::Stored => {}
                Outcome::Failed(error) => {
                    let absent = absent(error)?;
                    match absent {
                        Absent::Missing => checked.lacks(ended.cid),
                        Absent::NoBitswap | Absent::Silent => checked.undelivered += 1,
                    }
                    root_absent.get_or_insert(absent);
                }
            }
        }
        checked.is_all = root_absent.is_none() && queue.is_empty();
        checked.answer = match root_absent {
            None => CheckAnswer::Has,
            Some(_) if checked.root_after.is_some() => CheckAnswer::Partly,
            Some(Absent::Missing) => CheckAnswer::Lacks,
            Some(Absent::NoBitswap) => CheckAnswer::NoBitswap,
            Some(Absent::Silent) => CheckAnswer::Silent,
        };
        Ok(())
    }
}

/// What the end of a want says of the peer.
fn absent(error: GetError) -> Result<Absent, GetError> {
    Ok(match error {
        GetError::NotFound(reports) | GetError::TimedOut(reports) => {
            let is = |outcome| reports.iter().any(|report| report.outcome == outcome);
            if is(PeerOutcome::DontHave) {
                Absent::Missing
            } else if is(PeerOutcome::NoBitswap) {
                Absent::NoBitswap
            } else {
                Absent::Silent
            }
        }
        GetError::ConnectionLost { .. } => Absent::Silent,
        error @ (GetError::Want(_) | GetError::NodeClosed(NodeClosed)) => return Err(error),
        _ => Absent::Silent,
    })
}

/// The blocks that a node of UnixFS leads to, each with the bytes that it may have; none of any other block.
fn links(block: &Block) -> Vec<(Cid, u64)> {
    let node = UnixfsNode::decode(block.cid().codec(), block.data(), LINKS_MAX);
    // A link says how much lies below it, its block included. One that says nothing says 0.
    let links: Vec<(Link, u64)> = match node {
        Ok(UnixfsNode::File(node, _)) => {
            node.children.into_iter().map(|child| (child.link, child.tsize)).collect()
        }
        Ok(UnixfsNode::Directory(node, _)) => {
            node.entries.into_iter().map(|entry| (entry.link, entry.tsize)).collect()
        }
        Ok(UnixfsNode::Shard(node, _)) => {
            let link = |child| match child {
                ShardChild::Shard { link, .. } => (link, 0),
                ShardChild::Entry { entry, .. } => (entry.link, entry.tsize),
            };
            node.children.into_iter().map(link).collect()
        }
        _ => Vec::new(),
    };
    let block = |(link, below)| match link {
        Link::Block(cid) if below == 0 => Some((cid, BLOCK_MAX)),
        Link::Block(cid) => Some((cid, BLOCK_MAX.min(below))),
        Link::Inline { .. } => None,
    };
    links.into_iter().filter_map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked() -> Checked {
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/80".parse().unwrap();
        let reached = Reached { address, peer: None, connected_after: None, error: None };
        Checked {
            cid: Cid::default(),
            reached,
            answer: CheckAnswer::Silent,
            root_after: None,
            blocks: 0,
            bytes: 0,
            elapsed: Duration::ZERO,
            is_all: false,
            missing: 0,
            missing_cids: Vec::new(),
            undelivered: 0,
        }
    }

    #[test]
    fn the_root_is_asked_for_always_and_others_as_far_as_their_bytes_go() {
        let mut checked = checked();
        assert!(checked.has_room(0, 0, BLOCK_MAX), "the root");
        assert!(!checked.has_room(100, 50, 51) && checked.has_room(100, 50, 50));
        (checked.blocks, checked.bytes) = (1, 40);
        assert!(checked.has_room(41, 0, BLOCK_MAX) && !checked.has_room(40, 0, 1));
        assert!(checked.has_room(100, 50, 10) && !checked.has_room(100, 50, 11));
        assert!(!checked.has_room(100, u64::MAX, 1));
    }

    #[test]
    fn a_rate_is_told_of_bytes_that_took_time() {
        let mut checked = checked();
        assert_eq!(checked.bytes_per_second(), None);
        checked.elapsed = Duration::from_millis(500);
        assert_eq!(checked.bytes_per_second(), None);
        checked.bytes = 100;
        assert_eq!(checked.bytes_per_second(), Some(200.0));
        checked.elapsed = Duration::ZERO;
        assert_eq!(checked.bytes_per_second(), None);
    }

    #[test]
    fn all_that_is_missing_is_counted_and_the_first_of_it_named() {
        let mut checked = checked();
        (0..10u8).for_each(|n| checked.lacks(*Block::raw(vec![n]).cid()));
        assert_eq!((checked.missing, checked.missing_cids.len()), (10, MISSING_MAX));
        assert_eq!(checked.missing_cids[0], *Block::raw(vec![0]).cid());
    }

    #[test]
    fn a_peer_lacks_a_block_that_it_says_it_lacks() {
        use bitswap_core::PeerReport;
        let reports = |outcomes: &[PeerOutcome]| {
            let report =
                |outcome: &PeerOutcome| PeerReport { peer: PeerId::random(), outcome: *outcome };
            outcomes.iter().map(report).collect::<Vec<_>>()
        };
        let said = [PeerOutcome::Silent, PeerOutcome::DontHave];
        let none = [PeerOutcome::NoBitswap];
        for end in [GetError::NotFound, GetError::TimedOut] {
            assert!(matches!(absent(end(reports(&said))), Ok(Absent::Missing)));
            assert!(matches!(absent(end(reports(&none))), Ok(Absent::NoBitswap)));
            assert!(matches!(absent(end(reports(&said[..1]))), Ok(Absent::Silent)));
        }
        let lost = GetError::ConnectionLost { lost: Vec::new(), reports: reports(&said) };
        assert!(matches!(absent(lost), Ok(Absent::Silent)));
        assert!(absent(GetError::NodeClosed(NodeClosed)).is_err());
    }

    #[test]
    fn the_blocks_below_a_node_have_the_bytes_that_its_links_say() {
        use bitswap_core::chunk::{DirectoryBuilder, Metadata, NodeRoot, Profile};
        assert_eq!(links(&Block::raw("no node")), []);
        let cids = [1u8, 2, 3].map(|n| *Block::raw(vec![n]).cid());
        let mut directory = DirectoryBuilder::new(Profile::default());
        for (name, cid, dag_size) in [("a", cids[0], 7), ("b", cids[1], 0), ("c", cids[2], 9 << 20)]
        {
            directory.add(name, NodeRoot { cid, dag_size }).unwrap();
        }
        let (root, mut nodes) = directory.finish(&Metadata::default());
        let node = nodes.pop().unwrap();
        assert_eq!(node.cid(), &root.cid);
        assert_eq!(links(&node), [(cids[0], 7), (cids[1], BLOCK_MAX), (cids[2], BLOCK_MAX)]);
    }

    #[test]
    fn a_folder_in_many_nodes_leads_to_all_its_entries_with_their_bytes() {
        use std::collections::BTreeMap;

        use bitswap_core::chunk::{DirectoryBuilder, Metadata, NodeRoot, Profile};
        let mut directory = DirectoryBuilder::new(Profile::default());
        let mut entries = BTreeMap::new();
        for at in 1..2000_u64 {
            let cid = *Block::raw(at.to_be_bytes().to_vec()).cid();
            directory.add(&format!("{at:0>200}"), NodeRoot { cid, dag_size: at }).unwrap();
            entries.insert(cid, at);
        }
        let (root, nodes) = directory.finish(&Metadata::default());
        assert!(nodes.len() > 1, "it is one node");
        let nodes: BTreeMap<Cid, Block> =
            nodes.into_iter().map(|node| (*node.cid(), node)).collect();
        let (mut found, mut open) = (BTreeMap::new(), vec![root.cid]);
        while let Some(cid) = open.pop() {
            for (below, most) in links(&nodes[&cid]) {
                if nodes.contains_key(&below) {
                    assert_eq!(most, BLOCK_MAX);
                    open.push(below);
                } else {
                    found.insert(below, most);
                }
            }
        }
        assert_eq!(found, entries);
    }
}
