//! A bar for people, lines for programs.

use std::time::Duration;

use bitswap_core::chunk::Progress;
use bitswap_runtime::Waiting;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::say::Say;

const STYLE: &str = "{bar:30} {bytes:>10} of {total_bytes} {binary_bytes_per_sec:>12} {msg}";

/// Shows how far a fetch is.
pub(crate) struct Shown<'a> {
    say: &'a Say,
    bar: Option<ProgressBar>,
}

impl<'a> Shown<'a> {
    pub(crate) fn new(say: &'a Say) -> Self {
        Self { say, bar: None }
    }

    pub(crate) fn started(&mut self, total: u64, have: u64) {
        self.say.event(&json!({"event": "started", "total": total, "have": have}));
        if self.say.is_watched() {
            let bar = ProgressBar::new(total);
            if let Ok(style) = ProgressStyle::with_template(STYLE) {
                bar.set_style(style);
            }
            bar.set_position(have);
            bar.reset_eta();
            self.bar = Some(bar);
        }
    }

    pub(crate) fn progress(&self, progress: &Progress) {
        let Progress { done, total, rate, eta } = *progress;
        let left = eta.map(|eta| eta.as_secs());
        self.say.event(&json!({
            "event": "progress", "done": done, "total": total, "rate": rate, "seconds_left": left,
        }));
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(left.map(time_left).unwrap_or_default());
        }
    }

    /// It waits: for what, and what was said.
    pub(crate) fn waiting(&self, waiting: &Waiting) {
        match &self.bar {
            Some(bar) => bar.println(format!("waiting: {waiting}")),
            None => self.say.waiting(waiting),
        }
    }

    pub(crate) fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => self.say.note(text),
        }
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn time_left(seconds: u64) -> String {
    format!("{} left", indicatif::HumanDuration(Duration::from_secs(seconds)))
}
