//! A runtime that counts its tasks.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use libp2p::PeerId;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;

use crate::discovery::Discovery;
use crate::runtime::{ByteStream, Runtime};

/// Another runtime, and how many of its tasks have not ended.
#[derive(Clone, Debug)]
pub(super) struct Counted {
    inner: Arc<dyn Runtime>,
    tasks: Arc<AtomicUsize>,
}

impl Counted {
    pub(super) fn new(inner: Arc<dyn Runtime>) -> Self {
        Self { inner, tasks: Arc::default() }
    }

    pub(super) fn tasks(&self) -> usize {
        self.tasks.load(Ordering::Relaxed)
    }
}

/// Counts one task, until it is dropped.
struct Task(Arc<AtomicUsize>);

impl Task {
    fn new(tasks: &Arc<AtomicUsize>) -> Self {
        tasks.fetch_add(1, Ordering::Relaxed);
        Self(tasks.clone())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Runtime for Counted {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let counted = Task::new(&self.tasks);
        self.inner.spawn(Box::pin(async move {
            task.await;
            drop(counted);
        }));
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        let counted = Task::new(&self.tasks);
        self.inner.spawn_blocking(Box::new(move || {
            work();
            drop(counted);
        }));
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.inner.sleep(duration)
    }

    fn tcp(&self) -> Boxed<ByteStream> {
        self.inner.tcp()
    }

    fn with_names(
        &self,
        transport: Boxed<(PeerId, StreamMuxerBox)>,
    ) -> io::Result<Boxed<(PeerId, StreamMuxerBox)>> {
        self.inner.with_names(transport)
    }

    fn discovery(&self, local: PeerId) -> io::Result<Option<Box<dyn Discovery>>> {
        self.inner.discovery(local)
    }
}
