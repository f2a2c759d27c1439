//! Calls of the store: answered at once, or run on the spawner and answered through a channel.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};

use bitswap_core::{Block, BlockInfo, Load, LoadAnswer, LoadId, LoadKind, Loaded};
use bytes::Bytes;
use cid::Cid;
use futures::channel::mpsc;
use futures::{FutureExt, StreamExt};
use libp2p_identity::PeerId;

use super::requests::FindId;
use crate::blockstore::{Blockstore, StoreError};
use crate::event::PutId;
use crate::spawner::TaskSpawner;

/// Who may have what: called beside the swarm's task for each block that a peer asks for.
pub(crate) type Access = Arc<dyn Fn(&PeerId, &Cid) -> bool + Send + Sync>;

/// The store and what is under way in it.
pub(crate) struct Storage<S> {
    store: Arc<S>,
    spawner: Arc<dyn TaskSpawner>,
    /// `None`: everybody may have everything.
    access: Option<Access>,
    /// What the store answered at once, and nobody has looked at yet.
    ready: VecDeque<Answer>,
    // Each future has a sender of its own, and every sender has room for one answer, so answering
    // never waits and the channel holds one answer per running future at most.
    answer: mpsc::Sender<Answer>,
    answers: mpsc::Receiver<Answer>,
    running: usize,
    /// The task that polled last is woken by an answer of what runs on the spawner.
    has_registered: bool,
}

/// An answer of the store.
#[derive(Debug)]
pub(crate) enum Answer {
    Load { id: LoadId, loaded: Vec<Loaded>, error: Option<StoreError> },
    Put { id: PutId, blocks: Vec<BlockInfo>, result: Result<(), StoreError> },
    Found { find: FindId, cid: Cid, found: Result<Option<Bytes>, StoreError> },
}

impl<S: Blockstore> Storage<S> {
    pub(crate) fn new(store: Arc<S>, spawner: Arc<dyn TaskSpawner>) -> Self {
        let (answer, answers) = mpsc::channel(0);
        let ready = VecDeque::new();
        let (running, has_registered) = (0, false);
        Self { store, spawner, access: None, ready, answer, answers, running, has_registered }
    }

    pub(crate) const fn store(&self) -> &Arc<S> {
        &self.store
    }

    pub(crate) fn set_access(&mut self, access: Access) {
        self.access = Some(access);
    }

    /// Calls whose answers were not taken yet.
    pub(crate) const fn running(&self) -> usize {
        self.running
    }

    /// Whether there may be an answer of which the task that polled last is not told.
    pub(crate) fn may_have_more(&self) -> bool {
        !self.has_registered || !self.ready.is_empty()
    }

    /// Looks blocks up for a peer.
    pub(crate) fn load(&mut self, load: Load<PeerId>) {
        let Load { id, peer, cids, kind } = load;
        let (store, access) = (self.store.clone(), self.access.clone());
        // Whoever decides about access may take their time.
        let at_once = access.is_none() && store.answers_at_once();
        let unanswered = cids.clone();
        self.begin(
            at_once,
            async move {
                let may = |cid: &Cid| access.as_ref().is_none_or(|access| access(&peer, cid));
                let (allowed, refused): (Vec<_>, Vec<_>) = cids.into_iter().partition(may);
                let (mut loaded, error) = look_up(&*store, allowed, kind).await;
                loaded.extend(refused.into_iter().map(|cid| answered(cid, LoadAnswer::NotFound)));
                Answer::Load { id, loaded, error }
            },
            move |error| Answer::Load { id, loaded: failed(unanswered), error: Some(error) },
        );
    }

    /// Looks a block up for the user.
    pub(crate) fn find(&mut self, find: FindId, cid: Cid) {
        let store = self.store.clone();
        self.begin(
            store.answers_at_once(),
            async move {
                let missing = || Err(StoreError::new("it gave no answer"));
                let found = store.get(vec![cid]).await.pop().unwrap_or_else(missing);
                Answer::Found { find, cid, found }
            },
            move |error| Answer::Found { find, cid, found: Err(error) },
        );
    }

    /// Stores blocks.
    pub(crate) fn put(&mut self, id: PutId, blocks: Vec<Block>) {
        let store = self.store.clone();
        let infos: Vec<_> = blocks.iter().map(BlockInfo::from).collect();
        self.begin(
            store.answers_at_once(),
            async move {
                let result = store.put(blocks).await;
                let blocks = if result.is_ok() { infos } else { Vec::new() };
                Answer::Put { id, blocks, result }
            },
            move |error| Answer::Put { id, blocks: Vec::new(), result: Err(error) },
        );
    }

