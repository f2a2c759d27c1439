//! What ends a command from outside: Ctrl-C, and the signals that end a program otherwise.

use std::process;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use tokio::runtime::Builder;

use crate::exit::INTERRUPTED;
use crate::failure::Failure;
use crate::say::Writes;

/// How long standard output may take nothing, before a command that was told to end is not waited for.
const STANDS_STILL: Duration = Duration::from_secs(1);

/// The first signal, which is remembered: whoever asks later was told too.
static FIRST: OnceLock<Shared<BoxFuture<'static, ()>>> = OnceLock::new();

/// Waits until the command is to end.
pub(crate) async fn interrupted() {
    FIRST.get_or_init(|| signal().boxed().shared()).clone().await;
}

/// Does some work until the command is to end. Of work that is not done nothing is kept.
pub(crate) async fn unless_interrupted<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        done = work => done,
        () = interrupted() => Err(Failure::Aborted),
    }
}

/// Ends the process when a command that was told to end does not: at a second signal, or when it waits for a reader
/// of its standard output, who may never read again. Nothing is lost by it that a kill would not lose.
///
/// A thread of its own does it, because whatever else runs may be what does not end.
pub(crate) fn enforce(writes: Writes) {
    let told_twice = async move {
        interrupted().await;
        tokio::select! {
            () = signal() => {}
            () = writes.stand_still(STANDS_STILL) => {}
        }
        process::exit(INTERRUPTED.into());
    };
    thread::spawn(|| {
        // Where it cannot be made the command itself fails likewise.
        if let Ok(runtime) = Builder::new_current_thread().enable_all().build() {
            runtime.block_on(told_twice);
        }
    });
}

/// Waits for the next signal: on Unix also the one that ends a service and that of a terminal that is closed, on
/// Windows also Ctrl-Break, and that the console is closed or the user logs off.
async fn signal() {
    #[cfg(windows)]
    {
        use tokio::signal::windows::{ctrl_break, ctrl_close, ctrl_logoff, ctrl_shutdown};
        if let (Ok(mut stop), Ok(mut close), Ok(mut logoff), Ok(mut shutdown)) =
            (ctrl_break(), ctrl_close(), ctrl_logoff(), ctrl_shutdown())
        {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = stop.recv() => {}
                _ = close.recv() => {}
                _ = logoff.recv() => {}
                _ = shutdown.recv() => {}
            }
            return;
        }
    }
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let hangup = async {
            let listening = heeds_hangup().then(|| signal(SignalKind::hangup()));
            match listening {
                Some(Ok(mut hangup)) => _ = hangup.recv().await,
                _ => std::future::pending().await,
            }
        };
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
                () = hangup => {}
            }
            return;
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        // Nothing can interrupt it but being killed.
        std::future::pending::<()>().await;
    }
}

/// Whether the end of the terminal is to end this process: not when it was started by `nohup`, which says so by
/// having that signal ignored. Where that cannot be seen the signal is left alone.
#[cfg(unix)]
fn heeds_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // The lowest bit is of the first signal, which this is.
    ignored.is_some_and(|ignored| ignored & 1 == 0)
}
