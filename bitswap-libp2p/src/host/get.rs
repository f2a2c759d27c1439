//! Single blocks, in a session of the behaviour's own.

use bitswap_core::{Block, SessionOptions, Want};
use bytes::Bytes;
use cid::Cid;

use super::requests::{FindId, Stage};
use super::{BlockDisposition, Host, Network};
use crate::blockstore::{Blockstore, StoreError};
use crate::event::{EngineEvent, Event, GetError, RequestId};

impl<N: Network, S: Blockstore> Host<N, S> {
    /// Gets one block: from the store, or from whoever has it, and then it is in the store too.
    pub(crate) fn get(&mut self, cid: Cid) -> RequestId {
        let (id, find) = self.requests.begin(cid);
        find.into_iter().for_each(|find| self.storage.find(find, cid));
        id
    }

    /// Ends a get. No event of it follows.
    pub(crate) fn cancel_get(&mut self, request: RequestId) {
        self.events.retain(
            |event| !matches!(event, Event::GetFinished { request: id, .. } if *id == request),
        );
        let Some(cid) = self.requests.cancel(request) else { return };
        self.unwant(cid);
    }

    /// The store's answer to a lookup.
    pub(super) fn found(
        &mut self,
        find: FindId,
        cid: Cid,
        found: Result<Option<Bytes>, StoreError>,
    ) {
        let Some(stage) = self.requests.found(&cid, find) else { return };
        match (found, stage) {
            (Ok(Some(data)), _) => {
                self.unwant(cid);
                self.finish(cid, Ok(Block::new_unchecked(cid, data)));
            }
            (Ok(None), Stage::Wanted) => {}
            // It was never there, or was stored and removed again.
            (Ok(None), Stage::LookedUp | Stage::Stored) => match self.want_for_get(cid) {
                Ok(()) => self.look_up(cid, Stage::Wanted),
                Err(error) => self.finish(cid, Err(error)),
            },
            (Err(error), _) => {
                self.unwant(cid);
                self.finish(cid, Err(GetError::Store(error)));
            }
        }
    }

    /// Takes an event of the engine that is about a get; gives back any other.
    pub(super) fn take_for_get(&mut self, event: EngineEvent) -> Option<EngineEvent> {
        let own = self.requests.session();
        match event {
            EngineEvent::Block { session, block, .. } if own == Some(session) => {
                let bytes = block.data().len() as u64;
                self.call(|engine, now| engine.release_capacity(session, bytes, now));
                self.finish(*block.cid(), Ok(block));
                None
            }
            EngineEvent::Stored { session, cid } if own == Some(session) => {
                self.look_up(cid, Stage::Stored);
                None
            }
            EngineEvent::Failed { session, cid, reason } if own == Some(session) => {
                self.finish(cid, Err(GetError::Failed(reason)));
                None
            }
            other => Some(other),
        }
    }

    fn look_up(&mut self, cid: Cid, stage: Stage) {
        if let Some(find) = self.requests.advance(&cid, stage) {
            self.storage.find(find, cid);
        }
    }

    fn want_for_get(&mut self, cid: Cid) -> Result<(), GetError> {
        let session = match self.requests.session() {
            Some(session) => session,
            None => {
                let options = SessionOptions::default();
                let session = self.open_session(options, BlockDisposition::Store)?;
                self.requests.opened(session);
                session
            }
        };
        Ok(self.call(|engine, now| engine.want(session, [Want::from(cid)], now))?)
    }

    /// The block need not come from peers any more.
    fn unwant(&mut self, cid: Cid) {
        if let Some(session) = self.requests.session() {
            self.cancel(session, [cid]);
        }
    }

    fn finish(&mut self, cid: Cid, result: Result<Block, GetError>) {
        let finished = self.requests.end(&cid).into_iter();
        self.events
            .extend(finished.map(|request| Event::GetFinished { request, result: result.clone() }));
    }
}