    /// The next answer.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Answer> {
        let answer = match self.ready.pop_front() {
            Some(answer) => Some(answer),
            None => match self.answers.poll_next_unpin(cx) {
                // It ends never while `answer` lives.
                Poll::Ready(answer) => answer,
                Poll::Pending => None,
            },
        };
        self.has_registered = answer.is_none();
        let Some(answer) = answer else { return Poll::Pending };
        self.running -= 1;
        Poll::Ready(answer)
    }

    /// Runs a future that answers once, whatever becomes of it: here as far as it gets at once, if the store
    /// says so, and else on the spawner. Whoever calls has [`Self::poll`] called afterwards.
    fn begin(
        &mut self,
        at_once: bool,
        work: impl Future<Output = Answer> + Send + 'static,
        lost: impl FnOnce(StoreError) -> Answer + Send + 'static,
    ) {
        const PANICKED: &str = "it panicked";
        self.running += 1;
        let mut work = AssertUnwindSafe(work).catch_unwind().boxed();
        if at_once && let Some(answer) = (&mut work).now_or_never() {
            let answer = answer.unwrap_or_else(|_| lost(StoreError::new(PANICKED)));
            return self.ready.push_back(answer);
        }
        let mut reply = Reply { to: self.answer.clone(), lost: Some(lost) };
        self.spawner.spawn(
            async move {
                match work.await {
                    Ok(answer) => reply.send(answer),
                    Err(_) => reply.lose(PANICKED),
                }
            }
            .boxed(),
        );
    }
}

/// The sender of one answer. A future that is dropped unanswered still answers.
struct Reply<L: FnOnce(StoreError) -> Answer> {
    to: mpsc::Sender<Answer>,
    lost: Option<L>,
}

impl<L: FnOnce(StoreError) -> Answer> Reply<L> {
    fn send(&mut self, answer: Answer) {
        self.lost = None;
        // It fails only when the behaviour is gone, and nobody waits any more.
        self.to.try_send(answer).ok();
    }

    fn lose(&mut self, why: &'static str) {
        if let Some(lost) = self.lost.take() {
            self.to.try_send(lost(StoreError::new(why))).ok();
        }
    }
}

impl<L: FnOnce(StoreError) -> Answer> Drop for Reply<L> {
    fn drop(&mut self) {
        self.lose("the spawner dropped its future");
    }
}

/// Asks the store; the first error, if there was one, goes along.
async fn look_up(
    store: &impl Blockstore,
    cids: Vec<Cid>,
    what: LoadKind,
) -> (Vec<Loaded>, Option<StoreError>) {
    if cids.is_empty() {
        return (Vec::new(), None);
    }
    match what {
        LoadKind::Size => matched(&cids, store.sizes(cids.clone()).await, LoadAnswer::Size),
        LoadKind::Data => matched(&cids, store.get(cids.clone()).await, LoadAnswer::Data),
    }
}

/// Brings answers and CIDs together. What a store left out counts as failed.
fn matched<T>(
    cids: &[Cid],
    found: Vec<Result<Option<T>, StoreError>>,
    answer: impl Fn(T) -> LoadAnswer,
) -> (Vec<Loaded>, Option<StoreError>) {
    let mut error = None;
    let mut found = found.into_iter();
    let loaded = cids.iter().map(|cid| {
        let missing = || Err(StoreError::new("it gave fewer answers than it was asked for"));
        answered(
            *cid,
            match found.next().unwrap_or_else(missing) {
                Ok(Some(value)) => answer(value),
                Ok(None) => LoadAnswer::NotFound,
                Err(failure) => {
                    error.get_or_insert(failure);
                    LoadAnswer::Failed
                }
            },
        )
    });
    (loaded.collect(), error)
}

fn failed(cids: Vec<Cid>) -> Vec<Loaded> {
    cids.into_iter().map(|cid| answered(cid, LoadAnswer::Failed)).collect()
}

