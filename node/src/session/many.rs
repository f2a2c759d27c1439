//! Many blocks of one session at once: one waiter, and batches all the way.

use std::collections::VecDeque;
use std::iter::repeat_n;

use bitswap_core::chunk::Link;
use bitswap_core::{Block, Want};
use bitswap_libp2p::Blockstore as _;
use cid::Cid;

use super::{EndedWant, Session, SessionWaiter};
use crate::error::GetError;
use crate::node::BLOCK_MAX;
use crate::node::routes::Outcome;

/// Blocks that are asked for at once: as many as servers remember wants of one peer.
const AT_ONCE: usize = 1024;

/// More are asked for once so many are missing of that: few enough that the peers never run out of wants,
/// enough that a batch is worth its way.
const BATCH: usize = AT_ONCE / 4;

/// Blocks that are read from the local store at once, and bytes: they are in memory until they are given.
const READ_BLOCKS: usize = 64;
const READ_BYTES: usize = 4 << 20;

/// The blocks of [`Session::get_many`] that were not given yet.
///
/// A block is looked for here, and wanted if it is not.
pub(super) struct Many<'a, I> {
    session: &'a Session,
    waiter: SessionWaiter,
    /// What was not looked at yet.
    rest: std::iter::Fuse<I>,
    /// How many were asked for and are not ready.
    asked: usize,
    /// Those that the store has, with their lengths.
    here: VecDeque<(Cid, usize)>,
    ready: VecDeque<(Cid, Result<Block, GetError>)>,
}

impl<'a, I: Iterator<Item = Cid>> Many<'a, I> {
    pub(super) fn new(session: &'a Session, cids: I) -> Self {
        Self {
            session,
            waiter: session.waiter(),
            rest: cids.fuse(),
            asked: 0,
            here: VecDeque::new(),
            ready: VecDeque::new(),
        }
    }

    /// The next block, or why there is none; `None` after the last.
    pub(super) async fn next(&mut self) -> Option<(Cid, Result<Block, GetError>)> {
        loop {
            if let Some(got) = self.ready.pop_front() {
                return Some(got);
            }
            if self.asked <= AT_ONCE - BATCH {
                self.ask_for_more().await;
            }
            if !self.ready.is_empty() {
                continue;
            }
            if !self.here.is_empty() {
                self.read().await;
            } else if self.asked == 0 {
                return None;
            } else {
                let ended = self.waiter.next().await;
                self.ended(ended);
            }
        }
    }

    /// Looks at the next of the rest: what is not here is wanted.
    async fn ask_for_more(&mut self) {
        let mut new = Vec::new();
        while self.asked < AT_ONCE
            && let Some(cid) = self.rest.next()
        {
            if let Ok(Link::Inline { data, .. }) = Link::of(&cid) {
                self.ready.push_back((cid, Ok(Block::new_unchecked(cid, data))));
                // What is free must not fill the memory.
                if self.ready.len() == AT_ONCE {
                    break;
                }
                continue;
            }
            self.asked += 1;
            new.push(cid);
        }
        let missing = self.without_those_here(new).await;
        self.want(missing).await;
    }

    /// Wants blocks.
    fn want(&self, missing: Vec<Cid>) -> impl Future<Output = ()> + Send + use<I> {
        self.waiter.want(missing.into_iter().map(Want::from).collect())
    }

    /// Those that the store does not have.
    async fn without_those_here(&mut self, mut cids: Vec<Cid>) -> Vec<Cid> {
        if cids.is_empty() {
            return cids;
        }
        let sizes = self.session.node.store().sizes(cids.clone()).await;
        let mut sizes = sizes.into_iter();
        cids.retain(|cid| match sizes.next() {
            Some(Ok(None)) => true,
            Some(Ok(Some(len))) => {
                self.here.push_back((*cid, len as usize));
                false
            }
            Some(Err(error)) => {
                self.got(*cid, Err(error.into()));
                false
            }
            // The store answers for each.
            None => true,
        });
        cids
    }

    /// Reads the next of those that the store has.
    async fn read(&mut self) {
        let (mut cids, mut bytes) = (Vec::new(), 0);
        while cids.len() < READ_BLOCKS
            && let Some((cid, len)) = self.here.front()
            && (cids.is_empty() || bytes + len <= READ_BYTES)
        {
            bytes += len;
            cids.push(*cid);
            self.here.pop_front();
        }
        let found = self.session.node.store().get(cids.clone()).await;
        let mut gone = Vec::new();
        for (cid, data) in cids.into_iter().zip(found) {
            match data {
                Ok(Some(data)) => self.got(cid, Ok(Block::new_unchecked(cid, data))),
                // It was removed since.
                Ok(None) => gone.push(cid),
                Err(error) => self.got(cid, Err(error.into())),
            }
        }
        self.want(gone).await;
    }

    /// A want has ended: what came is given as often as it was asked for.
    fn ended(&mut self, ended: EndedWant) {
        let EndedWant { cid, times, outcome, .. } = ended;
        let got = match outcome {
            Outcome::Block(held) => Ok(held.block),
            Outcome::Here(block) => Ok(block),
            Outcome::Failed(error) => Err(error),
            Outcome::Stored => {
                self.here.extend(repeat_n((cid, BLOCK_MAX), times as usize));
                return;
            }
        };
        repeat_n(got, times as usize).for_each(|got| self.got(cid, got));
    }

    /// One that was asked for is ready to be given.
    fn got(&mut self, cid: Cid, got: Result<Block, GetError>) {
        self.asked -= 1;
        self.ready.push_back((cid, got));
    }
}
