//! File operations that fail, wait and are remembered, as a test decides.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bitswap_core::chunk::{Done, Effect, FsError};
use futures::future::BoxFuture;

use super::Fs;

/// What is to become of one operation.
pub enum Fault {
    /// It is performed.
    None,
    /// It fails and is not performed.
    Fail(FsError),
    /// It is performed once this future has ended.
    Wait(BoxFuture<'static, ()>),
    /// It is performed, and answered once this future has ended, which runs after that.
    Hold(BoxFuture<'static, ()>),
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Fail(error) => f.debug_tuple("Fail").field(error).finish(),
            Self::Wait(_) => f.write_str("Wait"),
            Self::Hold(_) => f.write_str("Hold"),
        }
    }
}

/// Decides about each operation, in the order in which they are asked for.
type Decide = Box<dyn FnMut(&Effect) -> Fault + Send>;

/// Other file operations, and what a test makes of them.
pub struct FaultyFs {
    inner: Arc<dyn Fs>,
    decide: Mutex<Decide>,
    log: Mutex<Vec<Effect>>,
}

impl FaultyFs {
    /// `decide` is asked about each operation before `inner` performs it.
    pub fn new(
        inner: Arc<dyn Fs>,
        decide: impl FnMut(&Effect) -> Fault + Send + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { inner, decide: Mutex::new(Box::new(decide)), log: Mutex::default() })
    }

    /// Everything that was asked for so far.
    #[must_use]
    pub fn log(&self) -> Vec<Effect> {
        locked(&self.log).clone()
    }
}

impl fmt::Debug for FaultyFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyFs").field("log", &self.log).finish_non_exhaustive()
    }
}

impl Fs for FaultyFs {
    fn perform(&self, effect: Effect) -> BoxFuture<'static, Result<Done, FsError>> {
        locked(&self.log).push(effect.clone());
        let fault = (locked(&self.decide))(&effect);
        match fault {
            Fault::None => self.inner.perform(effect),
            Fault::Fail(error) => Box::pin(async move { Err(error) }),
            Fault::Wait(until) => {
                let inner = self.inner.clone();
                Box::pin(async move {
                    until.await;
                    inner.perform(effect).await
                })
            }
            Fault::Hold(until) => {
                let performed = self.inner.perform(effect);
                Box::pin(async move {
                    let result = performed.await;
                    until.await;
                    result
                })
            }
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
