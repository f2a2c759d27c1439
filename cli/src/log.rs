//! The log of what the node does, for those who look for a fault.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Logs to standard error: nothing by default, more with each `-v`, and what RUST_LOG says before all that.
pub(crate) fn start(verbose: u8) {
    let chosen = std::env::var("RUST_LOG").ok().and_then(|text| text.parse::<Targets>().ok());
    let Some(targets) = chosen.or_else(|| of_level(verbose)) else { return };
    let colours = stderr().is_terminal() && crate::usage::may_colour();
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr).with_ansi(colours);
    // Nobody has set one before: this is called once.
    let _ = tracing_subscriber::registry().with(targets).with(lines).try_init();
}

fn of_level(verbose: u8) -> Option<Targets> {
    let (ours, others) = match verbose {
        0 => return None,
        1 => (LevelFilter::INFO, LevelFilter::WARN),
        2 => (LevelFilter::DEBUG, LevelFilter::INFO),
        _ => (LevelFilter::TRACE, LevelFilter::DEBUG),
    };
    Some(Targets::new().with_default(others).with_target("bitswap", ours))
}
