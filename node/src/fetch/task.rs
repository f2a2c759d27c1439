//! The task of a fetch: runs a download, which says what to do, and tells it what came of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bitswap_core::chunk::{
    BlockWant, Done, Download, DownloadError, EffectId, FileNode, FileRole, FsError, Holders,
    Missing, Order, Outcome, RAW, StallReason,
};
use bitswap_core::{Block, SessionId, SessionOptions, Timestamp, Want};
use bitswap_libp2p::BlockDisposition;
use cid::Cid;
use futures::channel::mpsc;
use futures::future::{BoxFuture, Either, FutureExt as _};
use futures::stream::{FuturesUnordered, StreamExt as _};
use libp2p::PeerId;

use super::machine::{Machine, Output};
use super::{Control, FetchOptions, Fetched, at_path, failure};
use crate::error::{FetchError, GetError};
use crate::error_chain::ErrorChain;
use crate::fs::{Fs, Paths};
use crate::node::Node;
use crate::node::routes;
use crate::session::{EndedWant, Session, SessionWaiter};
use crate::share;
use crate::trace::log;

/// Looks at the network, half a second apart, between two questions who has what.
const HOLDERS_EVERY: u32 = 4;

/// The ends of the channels that lead to whoever watches.
pub(crate) struct Ends<E> {
    pub(crate) controls: mpsc::Receiver<Control>,
    pub(crate) events: mpsc::Sender<E>,
}

/// Performs the effects of a download.
pub(crate) type Perform<E> = Box<dyn Fn(E) -> BoxFuture<'static, Result<Done, FsError>> + Send>;

/// Is shown what happens.
pub(crate) type Watch<V> = Box<dyn FnMut(&V) + Send>;

/// What a download left when it ended.
pub(crate) struct Ended<O> {
    pub(crate) outcome: O,
    pub(crate) from_peers: BTreeMap<PeerId, u64>,
    pub(crate) from_here: u64,
    /// Why a block was not got.
    pub(crate) failed: Option<GetError>,
}

/// Something that was started and has ended.
enum Job {
    Effect(EffectId, Result<Done, FsError>),
    /// The session has the rate that it was given.
    RateSet,
    /// Why nothing may come, and who may have what, as far as that is asked.
    Network(Option<StallReason>, Option<Holders>),
    /// Nothing more to do about it.
    Nothing,
}

struct Task<M: Machine> {
    node: Node,
    session: Session,
    waiter: SessionWaiter,
    perform: Perform<M::Effect>,
    /// Whether what is above leaves is kept, to be served.
    keeps_nodes: bool,
    download: M,
    given: Option<Block>,
    start: Instant,
    jobs: FuturesUnordered<BoxFuture<'static, Job>>,
    /// The rate that the session is to be given next, and whether it is being given one: two must not change places.
    next_rate: Option<Option<u64>>,
    is_setting_rate: bool,
    events: mpsc::Sender<M::Event>,
    /// Is shown every event, also those that whoever watches misses.
    watch: Watch<M::Event>,
    from_peers: BTreeMap<PeerId, u64>,
    from_here: u64,
    /// Why a block was not got: more than the download keeps.
    failed: Option<GetError>,
    outcome: Option<M::Outcome>,
    /// Whether the order goes by who has what.
    is_rarest: bool,
    /// Looks at the network so far, and whether one is on its way.
    looks: u32,
    is_looking: bool,
}

/// Fetches a file.
pub(super) async fn run(
    node: Node,
    root: Cid,
    paths: Paths,
    fs: Arc<dyn Fs>,
    options: FetchOptions,
    ends: Ends<<Download as Machine>::Event>,
) -> Result<Fetched, FetchError> {
    let FetchOptions { download, session, share, sparse: _ } = options;
    let window = download.window;
    let whole = download.wanted == (0..u64::MAX);
    let is_rarest = download.order == Order::Rarest;
    let download = Download::new(root, download, Timestamp::ZERO);
    let driven = Driven {
        root,
        download,
        given: None,
        window,
        is_rarest,
        session,
        keeps_nodes: share && whole,
        perform: Box::new(move |effect| fs.perform(effect)),
        watch: Box::new(|_| ()),
    };
    let ended = drive(node.clone(), driven, ends).await?;
    let Outcome::Finished(finished) = ended.outcome else {
        return Err(match (ended.failed, failure(&ended.outcome)) {
            (Some(why), FetchError::Download(DownloadError::Unavailable { .. })) => why.into(),
            (_, failure) => at_path(failure, &paths),
        });
    };
    let path = paths.path(FileRole::Target(finished.number));
    if share && whole {
        share::fetched(&node, root, finished.size, &path).await?;
    }
    Ok(Fetched { path, finished, from_peers: ended.from_peers, from_here: ended.from_here })
}

