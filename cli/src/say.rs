//! What is printed, for people or for programs.
//!
//! Results go to standard output: text, or with `--json` one object per line. Everything else,
//! progress, warnings and errors, goes to standard error.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _, stderr, stdout};

use bitswap_core::PeerReport;
use bitswap_runtime::Waiting;
use libp2p::PeerId;
use serde_json::{Value, json};

use crate::exit::Failure;

/// Prints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Say {
    json: bool,
}

impl Say {
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether a person watches, so that lines may be drawn over.
    pub(crate) fn is_watched(self) -> bool {
        !self.json && stderr().is_terminal()
    }

    /// A result: the text for people, the object for programs.
    pub(crate) fn result(self, text: impl Display, object: &Value) {
        // Whoever closed the pipe wants no more; there is nobody to tell.
        let _ =
            if self.json { writeln!(stdout(), "{object}") } else { writeln!(stdout(), "{text}") };
    }

    /// Something for programs only, that people see otherwise.
    pub(crate) fn event(self, object: &Value) {
        if self.json {
            let _ = writeln!(stdout(), "{object}");
        }
    }

    /// News: a note for people, the object for programs.
    pub(crate) fn told(self, text: impl Display, object: &Value) {
        if self.json {
            self.event(object);
        } else {
            self.note(text);
        }
    }

    /// What is waited for, as nothing comes.
    pub(crate) fn waiting(self, waiting: &Waiting) {
        self.told(format_args!("waiting: {waiting}"), &waiting_object(waiting));
    }

    /// Something that people should know.
    pub(crate) fn note(self, text: impl Display) {
        if self.json {
            self.event(&json!({"event": "note", "message": text.to_string()}));
        } else {
            let _ = writeln!(stderr(), "{text}");
        }
    }

    /// The end of a command that failed.
    pub(crate) fn failure(self, failure: &Failure) {
        if self.json {
            let message = failure.to_string();
            self.event(&json!({"event": "error", "code": failure.code(), "message": message}));
        } else {
            let _ = writeln!(stderr(), "error: {failure}");
        }
    }
}

fn waiting_object(waiting: &Waiting) -> Value {
    let lost = waiting.lost.iter().map(|lost| {
        let reason = lost.reason.as_deref();
        json!({"peer": lost.peer.to_string(), "seconds_ago": lost.ago.as_secs(), "reason": reason})
    });
    let oldest = waiting.oldest.iter().map(|wait| {
        let did = |report: &PeerReport<PeerId>| {
            json!({"peer": report.peer.to_string(), "did": format!("{:?}", report.did)})
        };
        let asked: Vec<Value> = wait.reports.iter().map(did).collect();
        json!({"cid": wait.cid.to_string(), "asked": asked})
    });
    json!({
        "event": "waiting", "message": format!("waiting: {waiting}"), "peers": waiting.peers,
        "blocks": waiting.blocks, "oldest": oldest.collect::<Vec<_>>(),
        "lost": lost.collect::<Vec<_>>(),
    })
}

/// Bytes, as people read them.
pub(crate) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            let digits = if unit == "B" { 0 } else { 1 };
            return format!("{value:.digits$} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// MiB per second.
pub(crate) fn mib_per_second(bytes: u64, seconds: f64) -> f64 {
    bytes as f64 / f64::from(1 << 20) / seconds.max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        let sizes =
            [(0, "0 B"), (1023, "1023 B"), (1 << 20, "1.0 MiB"), (u64::MAX, "16777216.0 TiB")];
        for (bytes, text) in sizes {
            assert_eq!(size(bytes), text);
        }
    }
}
