//! A runtime that a test can intervene in: before each blocking job, and by its own discovery.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use libp2p::PeerId;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;

use crate::discovery::Discovery;
use crate::runtime::{ByteStream, Runtime};

type Hook = Box<dyn FnMut() + Send>;

/// Another runtime; each of its blocking jobs begins with what the test wants, it may never sleep, and the test may be
/// its discovery.
#[derive(Clone)]
pub(super) struct Hooked {
    inner: Arc<dyn Runtime>,
    hook: Arc<Mutex<Option<Hook>>>,
    is_sleepless: Arc<AtomicBool>,
    discovery: Arc<Mutex<Option<Box<dyn Discovery>>>>,
}

fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    // A job that panicked has changed nothing halfway.
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hooked {
    pub(super) fn new(inner: Arc<dyn Runtime>) -> Self {
        Self {
            inner,
            hook: Arc::default(),
            is_sleepless: Arc::default(),
            discovery: Arc::default(),
        }
    }

    /// From now on `hook` runs before each job, on the job's thread.
    pub(super) fn before_each(&self, hook: impl FnMut() + Send + 'static) {
        *locked(&self.hook) = Some(Box::new(hook));
    }

    /// From now on no sleep takes any time. No node runs on that.
    pub(super) fn never_sleep(&self) {
        self.is_sleepless.store(true, Ordering::Relaxed);
    }

    /// The next node finds peers by this.
    pub(super) fn discover_by(&self, discovery: impl Discovery + 'static) {
        *locked(&self.discovery) = Some(Box::new(discovery));
    }
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooked").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl Runtime for Hooked {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.inner.spawn(task);
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        let hook = self.hook.clone();
        self.inner.spawn_blocking(Box::new(move || {
            if let Some(hook) = &mut *locked(&hook) {
                hook();
            }
            work();
        }));
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        if self.is_sleepless.load(Ordering::Relaxed) {
            return Box::pin(std::future::ready(()));
        }
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
        match locked(&self.discovery).take() {
            Some(discovery) => Ok(Some(discovery)),
            None => self.inner.discovery(local),
        }
    }
}
