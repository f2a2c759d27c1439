//! How far something is: a line that is drawn over for people who watch, a line now and then for
//! those who read it later, events for programs.

mod line;
mod screen;

use std::time::{Duration, Instant};

use bitswap_core::chunk::{Progress, TreeProgress};
use bitswap_node::{Hashed, StallReport};
use serde_json::{Value, json};

use crate::say::Say;
use screen::Screen;

/// How often a line is drawn over at most.
const REDRAWN: Duration = Duration::from_millis(100);

/// How often a line is written where none can be drawn over.
const WRITTEN: Duration = Duration::from_secs(10);

/// How often there is an event for programs, of what happens all the time.
const OBJECTS: Duration = Duration::from_secs(1);

/// Shows how far something is.
pub(crate) struct Shown<'a> {
    say: &'a Say,
    line: Line,
    next: Instant,
}

enum Line {
    /// For somebody who watches.
    Drawn(Screen<console::Term>),
    /// For a log.
    Written,
    /// Programs get events instead.
    None,
}

impl<'a> Shown<'a> {
    pub(crate) fn new(say: &'a Say) -> Self {
        let (line, first) = if say.is_watched() {
            (Line::Drawn(Screen::new(console::Term::stderr())), Duration::ZERO)
        } else if say.is_text() {
            (Line::Written, WRITTEN)
        } else {
            (Line::None, Duration::ZERO)
        };
        Self { say, line, next: Instant::now() + first }
    }

    /// A fetch has begun.
    pub(crate) fn started(&mut self, total: u64, have: u64) {
        self.say.event(&json!({"event": "started", "total": total, "have": have}));
        if self.is_due() {
            let progress = Progress { done: have, total, ..Progress::default() };
            self.show(|width| line::bar("", &progress, width));
        }
    }

    /// A fetch goes on.
    pub(crate) fn progress(&mut self, progress: &Progress) {
        let Progress { done, total, rate, eta } = *progress;
        let left = eta.map(|eta| eta.as_secs());
        self.say.event(&json!({
            "event": "progress", "done": done, "total": total, "rate": rate, "seconds_left": left,
        }));
        if self.is_due() {
            self.show(|width| line::bar("", progress, width));
        }
    }

    /// The fetch of a folder goes on. How much there is in all is known once all of it is found.
    pub(crate) fn tree(&mut self, progress: &TreeProgress) {
        let TreeProgress { done, found, files, entries, is_all, rate } = *progress;
        self.say.event(&json!({
            "event": "progress", "done": done, "total": found, "is_all_found": is_all, "rate": rate,
            "files": files, "entries": entries,
        }));
        if self.is_due() {
            let what = format!("{files} files");
            let progress = Progress { done, total: found, rate, eta: None };
            self.show(|width| line::bar(&what, &progress, width));
        }
    }

    /// A file is being hashed, since so long.
    pub(crate) fn hashing(&mut self, hashed: Hashed, elapsed: Duration) {
        let Hashed { done, total, .. } = hashed;
        if self.is_due() {
            let rate = (done as f64 / elapsed.as_secs_f64().max(1e-3)) as u64;
            let eta = total.saturating_sub(done).checked_div(rate).map(Duration::from_secs);
            let progress = Progress { done, total, rate, eta };
            self.show(|width| line::bar("hashing", &progress, width));
            self.say.event(&json!({"event": "hashing", "done": done, "total": total}));
        }
    }

    /// What goes on, in words, shortened where it does not fit. False when it is too early to say
    /// something again.
    pub(crate) fn state(&mut self, text: &str, object: &Value) -> bool {
        let is_due = self.is_due();
        if is_due {
            self.show(|width| line::cut(text, width));
            self.say.event(object);
        }
        is_due
    }

    /// It waits: for what, and what was said.
    pub(crate) fn waiting(&mut self, waiting: &StallReport) {
        match &mut self.line {
            Line::Drawn(screen) => screen.above(&format!("waiting: {waiting}")),
            _ => self.say.waiting(waiting),
        }
    }

    /// Something that people should know, above the line.
    pub(crate) fn note(&mut self, text: &str) {
        match &mut self.line {
            Line::Drawn(screen) => screen.above(text),
            _ => self.say.note(text),
        }
    }

    /// News above the line, or an event for programs.
    pub(crate) fn told(&mut self, text: &str, object: &Value) {
        match &mut self.line {
            Line::Drawn(screen) => screen.above(text),
            _ => self.say.told(text, object),
        }
    }

    /// Whether it is time for another line.
    fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let is_due = now >= self.next;
        if is_due {
            self.next = now
                + match self.line {
                    Line::Drawn(_) => REDRAWN,
                    Line::Written => WRITTEN,
                    Line::None => OBJECTS,
                };
        }
        is_due
    }

    /// Shows a line to people.
    fn show(&mut self, line: impl FnOnce(usize) -> String) {
        match &mut self.line {
            Line::Drawn(screen) => screen.draw(line),
            Line::Written => self.say.note(line(line::UNBOUNDED)),
            Line::None => {}
        }
    }
}
