//! How far something is: a line that is drawn over for people who watch, a line now and then for
//! those who read it later, events for programs.

mod line;
mod peers;
mod screen;
mod steady;

use std::time::{Duration, Instant};

use bitswap_core::chunk::{Progress, StallReason, TreeProgress};
use bitswap_node::{Hashed, Seeder, StallReport};
use serde_json::{Value, json};

use crate::plain::Plain;
use crate::say::{self, Say};
use peers::Peers;
use screen::Screen;
use steady::Steady;

pub(crate) use peers::{Rates, rate_of};

/// How often a line is drawn over at most.
const REDRAWN: Duration = Duration::from_millis(100);

/// How often a line is written where none can be drawn over.
const WRITTEN: Duration = Duration::from_secs(10);

/// How often there is an event for programs, of what happens all the time.
const OBJECTS: Duration = Duration::from_secs(1);

/// After so long the rate of hashing says when it will be done.
const STEADY_AFTER: Duration = Duration::from_secs(2);

/// Shows how far something is.
pub(crate) struct Shown<'a> {
    say: &'a Say,
    line: Line,
    next: Instant,
    /// Who the bytes come from.
    peers: Peers,
    /// Whether the rate of a folder says when it will be done.
    steady: Steady,
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
        let (peers, steady) = (Peers::default(), Steady::default());
        Self { say, line, next: Instant::now() + first, peers, steady }
    }

    /// A fetch has begun.
    pub(crate) fn started(&mut self, total: u64, have: u64) {
        self.say.event(&json!({"event": "started", "total": total, "have": have}));
        if self.is_due() {
            let progress = Progress { done: have, total, ..Progress::default() };
            self.show(|width, peers| line::bar("", &progress, peers, width));
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
            self.show(|width, peers| line::bar("", progress, peers, width));
        }
    }

    /// The fetch of a folder goes on. How much there is in all is known once all of it is found.
    pub(crate) fn tree(&mut self, progress: &TreeProgress) {
        let TreeProgress { done, found, files, entries, is_all, rate } = *progress;
        // Before all is found nobody knows how much is left.
        let is_steady = self.steady.is_steady(if is_all { rate } else { 0 });
        let left = found.saturating_sub(done).checked_div(rate).filter(|_| is_steady);
        self.say.event(&json!({
            "event": "progress", "done": done, "total": found, "is_all_found": is_all, "rate": rate,
            "files": files, "entries": entries, "seconds_left": left,
        }));
        if self.is_due() {
            let what = format!("{files} files");
            let eta = left.map(Duration::from_secs);
            let progress = Progress { done, total: found, rate, eta };
            self.show(|width, peers| line::bar(&what, &progress, peers, width));
        }
    }

    /// A file of a folder is there. Programs get all of them; people see how many there are.
    pub(crate) fn file(&self, path: &str, size: u64, already: bool) {
        self.say.event(&json!({"event": "file", "path": path, "size": size, "already": already}));
    }

    /// Who has what is fetched, as the node knows it now.
    pub(crate) fn seeders(&mut self, seeders: &[Seeder]) {
        let is_news = self.peers.learn(seeders, Instant::now());
        self.say.event(&self.peers.object());
        if is_news {
            self.told(&self.peers.to_string(), &self.peers.news());
        }
    }

    /// At the end: what each of several peers delivered.
    pub(crate) fn delivered(&mut self) {
        for line in self.peers.delivered() {
            self.note_for_people(&Plain(&line).to_string());
        }
    }

    /// A file is being hashed, since so long.
    pub(crate) fn hashing(&mut self, hashed: Hashed, elapsed: Duration) {
        let Hashed { done, total, .. } = hashed;
        if self.is_due() {
            let rate = (done as f64 / elapsed.as_secs_f64().max(1e-3)) as u64;
            let is_steady = elapsed >= STEADY_AFTER;
            let left = total.saturating_sub(done).checked_div(rate).filter(|_| is_steady);
            let progress = Progress { done, total, rate, eta: left.map(Duration::from_secs) };
            self.show(|width, _| line::bar("hashing", &progress, "", width));
            self.say.event(&json!({
                "event": "hashing", "done": done, "total": total, "rate": rate, "seconds_left": left,
            }));
        }
    }

    /// What goes on, in words, shortened where it does not fit. False when it is too early to say
    /// something again.
    pub(crate) fn state(&mut self, text: &str, object: &Value) -> bool {
        let is_due = self.is_due();
        if is_due {
            self.show(|width, _| line::cut(&Plain(text).to_string(), width));
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

    /// Nothing has come for a while, and this may be why.
    pub(crate) fn stalled(&mut self, reason: StallReason) {
        let (name, message) = (say::stall_name(reason), format!("nothing comes: {reason}"));
        let mut object = json!({"event": "stalled", "reason": name, "message": message});
        if let StallReason::AllDontHave(cid) = reason {
            object["cid"] = json!(cid.to_string());
        }
        self.told(&message, &object);
    }

    /// Something comes again.
    pub(crate) fn stall_ended(&mut self) {
        self.told("bytes come again", &json!({"event": "stall_ended"}));
    }

    /// Something that people should know, above the line.
    pub(crate) fn note(&mut self, text: &str) {
        match &mut self.line {
            Line::Drawn(screen) => screen.above(text),
            _ => self.say.note(text),
        }
    }

    /// Something that people may like to see, and programs learn otherwise.
    fn note_for_people(&mut self, text: &str) {
        match &mut self.line {
            Line::Drawn(screen) => screen.above(text),
            Line::Written => self.say.note(text),
            Line::None => {}
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
    fn show(&mut self, line: impl FnOnce(usize, &str) -> String) {
        let peers = self.peers.short();
        match &mut self.line {
            Line::Drawn(screen) => screen.draw(|width| line(width, &peers)),
            Line::Written => self.say.note(line(line::UNBOUNDED, &peers)),
            Line::None => {}
        }
    }
}
