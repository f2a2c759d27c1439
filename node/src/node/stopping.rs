//! The orderly stop of a node.

use std::task::Context;
use std::time::Duration;

use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::future::BoxFuture;

use crate::runtime::Runtime;

/// The longest that a node which is to stop waits for what is on its way.
const MAX: Duration = Duration::from_secs(1);

/// Whether a node is to stop, by when, and all who wait for it: they are told when it is dropped.
#[derive(Default)]
pub(super) struct Stopping(Option<(BoxFuture<'static, ()>, Vec<oneshot::Sender<()>>)>);

impl Stopping {
    /// The node is to stop, if it is not already.
    pub(super) fn begin(&mut self, runtime: &dyn Runtime, waiting: oneshot::Sender<()>) {
        let (_, all) = self.0.get_or_insert_with(|| (runtime.sleep(MAX), Vec::new()));
        all.push(waiting);
    }

    /// The node is to stop.
    pub(super) const fn has_begun(&self) -> bool {
        self.0.is_some()
    }

    /// What is on its way is not waited for any longer.
    pub(super) fn is_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        self.0.as_mut().is_some_and(|(latest, _)| latest.poll_unpin(cx).is_ready())
    }
}
