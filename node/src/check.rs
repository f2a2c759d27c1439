//! Whether one peer has something, and how fast it delivers it.

use std::collections::{BTreeSet, VecDeque};
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

/// How a peer is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckOptions {
    /// Bytes of blocks that are asked for, at most; the root always is. What comes is hashed and dropped.
    pub bytes: u64,
    /// How long connecting, and each block, may take.
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
    /// It delivered the root, and lacks some of what is below it.
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
    /// Whether that was all that is below the root.
    pub is_all: bool,
    /// Blocks that the peer lacks, or did not deliver in time: how many.
    pub missing: u64,
    /// The first of them, at most eight.
    #[cfg_attr(feature = "serde", serde(serialize_with = "texts"))]
    pub missing_cids: Vec<Cid>,
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
            want_timeout: Some(options.timeout),
            ..SessionOptions::default()
        };
        let session =
            self.session_keeping(session, BlockDisposition::Return, Some(checked.cid)).await?;
        let mut waiter = session.waiter();
        let (mut queue, mut seen) = (VecDeque::from([checked.cid]), BTreeSet::from([checked.cid]));
        let (mut asked, mut root_absent) = (0, None);
        checked.is_all = true;
        let start = Instant::now();
        loop {
            let has_room = checked.bytes < options.bytes || checked.blocks == 0;
            let more = AT_ONCE.saturating_sub(asked).min(if has_room { queue.len() } else { 0 });
            if more > 0 {
                asked += more;
                waiter.want(queue.drain(..more).map(Want::from).collect()).await?;
            }
            if asked == 0 {
                checked.is_all &= queue.is_empty();
                break;
            }
            // The engine ends each want in time; if a peer that cannot be asked keeps it, this does.
            let patience = self.runtime().sleep(options.timeout * 2);
            let delivery = match select(Box::pin(waiter.next()), patience).await {
                Either::Left((delivery, _)) => delivery?,
                Either::Right(_) => {
                    root_absent.get_or_insert(Absent::Silent);
                    (checked.missing, checked.is_all) = (checked.missing + asked as u64, false);
                    break;
                }
            };
            asked -= 1;
            match delivery.outcome {
                Outcome::Block(held) => {
                    checked.elapsed = start.elapsed();
                    checked.root_after.get_or_insert(checked.elapsed);
                    checked.blocks += 1;
                    checked.bytes += held.block.data().len() as u64;
                    queue.extend(links(&held.block).into_iter().filter(|cid| seen.insert(*cid)));
                }
                // Somebody stored it here meanwhile.
                Outcome::Stored => {}
                Outcome::Failed(error) => {
                    let absent = absent(error)?;
                    root_absent.get_or_insert(absent);
                    checked.missing += 1;
                    if checked.missing_cids.len() < MISSING_MAX {
                        checked.missing_cids.push(delivery.cid);
                    }
                }
            }
        }
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

/// The blocks that a node of UnixFS leads to; none of any other block.
fn links(block: &Block) -> Vec<Cid> {
    let node = UnixfsNode::decode(block.cid().codec(), block.data(), LINKS_MAX);
    let links: Vec<Link> = match node {
        Ok(UnixfsNode::File(node, _)) => {
            node.children.into_iter().map(|child| child.link).collect()
        }
        Ok(UnixfsNode::Directory(node, _)) => {
            node.entries.into_iter().map(|entry| entry.link).collect()
        }
        Ok(UnixfsNode::Shard(node, _)) => {
            let link = |child| match child {
                ShardChild::Shard { link, .. } => link,
                ShardChild::Entry { entry, .. } => entry.link,
            };
            node.children.into_iter().map(link).collect()
        }
        _ => Vec::new(),
    };
    let block = |link| match link {
        Link::Block(cid) => Some(cid),
        Link::Inline { .. } => None,
    };
    links.into_iter().filter_map(block).collect()
}