const fn answered(cid: Cid, answer: LoadAnswer) -> Loaded {
    Loaded { cid, answer }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bitswap_core::{Config, Engine, Message, Output, Timestamp, Version};
    use futures::future::{BoxFuture, pending};
    use futures::task::noop_waker;

    use super::super::requests::Requests;
    use super::*;
    use crate::MemoryStore;
    use crate::spawner::BlockingTask;

    /// Keeps what it is given to run.
    #[derive(Default)]
    struct Kept(Mutex<Vec<BoxFuture<'static, ()>>>);

    impl Kept {
        fn take(&self) -> Vec<BoxFuture<'static, ()>> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    impl TaskSpawner for Kept {
        fn spawn(&self, future: BoxFuture<'static, ()>) {
            self.0.lock().unwrap().push(future);
        }

        fn spawn_blocking(&self, _task: BlockingTask) {
            unreachable!("nothing is hashed here");
        }
    }

    /// What a store that promises to answer at once does about it.
    #[derive(Clone, Copy)]
    enum Promise {
        Kept,
        Broken,
        Panics,
    }

    struct Prompt(MemoryStore, Promise);

    impl Blockstore for Prompt {
        fn answers_at_once(&self) -> bool {
            true
        }

        fn sizes(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<u32>, StoreError>>> {
            self.0.sizes(cids)
        }

        fn get(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<Bytes>, StoreError>>> {
            match self.1 {
                Promise::Kept => self.0.get(cids),
                Promise::Broken => pending().boxed(),
                Promise::Panics => async { panic!("on purpose") }.boxed(),
            }
        }

        fn put(&self, blocks: Vec<Block>) -> BoxFuture<'_, Result<(), StoreError>> {
            self.0.put(blocks)
        }
    }

    /// A store with one block, and what it was looked up as.
    fn looked_up(promise: Promise) -> (Storage<Prompt>, Arc<Kept>, Block) {
        let block = Block::raw("stored");
        let store = MemoryStore::new();
        store.insert(&block);
        let kept = Arc::<Kept>::default();
        let mut storage = Storage::new(Arc::new(Prompt(store, promise)), kept.clone());
        let (_, find) = Requests::default().begin(*block.cid());
        storage.find(find.unwrap(), *block.cid());
        (storage, kept, block)
    }

    fn poll<S: Blockstore>(storage: &mut Storage<S>) -> Poll<Answer> {
        storage.poll(&mut Context::from_waker(&noop_waker()))
    }

    #[test]
    fn a_store_that_answers_at_once_needs_no_task() {
        let (mut storage, kept, block) = looked_up(Promise::Kept);
        assert_eq!((kept.take().len(), storage.running()), (0, 1));
        let Poll::Ready(Answer::Found { cid, found: Ok(Some(data)), .. }) = poll(&mut storage)
        else {
            panic!("it is there");
        };
        assert_eq!((cid, &data), (*block.cid(), block.data()));
        assert!(poll(&mut storage).is_pending(), "one answer");
        assert_eq!(storage.running(), 0);
    }

    #[test]
    fn a_store_that_does_not_keep_its_promise_goes_on_beside_the_swarm() {
        let (mut storage, kept, _) = looked_up(Promise::Broken);
        assert!(poll(&mut storage).is_pending());
        let task = kept.take();
        assert_eq!((task.len(), storage.running()), (1, 1));
        // Whatever becomes of it, it answers.
        drop(task);
        let Poll::Ready(Answer::Found { found: Err(_), .. }) = poll(&mut storage) else {
            panic!("its task was dropped");
        };
    }

    #[test]
    fn a_store_that_panics_at_once_has_failed() {
        let (mut storage, kept, _) = looked_up(Promise::Panics);
        assert_eq!(kept.take().len(), 0);
        let Poll::Ready(Answer::Found { found: Err(_), .. }) = poll(&mut storage) else {
            panic!("it panicked");
        };
    }

    /// What the engine asks the store when a peer wants a block.
    fn asked(by: PeerId, block: &Block) -> Load<PeerId> {
        let now = Timestamp::ZERO;
        let mut engine = Engine::new(Config::default(), [1; 32], now);
        engine.handle_connected(by, None, now);
        let entry = bitswap_core::Entry::want(*block.cid(), bitswap_core::WantKind::Block, 1, true);
        let wantlist = bitswap_core::Wantlist { entries: vec![entry], full: false };
        engine.handle_message(by, Message { wantlist, ..Message::default() }, now);
        loop {
            match engine.poll_output().expect("it looks for the block") {
                Output::Load(load) => return load,
                Output::Open { peer, stream } => {
                    engine.handle_open(peer, stream, Ok(Version::V1_2), now);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn whoever_decides_about_access_may_take_their_time() {
        let (mut storage, kept, block) = looked_up(Promise::Kept);
        assert!(poll(&mut storage).is_ready());
        let peer = PeerId::random();
        storage.load(asked(peer, &block));
        assert!(matches!(poll(&mut storage), Poll::Ready(Answer::Load { .. })), "nobody decides");
        storage.set_access(Arc::new(|_, _| false));
        storage.load(asked(peer, &block));
        assert!(poll(&mut storage).is_pending());
        for task in kept.take() {
            assert!(task.now_or_never().is_some());
        }
        let Poll::Ready(Answer::Load { loaded, .. }) = poll(&mut storage) else {
            panic!("decided")
        };
        assert_eq!(loaded, [answered(*block.cid(), LoadAnswer::NotFound)]);
    }

    #[test]
    fn what_a_store_that_panics_was_asked_for_has_failed() {
        let (mut storage, kept, block) = looked_up(Promise::Panics);
        assert!(poll(&mut storage).is_ready());
        storage.load(asked(PeerId::random(), &block));
        assert_eq!(kept.take().len(), 0);
        let Poll::Ready(Answer::Load { loaded, error: Some(_), .. }) = poll(&mut storage) else {
            panic!("it panicked");
        };
        assert_eq!(loaded, [answered(*block.cid(), LoadAnswer::Failed)]);
    }
}
