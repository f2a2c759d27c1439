//! What runs a fetch: the download of a file, or that of a tree. Both are driven alike.

use bitswap_core::chunk::{
    BlockWant, Done, Download, DownloadEvent, DownloadOutput, Effect, EffectId, FsError, Holders,
    Missing, Outcome, StallReason, TreeDownload, TreeEffect, TreeEvent, TreeOutcome, TreeOutput,
};
use bitswap_core::{Block, Timestamp};
use cid::Cid;

/// One thing that a download says.
pub(crate) enum Output<E, V> {
    Want(BlockWant),
    Cancel(Cid),
    Effect(EffectId, E),
    Event(V),
}

/// A download.
pub(crate) trait Machine: Send + 'static {
    type Effect: Send + 'static;
    type Event: Send + 'static;
    type Outcome: Clone + Send + 'static;

    fn poll_output(&mut self) -> Option<Output<Self::Effect, Self::Event>>;
    fn poll_timeout(&self) -> Option<Timestamp>;
    fn handle_timeout(&mut self, now: Timestamp);
    fn handle_done(&mut self, id: EffectId, result: Result<Done, FsError>, now: Timestamp);
    fn handle_block(&mut self, block: &Block, now: Timestamp) -> bool;
    fn handle_want_failed(&mut self, cid: &Cid, missing: Missing, now: Timestamp);
    fn handle_network(&mut self, reason: StallReason);
    fn set_holders(&mut self, holders: Holders);
    fn pause(&mut self, now: Timestamp);
    fn resume(&mut self, now: Timestamp);
    fn stop(&mut self, now: Timestamp);
    fn cancel(&mut self, now: Timestamp);
    /// How it has ended, if that is what an event says.
    fn outcome(event: &Self::Event) -> Option<&Self::Outcome>;
}

/// Both have the same methods, and outputs of the same shape.
macro_rules! machine {
    ($machine:ty, $output:ident, $effect:ty, $event:ident, $outcome:ty) => {
        impl Machine for $machine {
            type Effect = $effect;
            type Event = $event;
            type Outcome = $outcome;

            fn poll_output(&mut self) -> Option<Output<Self::Effect, Self::Event>> {
                Some(match self.poll_output()? {
                    $output::Want(want) => Output::Want(want),
                    $output::Cancel(cid) => Output::Cancel(cid),
                    $output::Effect(id, effect) => Output::Effect(id, effect),
                    $output::Event(event) => Output::Event(event),
                })
            }

            fn poll_timeout(&self) -> Option<Timestamp> {
                self.poll_timeout()
            }

            fn handle_timeout(&mut self, now: Timestamp) {
                self.handle_timeout(now);
            }

            fn handle_done(&mut self, id: EffectId, result: Result<Done, FsError>, now: Timestamp) {
                self.handle_done(id, result, now);
            }

            fn handle_block(&mut self, block: &Block, now: Timestamp) -> bool {
                self.handle_block(block, now)
            }

            fn handle_want_failed(&mut self, cid: &Cid, missing: Missing, now: Timestamp) {
                self.handle_want_failed(cid, missing, now);
            }

            fn handle_network(&mut self, reason: StallReason) {
                self.handle_network(reason);
            }

            fn set_holders(&mut self, holders: Holders) {
                self.set_holders(holders);
            }

            fn pause(&mut self, now: Timestamp) {
                self.pause(now);
            }

            fn resume(&mut self, now: Timestamp) {
                self.resume(now);
            }

            fn stop(&mut self, now: Timestamp) {
                self.stop(now);
            }

            fn cancel(&mut self, now: Timestamp) {
                self.cancel(now);
            }

            fn outcome(event: &Self::Event) -> Option<&Self::Outcome> {
                match event {
                    $event::Ended(outcome) => Some(outcome),
                    _ => None,
                }
            }
        }
    };
}

machine!(Download, DownloadOutput, Effect, DownloadEvent, Outcome);
machine!(TreeDownload, TreeOutput, TreeEffect, TreeEvent, TreeOutcome);
