//! The way out of a download: finishing it, or winding it down, and telling its end.

use super::assembly::{Mode, Transfer};
use super::commit::{Finalize, Verdict};
use super::effects::{Done, Effect, FileRole, FsError};
use super::events::{DownloadError, DownloadEvent, DownloadOutput, Finished, Operation, Outcome};
use super::options::SyncPolicy;
use super::phases::Phase;
use super::{Download, Goal, Handles, Pending};
use crate::chunk::range_set::RangeSet;

/// The way to the end.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    outcome: Outcome,
    /// Bytes received are written first.
    pub(super) flush: bool,
    /// What is there is made durable first.
    pub(super) save: bool,
    /// Temporary files to remove.
    remove: &'static [FileRole],
}

impl Download {
    /// Everything is there.
    pub(super) fn moved(&mut self, mode: Mode) {
        match mode {
            Mode::Fetch => self.start_finalize(),
            Mode::Precheck | Mode::Verify => self.target_is_equal(),
        }
    }

    pub(super) fn target_is_equal(&mut self) {
        let size = self.size;
        if self.goal == Goal::Verify {
            let mut different = self.transfer.as_ref().map(Transfer::different).unwrap_or_default();
            let (len, expected) = (self.target_len.unwrap_or(0), self.file_len());
            if len > expected {
                different.push(expected..len);
            }
            self.end(Outcome::Verified { size, different }, false);
        } else {
            let finished = Finished {
                size,
                number: 0,
                retries: 0,
                already: true,
                unchecked: 0,
                leftover: false,
                durable: true,
            };
            self.end(Outcome::Finished(finished), true);
        }
    }

    pub(super) fn start_finalize(&mut self) {
        let unchecked = self.earlier.left();
        self.finalize = Some(Finalize::new(self.file_len(), unchecked, &self.options));
        self.phase = Phase::Finalize;
    }

    /// An earlier run did everything but the rename.
    pub(super) fn start_rename(&mut self) {
        let total = self.file_len();
        self.is_started = true;
        self.tell(DownloadEvent::Started { total, have: total });
        self.finalize = Some(Finalize::only_rename(total, &self.options));
        self.phase = Phase::Finalize;
    }

    pub(super) fn finalize_next(&mut self) {
        let complete = RangeSet::from_iter([self.selection()]);
        let Some(mut finalize) = self.finalize.take() else { return };
        let effect = finalize.effect(self.now, |stamp| self.journal_of(complete, stamp));
        self.finalize = Some(finalize);
        if let Some(effect) = effect {
            let closes = matches!(effect, Effect::Close { .. });
            self.step(effect, if closes { Handles::Close } else { Handles::Same });
        }
    }

    pub(super) fn finalize_done(&mut self, result: Result<Done, FsError>) {
        let error = result.as_ref().err().copied();
        let Some(finalize) = &mut self.finalize else { return };
        match (finalize.done(result, self.now), error) {
            (Verdict::Lost, Some(error)) => self.lost(error),
            (Verdict::Go | Verdict::Lost, _) => {}
            (Verdict::End(outcome), _) => self.end(outcome, false),
        }
    }

    pub(super) fn fail(&mut self, error: DownloadError) {
        self.end(Outcome::Failed(error), false);
    }

    pub(super) fn fail_file(&mut self, operation: Operation, error: FsError) {
        self.fail(DownloadError::File { operation, error });
    }

    /// What is there cannot be claimed. Whoever stopped the download is told, too.
    pub(super) fn fail_to_keep(&mut self, operation: Operation, error: FsError) {
        match &mut self.ending {
            Some(Ending { outcome: outcome @ Outcome::Stopped, .. }) => {
                *outcome = Outcome::Failed(DownloadError::File { operation, error });
            }
            _ => self.fail_file(operation, error),
        }
    }

    /// Begins the end; `remove` takes the temporary files away. Only the first end counts.
    pub(super) fn end(&mut self, outcome: Outcome, remove: bool) {
        if self.ending.is_some() {
            return;
        }
        self.cancel_wants();
        let is_fetching = self.phase == Phase::Move
            && self.transfer.as_ref().is_some_and(|transfer| transfer.mode() == Mode::Fetch);
        let save = is_fetching && !remove && self.options.sync != SyncPolicy::Never;
        let flush = save && outcome == Outcome::Stopped && !self.disk.is_full();
        let remove: &[FileRole] = if remove { &[FileRole::Journal, FileRole::Temp] } else { &[] };
        self.ending = Some(Ending { outcome, flush, save, remove });
        self.phase = Phase::Drain;
    }

    pub(super) fn drain(&mut self) {
        let Some(ending) = &mut self.ending else { return };
        if core::mem::take(&mut ending.flush) {
            self.flush();
        }
        let Some(ending) = &mut self.ending else { return };
        if self.pending.is_empty() && core::mem::take(&mut ending.save) {
            self.save();
        }
        if self.pending.is_empty() {
            self.phase = Phase::Closing;
        }
    }

    pub(super) fn close_next(&mut self) {
        let Some(ending) = &mut self.ending else { return };
        if let Some(role) = self.open {
            self.step(Effect::Close { role }, Handles::Close);
        } else if self.is_locked {
            // Without the lock the temporary files are another process's.
            if let Some((role, rest)) = ending.remove.split_first() {
                ending.remove = rest;
                self.phase = Phase::Removing;
                self.step(Effect::Remove { role: *role }, Handles::Same);
            } else {
                self.step(Effect::Unlock, Handles::Unlock);
            }
        } else {
            let outcome = ending.outcome.clone();
            if matches!(outcome, Outcome::Finished(_) | Outcome::Verified { .. }) {
                let news = self.meter.finish(self.file_len());
                self.outputs.extend(news.map(DownloadOutput::Event));
            }
            self.tell(DownloadEvent::Ended(outcome));
            self.transfer = None;
            self.phase = Phase::Over;
        }
    }

    /// A temporary file is gone, or cannot be removed.
    pub(super) fn removed(&mut self, result: Result<Done, FsError>) {
        self.phase = Phase::Closing;
        let (Err(error), Some(ending)) = (result, &mut self.ending) else { return };
        match &mut ending.outcome {
            Outcome::Finished(finished) => finished.leftover = true,
            outcome => {
                let operation = Operation::Remove;
                *outcome = Outcome::Failed(DownloadError::File { operation, error });
            }
        }
    }

    /// Writes everything that was received.
    fn flush(&mut self) {
        while let Some(extent) = self.transfer.as_mut().and_then(Transfer::next_write) {
            self.issue_write(extent);
        }
    }

    /// Makes what is there durable, and claims it.
    fn save(&mut self) {
        let claims = self.claims();
        if claims != self.durable {
            self.issue(Effect::Sync, Pending::Sync(claims));
        }
    }
}
