//! Where work goes that must not run in the swarm's task.

use futures::future::BoxFuture;

/// A piece of computation: hashing, a few milliseconds at most.
pub type BlockingTask = Box<dyn FnOnce() + Send + 'static>;

/// Runs futures and computations for a [`Behaviour`](crate::Behaviour).
///
/// The feature `tokio` has one that is ready: `TokioSpawner`.
pub trait TaskSpawner: Send + Sync + 'static {
    /// Runs a future to its end beside the swarm: a lookup in the store, or storing blocks.
    fn spawn(&self, future: BoxFuture<'static, ()>);

    /// Runs a computation on a thread that may be busy for a while. A task that is dropped costs
    /// the message it belongs to; its blocks are asked for again.
    fn spawn_blocking(&self, task: BlockingTask);
}

/// Runs everything on tokio: what is spawned goes to the runtime that polls the swarm.
#[cfg(feature = "tokio")]
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioSpawner;

#[cfg(feature = "tokio")]
impl TaskSpawner for TokioSpawner {
    fn spawn(&self, future: BoxFuture<'static, ()>) {
        tokio::spawn(future);
    }

    fn spawn_blocking(&self, task: BlockingTask) {
        tokio::task::spawn_blocking(task);
    }
}
