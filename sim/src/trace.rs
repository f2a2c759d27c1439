//! The event log of a run: off unless asked for, because a run is replayed from its seed.

use std::fmt::Write as _;
use std::time::Duration;

use bitswap_core::{Message, Timestamp, WantKind};
use cid::Cid;

use crate::block_set::BlockSet;
use crate::node::Node;

/// Lines about what happened, when somebody listens.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub(crate) tell: Option<fn(&str)>,
}

impl Trace {
    pub(crate) fn message(
        &self,
        now: Timestamp,
        block_set: &BlockSet,
        (from, to): (Node, Node),
        message: &Message,
        bytes: usize,
    ) {
        if let Some(tell) = self.tell {
            let text = describe(block_set, message);
            tell(&format!("{} {from} -> {to}:{text} ({bytes} B)", clock(now)));
        }
    }

    pub(crate) fn note(&self, now: Timestamp, text: impl FnOnce() -> String) {
        if let Some(tell) = self.tell {
            tell(&format!("{} {}", clock(now), text()));
        }
    }
}

/// A point in time as milliseconds.
fn clock(now: Timestamp) -> String {
    let micros = now.as_micros();
    format!("{:>7}.{:03} ms", micros / 1000, micros % 1000)
}

/// A duration as seconds.
#[must_use]
pub fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}

/// A message in one line: `+b3` is a want-block for block 3, `+h` a want-have (`!` when DONT_HAVE is
/// asked for), `-3` a cancel; `=3` a block; `y3` and `n3` are HAVE and DONT_HAVE.
pub(crate) fn describe(block_set: &BlockSet, message: &Message) -> String {
    let name = |cid: &Cid| match block_set.number(cid) {
        Some(number) => number.to_string(),
        None => cid.to_string(),
    };
    let mut text = String::new();
    if message.wantlist.full {
        text.push_str(" full");
    }
    for entry in &message.wantlist.entries {
        let kind = match (entry.cancel, entry.kind) {
            (true, _) => "-",
            (false, WantKind::Block) => "+b",
            (false, WantKind::Have) => "+h",
        };
        let ask = if entry.send_dont_have { "!" } else { "" };
        let _ = write!(text, " {kind}{}{ask}", name(&entry.cid));
    }
    for block in &message.blocks {
        let _ = write!(text, " ={}", name(block.cid()));
    }
    for presence in &message.presences {
        let _ = write!(text, " {}{}", if presence.have { "y" } else { "n" }, name(&presence.cid));
    }
    text
}