/// A download and what it needs to run.
pub(crate) struct Driven<M: Machine> {
    /// What is got.
    pub(crate) root: Cid,
    pub(crate) download: M,
    /// A block that is known already.
    pub(crate) given: Option<Block>,
    pub(crate) window: u64,
    /// Whether the order goes by who has what.
    pub(crate) is_rarest: bool,
    pub(crate) session: SessionOptions<PeerId>,
    pub(crate) keeps_nodes: bool,
    pub(crate) perform: Perform<M::Effect>,
    pub(crate) watch: Watch<M::Event>,
}

/// Runs a download to its end.
pub(crate) async fn drive<M: Machine>(
    node: Node,
    driven: Driven<M>,
    ends: Ends<M::Event>,
) -> Result<Ended<M::Outcome>, FetchError> {
    let Driven {
        root,
        mut download,
        given,
        window,
        is_rarest,
        session,
        keeps_nodes,
        perform,
        watch,
    } = driven;
    if is_rarest {
        download.set_holders(node.call(|driver| driver.holders()).await?);
    }
    // The download's window is the narrower one: it counts until the bytes are written.
    let window_bytes = window.saturating_mul(2).max(session.window_bytes);
    let session = node
        .session_keeping(
            SessionOptions { window_bytes, ..session },
            BlockDisposition::Return,
            Some(root),
        )
        .await?;
    let mut task = Task {
        waiter: session.waiter(),
        session,
        perform,
        keeps_nodes,
        download,
        given,
        start: Instant::now(),
        jobs: FuturesUnordered::new(),
        next_rate: None,
        is_setting_rate: false,
        events: ends.events,
        watch,
        from_peers: BTreeMap::new(),
        from_here: 0,
        failed: None,
        outcome: None,
        is_rarest,
        looks: 0,
        is_looking: false,
        node,
    };
    let outcome = task.run(ends.controls).await?;
    let Task { from_peers, from_here, failed, .. } = task;
    Ok(Ended { outcome, from_peers, from_here, failed })
}

