//! A runtime whose blocking jobs a test comes before.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use libp2p::PeerId;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;

use crate::runtime::{ByteStream, Discovered, MdnsEvent, Runtime};

type Hook = Box<dyn FnMut() + Send>;

/// Another runtime; each of its blocking jobs begins with what the test wants.
#[derive(Clone)]
pub(super) struct Hooked<R> {
    inner: R,
    hook: Arc<Mutex<Option<Hook>>>,
}

impl<R> Hooked<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, hook: Arc::default() }
    }

    /// From now on `hook` runs before each job, on the job's thread.
    pub(super) fn before_each(&self, hook: impl FnMut() + Send + 'static) {
        *self.hook.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(hook));
    }
}

impl<R: Runtime> Runtime for Hooked<R> {
    const NAME: &'static str = R::NAME;

    type Mdns = R::Mdns;

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.inner.spawn(task);
    }

    fn blocking(&self, job: Box<dyn FnOnce() + Send>) {
        let hook = self.hook.clone();
        self.inner.blocking(Box::new(move || {
            if let Some(hook) = &mut *hook.lock().unwrap_or_else(PoisonError::into_inner) {
                hook();
            }
            job();
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

    fn mdns(&self, local: PeerId) -> io::Result<Option<Self::Mdns>> {
        self.inner.mdns(local)
    }

    fn discovered(event: MdnsEvent<Self>) -> Discovered {
        R::discovered(event)
    }
}
