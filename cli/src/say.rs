//! What is printed, for people or for programs.
//!
//! Results go to standard output: text, or with `--json` one object per line. Everything else,
//! progress, warnings and errors, goes to standard error. `cat` and `get -o -` are the exception: their standard
//! output is the file and nothing else, so with `--json` their objects go to standard error.
//!
//! What people read is escaped here, whoever wrote it; programs get it as it is.
//!
//! Whatever cannot be written to standard output ends the command: [`Broken`] says so, whoever wrote.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write, stderr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bitswap_core::PeerReport;
use bitswap_core::chunk::StallReason;
use bitswap_node::StallReport;
use futures::channel::oneshot;
use libp2p::PeerId;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::log;
use crate::plain::{Coloured, Lines};

/// Prints.
pub(crate) struct Say {
    json: Option<Objects>,
    /// Results and errors only.
    quiet: bool,
    /// Where notes go that nobody waits for.
    notes: Option<log::Lines>,
    /// Standard output, until it fails.
    out: Mutex<Option<Out>>,
    writes: Writes,
}

/// Where objects go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Objects {
    ToOutput,
    ToErrors,
}

struct Out {
    writer: Box<dyn Write + Send>,
    broken: oneshot::Sender<io::Error>,
}

/// How often writing to standard output began and ended: odd while somebody writes.
#[derive(Clone, Default)]
pub(crate) struct Writes(Arc<AtomicU64>);

