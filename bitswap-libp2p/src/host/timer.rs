//! The engine's clock and alarm.

use std::pin::Pin;
use std::task::{Context, Poll};

use bitswap_core::Timestamp;
use futures_timer::Delay;
use web_time::Instant;

/// Time as the engine counts it: since the clock was made.
#[derive(Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_micros(u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}

/// An alarm that is set again only when it would ring too late. Setting it costs more than one
/// early ring, which does no harm.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    set: Option<(Timestamp, Delay)>,
}

impl Alarm {
    /// Ready when the alarm rang, maybe before `at`; else the task is woken at `at` at the latest.
    pub(crate) fn poll(&mut self, at: Timestamp, now: Timestamp, cx: &mut Context<'_>) -> Poll<()> {
        let delay = match &mut self.set {
            Some((set, delay)) => {
                if at < *set {
                    *set = at;
                    delay.reset(at.since(now));
                }
                delay
            }
            none => &mut none.insert((at, Delay::new(at.since(now)))).1,
        };
        std::task::ready!(Pin::new(delay).poll(cx));
        self.set = None;
        Poll::Ready(())
    }
}
