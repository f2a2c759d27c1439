//! Where work goes that must not run in the swarm's task.

use futures::future::BoxFuture;

/// A piece of computation: hashing, a few milliseconds at most.
pub type BlockingTask = Box<dyn FnOnce() + Send + 'static>;

/// Runs futures and computations for a [`Behaviour`](crate::Behaviour).
///
/// With tokio, `spawn` is `tokio::spawn` and `compute` is `tokio::task::spawn_blocking`.
pub trait TaskSpawner: Send + Sync + 'static {
    /// Runs a future to its end beside the swarm: a lookup in the store, or storing blocks.
    fn spawn(&self, future: BoxFuture<'static, ()>);

    /// Runs a computation on a thread that may be busy for a while. A job that is dropped costs
    /// the message it belongs to; its blocks are asked for again.
    fn spawn_blocking(&self, job: BlockingTask);
}
