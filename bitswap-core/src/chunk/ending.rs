//! The way out of a download: finishing it, or winding it down, and telling its end.

use super::download::{Download, Goal, Handles, Pending};
use super::effects::{Done, Effect, FsError, Place};
use super::events::{DownloadError, DownloadEvent, DownloadOutput, Finished, Operation, Outcome};
use super::finalize::{Finalize, Verdict};
use super::options::SyncPolicy;
use super::phases::Phase;
use super::transfer::{Mode, Transfer};
use super::{Journal, Runs};

/// The way to the end.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    outcome: Outcome,
    /// Bytes received are written first.
    pub(super) flush: bool,
    /// What is there is made durable first.
    pub(super) save: bool,
    /// Temporary files to remove.
    remove: &'static [Place],
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
            let (number, retries, already, durable) = (0, 0, true, true);
            let finished = Finished { size, number, retries, already, durable };
            self.end(Outcome::Finished(finished), true);
        }
    }

    pub(super) fn start_finalize(&mut self) {
        if !core::mem::replace(&mut self.is_started, true) {
            let total = self.file_len();
            self.tell(DownloadEvent::Started { total, have: total });
        }
        let options = &self.options;
        let (exists, retry) = (options.if_exists, options.rename);
        self.finalize = Some(Finalize::new(self.file_len(), options.sync, exists, retry));
        self.phase = Phase::Finalize;
    }

    pub(super) fn finalize_next(&mut self) {
        let journal = Journal {
            root: self.root,
            wanted: self.options.wanted.clone(),
            size: self.size,
            have: Runs::from_iter([self.selection()]),
        };
        let Some(finalize) = &mut self.finalize else { return };
        if let Some(effect) = finalize.effect(self.now, || journal.encode()) {
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
        let remove: &[Place] = if remove { &[Place::Journal, Place::Temp] } else { &[] };
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
        if let Some(place) = self.open {
            self.step(Effect::Close { place }, Handles::Close);
        } else if self.is_locked {
            // Without the lock the temporary files are another process's.
            if let Some((place, rest)) = ending.remove.split_first() {
                ending.remove = rest;
                self.step(Effect::Remove { place: *place }, Handles::Same);
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

    /// Writes everything that was received.
    fn flush(&mut self) {
        while let Some(extent) = self.transfer.as_mut().and_then(Transfer::next_write) {
            self.issue_write(extent);
        }
    }

    /// Makes what is there durable, and claims it.
    fn save(&mut self) {
        let Some(transfer) = &self.transfer else { return };
        let have = transfer.map().have();
        if *have != self.durable {
            let claims = have.clone();
            self.issue(Effect::Sync, Pending::Sync(claims));
        }
    }
}