impl Writes {
    /// Waits for a write that takes so long, or up to twice that.
    pub(crate) async fn stand_still(&self, time: Duration) {
        loop {
            let before = self.0.load(Ordering::Relaxed);
            tokio::time::sleep(time).await;
            if before % 2 == 1 && before == self.0.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    fn begins_or_ends(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Completes when standard output fails.
pub(crate) struct Broken(oneshot::Receiver<io::Error>);

impl Broken {
    /// Waits until standard output fails.
    pub(crate) async fn failed(&mut self) -> Failure {
        match (&mut self.0).await {
            Ok(source) => Failure::Output { source },
            // It cannot fail any more.
            Err(_) => std::future::pending().await,
        }
    }

    /// Why standard output has failed, if it has.
    pub(crate) fn failure(&mut self) -> Option<Failure> {
        let source = self.0.try_recv().ok().flatten()?;
        Some(Failure::Output { source })
    }
}

impl Say {
    /// Prints to standard output. `json`: objects instead of text.
    /// `quiet`: results and errors only.
    pub(crate) fn new(json: Option<Objects>, quiet: bool) -> (Self, Broken) {
        Self::to(json, quiet, standard_output())
    }

    fn to(json: Option<Objects>, quiet: bool, writer: Box<dyn Write + Send>) -> (Self, Broken) {
        let (broken, failed) = oneshot::channel();
        let out = Mutex::new(Some(Out { writer, broken }));
        let writes = Writes::default();
        (Self { json, quiet, notes: None, out, writes }, Broken(failed))
    }

    /// Writes notes there, unless somebody watches: who does not read them holds nothing up.
    pub(crate) fn with_notes(self, notes: log::Lines) -> Self {
        Self { notes: Some(notes), ..self }
    }

    /// Whether standard output takes what is written.
    pub(crate) fn writes(&self) -> Writes {
        self.writes.clone()
    }

    /// Whether a person watches, so that lines may be drawn over.
    pub(crate) fn is_watched(&self) -> bool {
        self.json.is_none() && !self.quiet && stderr().is_terminal()
    }

    /// Whether people read what is printed, now or later.
    pub(crate) const fn is_text(&self) -> bool {
        self.json.is_none() && !self.quiet
    }

    /// Bytes for standard output, as they are. After a failure nothing more is written.
    pub(crate) fn bytes(&self, bytes: &[u8]) {
        // Nothing under the lock panics half-way.
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        self.writes.begins_or_ends();
        if let Some(open) = out.as_mut()
            && let Err(error) = open.writer.write_all(bytes).and_then(|()| open.writer.flush())
            && let Some(open) = out.take()
        {
            // Whoever waits for it may have ended already, and looks once more then.
            let _ = open.broken.send(error);
        }
        self.writes.begins_or_ends();
    }

    /// A result: the text for people, the object for programs.
    pub(crate) fn result(&self, text: impl Display, object: &Value) {
        self.result_as(Lines(&text.to_string()), object);
    }

    /// A result whose colours are ours.
    pub(crate) fn coloured_result(&self, text: &str, object: &Value) {
        self.result_as(Coloured(text), object);
    }

    fn result_as(&self, text: impl Display, object: &Value) {
        if self.json.is_some() {
            self.object(object);
        } else {
            self.bytes(format!("{text}\n").as_bytes());
        }
    }

    /// Something for programs only, that people see otherwise.
    pub(crate) fn event(&self, object: &Value) {
        if !self.quiet {
            self.object(object);
        }
    }

    /// A result for programs, of which people are told otherwise.
    pub(crate) fn object(&self, object: &Value) {
        match self.json {
            Some(Objects::ToOutput) => self.bytes(format!("{object}\n").as_bytes()),
            Some(Objects::ToErrors) => to_errors(object),
            None => {}
        }
    }

    /// News: a note for people, the object for programs.
    pub(crate) fn told(&self, text: impl Display, object: &Value) {
        if self.quiet {
            return;
        }
        let text = text.to_string();
        match &self.notes {
            Some(notes) if self.json.is_none() && !self.is_watched() => {
                let mut notes = notes.clone();
                // It takes the line, or leaves it out.
                let _ = notes.write_all(format!("{}\n", Lines(&text)).as_bytes());
            }
            _ => self.tell(Lines(&text), object),
        }
    }

    /// What is wrong with the arguments, with colours that are ours.
    pub(crate) fn coloured_error(&self, text: &str, object: &Value) {
        self.tell(Coloured(text), object);
    }

    /// Tells what is escaped already.
    fn tell(&self, text: impl Display, object: &Value) {
        if self.json.is_some() {
            self.object(object);
        } else if self.is_watched() {
            // A line may stand there that is drawn over; it is drawn again below this one.
            to_errors(format_args!("{CLEAR}{text}"));
        } else {
            to_errors(text);
        }
    }

    /// What is waited for, as nothing comes.
    pub(crate) fn waiting(&self, waiting: &StallReport) {
        self.told(format_args!("waiting: {waiting}"), &waiting_object(waiting));
    }

    /// What is waited for that is no block, at a time when the node is as `waiting` says.
    pub(crate) fn waiting_for(&self, what: &str, waiting: &StallReport) {
        let text = format!("waiting: {what}");
        let mut object = waiting_object(waiting);
        object["message"] = json!(text);
        self.told(text, &object);
    }

    /// Something that people should know.
    pub(crate) fn note(&self, text: impl Display) {
        let object = json!({"event": "note", "message": text.to_string()});
        self.told(text, &object);
    }

    /// The end of a command that failed.
    pub(crate) fn failure(&self, failure: &Failure) {
        if !failure.is_quiet() {
            self.error(failure);
        }
    }

    /// An error, and the exit code that it ends with. It goes where it can still be read.
    fn error(&self, failure: &Failure) {
        let object =
            json!({"event": "error", "code": failure.code(), "message": failure.message()});
        let is_broken = self.out.lock().unwrap_or_else(PoisonError::into_inner).is_none();
        if is_broken && self.json.is_some() {
            to_errors(object);
        } else {
            self.tell(format_args!("error: {}", Lines(&failure.text())), &object);
        }
    }
}

/// The name of a reason to wait, for programs.
pub(crate) const fn stall_name(reason: StallReason) -> &'static str {
    match reason {
        StallReason::NoPeers => "no_peers",
        StallReason::NoProvider => "no_provider",
        StallReason::AllDontHave(_) => "all_dont_have",
        StallReason::PeersSilent => "peers_silent",
        StallReason::DiskSlow => "disk_slow",
        StallReason::RateLimited => "rate_limited",
        _ => "other",
    }
}

fn waiting_object(waiting: &StallReport) -> Value {
    let lost = waiting.lost.iter().map(|lost| {
        let reason = lost.reason.as_deref();
        json!({"peer": lost.peer.to_string(), "seconds_ago": lost.ago.as_secs(), "reason": reason})
    });
    let oldest = waiting.oldest.iter().map(|wait| {
        let did = |report: &PeerReport<PeerId>| {
            json!({"peer": report.peer.to_string(), "did": format!("{:?}", report.outcome)})
        };
        let asked: Vec<Value> = wait.reports.iter().map(did).collect();
        json!({"cid": wait.cid.to_string(), "asked": asked})
    });
    json!({
        "event": "waiting", "reason": waiting.reason.map(stall_name), "message": format!("waiting: {waiting}"), "peers": waiting.peers,
        "blocks": waiting.blocks, "oldest": oldest.collect::<Vec<_>>(),
        "lost": lost.collect::<Vec<_>>(),
    })
}

/// To the first column of a terminal, and the rest of the line is blank.
pub(crate) const CLEAR: &str = "\r\x1b[K";

fn to_errors(text: impl Display) {
    // Where errors go is closed: there is nobody to tell.
    let _ = writeln!(stderr(), "{text}");
}

/// Standard output, unbuffered, with every error told. The standard library's own takes writing to
/// something that is not open for writing for a success.
#[cfg(unix)]
fn standard_output() -> Box<dyn Write + Send> {
    use std::os::fd::AsFd as _;
    match io::stdout().as_fd().try_clone_to_owned() {
        Ok(output) => Box::new(std::fs::File::from(output)),
        Err(_) => Box::new(io::stdout()),
    }
}

#[cfg(not(unix))]
fn standard_output() -> Box<dyn Write + Send> {
    Box::new(io::stdout())
}

/// MiB per second.
pub(crate) fn mib_per_second(bytes: u64, seconds: f64) -> f64 {
    bytes as f64 / f64::from(1 << 20) / seconds.max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many writes, and fails then.
    struct Fails(u32);

    impl Write for Fails {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn whatever_fails_to_be_written_is_told_and_nothing_follows_it() {
        let object = json!({"event": "it"});
        let ways: [fn(&Say, &Value); 4] = [
            |say, _| say.bytes(b"bytes"),
            |say, object| say.result("text", object),
            |say, object| say.event(object),
            |say, object| say.told("text", object),
        ];
        for way in ways {
            let (say, mut broken) = Say::to(Some(Objects::ToOutput), false, Box::new(Fails(1)));
            way(&say, &object);
            assert!(broken.failure().is_none());
            way(&say, &object);
            way(&say, &object);
            let failure = broken.failure().unwrap();
            assert_eq!(failure.code(), 4);
            assert_eq!(failure.message(), "cannot write to standard output: no storage space");
        }
    }
}