impl<M: Machine> Task<M> {
    async fn run(
        &mut self,
        mut controls: mpsc::Receiver<Control>,
    ) -> Result<M::Outcome, FetchError> {
        let mut controlled = true;
        let mut timer: Option<(Timestamp, BoxFuture<'static, ()>)> = None;
        loop {
            self.drain();
            if let Some(outcome) = &self.outcome
                && self.jobs.is_empty()
            {
                return Ok(outcome.clone());
            }
            let due = self.download.poll_timeout();
            if timer.as_ref().map(|(at, _)| *at) != due {
                timer = due.map(|at| (at, self.node.runtime().sleep(at.since(self.now()))));
            }
            let sleep = match &mut timer {
                Some((_, sleep)) => Either::Left(sleep),
                None => Either::Right(futures::future::pending()),
            };
            let control = if controlled {
                Either::Left(controls.next())
            } else {
                Either::Right(futures::future::pending())
            };
            futures::select! {
                job = self.jobs.select_next_some() => self.ended(job),
                ended = self.waiter.next().fuse() => self.delivered(ended),
                control = control.fuse() => {
                    controlled = control.is_some();
                    self.control(control);
                }
                () = sleep.fuse() => {
                    timer = None;
                    let now = self.now();
                    self.download.handle_timeout(now);
                    self.look_at_network();
                }
            }
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.start.elapsed()
    }

    /// Starts all that the download says.
    fn drain(&mut self) {
        let (mut wants, mut cancels) = (Vec::new(), Vec::new());
        while let Some(output) = self.download.poll_output() {
            match output {
                Output::Want(want) => match self.given.take_if(|block| *block.cid() == want.cid) {
                    Some(block) => _ = self.download.handle_block(&block, self.now()),
                    None => wants.push(want),
                },
                Output::Cancel(cid) => {
                    wants.retain(|want: &BlockWant| want.cid != cid);
                    cancels.push(cid);
                }
                Output::Effect(id, effect) => {
                    let performed = (self.perform)(effect);
                    self.jobs.push(performed.map(move |result| Job::Effect(id, result)).boxed());
                }
                Output::Event(event) => self.event(event),
            }
        }
        if !cancels.is_empty() {
            // A node that has stopped wants nothing.
            let unwanted = self.waiter.unwant(cancels).map(|_| Job::Nothing);
            self.jobs.push(unwanted.boxed());
        }
        if !wants.is_empty() {
            let wants = wants.into_iter().map(|want| Want {
                cid: want.cid,
                priority: i32::from(want.urgent),
                size: u32::try_from(want.estimate).ok(),
            });
            self.want(wants.collect());
        }
    }

    /// Wants blocks of the local store, and of peers what is not there.
    fn want(&self, wants: Vec<Want>) {
        self.jobs.push(self.waiter.look_and_want(wants).map(|()| Job::Nothing).boxed());
    }

    /// Gives the session the next rate.
    fn set_rate(&mut self) {
        if self.is_setting_rate {
            return;
        }
        let Some(download) = self.next_rate.take() else { return };
        self.is_setting_rate = true;
        let (node, session) = (self.node.clone(), self.session.id());
        self.jobs.push(Box::pin(async move {
            let set = node.call(move |driver| driver.bitswap().set_session_rate(session, download));
            // A node that has stopped asks for nothing.
            let _ = set.await;
            Job::RateSet
        }));
    }

    fn event(&mut self, event: M::Event) {
        if let Some(outcome) = M::outcome(&event) {
            self.outcome = Some(outcome.clone());
        }
        (self.watch)(&event);
        // Whoever does not keep up misses some.
        let _ = self.events.try_send(event);
    }

    fn ended(&mut self, job: Job) {
        let now = self.now();
        match job {
            Job::Effect(id, result) => self.download.handle_done(id, result, now),
            Job::RateSet => {
                self.is_setting_rate = false;
                self.set_rate();
            }
            Job::Network(reason, holders) => {
                self.is_looking = false;
                if let Some(reason) = reason {
                    self.download.handle_network(reason);
                }
                if let Some(holders) = holders {
                    self.download.set_holders(holders);
                }
            }
            Job::Nothing => {}
        }
    }

    /// Asks the node why nothing may come, and now and then who has what.
    fn look_at_network(&mut self) {
        if self.is_looking || self.waiter.len() == 0 {
            return;
        }
        (self.is_looking, self.looks) = (true, self.looks.wrapping_add(1));
        let asks_holders = self.is_rarest && self.looks.is_multiple_of(HOLDERS_EVERY);
        let (blocks, oldest) = self.waiting();
        let node = self.node.clone();
        self.jobs.push(Box::pin(async move {
            let look = node.call(move |driver| {
                let reason = driver.stall_report(blocks, oldest).reason;
                (reason, asks_holders.then(|| driver.holders()))
            });
            // A node that has stopped says so otherwise.
            let (reason, holders) = look.await.unwrap_or_default();
            Job::Network(reason, holders)
        }));
    }

    /// How many blocks are waited for, and the oldest of them.
    fn waiting(&self) -> (usize, Vec<(SessionId, Cid)>) {
        let session = self.session.id();
        let oldest = self.waiter.oldest(3).into_iter().map(|cid| (session, cid));
        (self.waiter.len(), oldest.collect())
    }

    fn delivered(&mut self, ended: EndedWant) {
        let now = self.now();
        let EndedWant { cid, outcome, .. } = ended;
        match outcome {
            routes::Outcome::Block(held) => {
                let block = held.block;
                if !self.download.handle_block(&block, now) {
                    return;
                }
                if let Some(peer) = held.from {
                    *self.from_peers.entry(peer).or_default() += block.data().len() as u64;
                }
                if self.keeps_nodes && !is_leaf(&block) {
                    self.jobs.push(keep(self.node.clone(), block).boxed());
                }
            }
            routes::Outcome::Here(block) => {
                if self.download.handle_block(&block, now) {
                    self.from_here += block.data().len() as u64;
                }
            }
            // It may be gone again by now.
            routes::Outcome::Stored => self.want(vec![Want::from(cid)]),
            routes::Outcome::Failed(error) => {
                self.failed = Some(error);
                self.download.handle_want_failed(&cid, Missing::NotFound, now);
            }
        }
    }

    fn control(&mut self, control: Option<Control>) {
        let now = self.now();
        match control {
            Some(Control::Pause) => self.download.pause(now),
            Some(Control::Resume) => self.download.resume(now),
            Some(Control::Cancel) => self.download.cancel(now),
            Some(Control::Stop) => self.download.stop(now),
            Some(Control::Rate(download)) => {
                self.next_rate = Some(download);
                self.set_rate();
            }
            Some(Control::Diagnose(reply)) => {
                let (blocks, oldest) = self.waiting();
                let node = self.node.clone();
                self.jobs.push(Box::pin(async move {
                    let waiting =
                        node.call(move |driver| driver.stall_report(blocks, oldest)).await;
                    // Whoever asked may have gone.
                    let _ = reply.send(waiting.unwrap_or_default());
                    Job::Nothing
                }));
            }
            // Nobody holds the fetch any more.
            None => self.download.stop(now),
        }
    }
}

/// A leaf goes to the file and is served from there; the nodes above it go to the store.
fn is_leaf(block: &Block) -> bool {
    let codec = block.cid().codec();
    codec == RAW
        || FileNode::decode(codec, block.data(), usize::MAX).is_ok_and(|node| node.is_leaf())
}

async fn keep(node: Node, block: Block) -> Job {
    // The file is fetched all the same when it cannot be served.
    if let Err(error) = node.put_blocks(vec![block]).await {
        log!(warn, "a node of a file was not kept", error = ErrorChain(&error));
    }
    Job::Nothing
}
