//! The log of what the node does, for those who look for a fault, and notes for those who read them later.
//!
//! A thread of its own writes them. Whoever logs waits for nobody: when standard error takes no more, because a pipe
//! is full or a terminal stopped, lines are left out, and how many is said before the next one that is written.

use std::io::{self, IsTerminal as _, Write, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Lines that may wait to be written.
const LINES_MAX: usize = 4096;

/// How long what waits is written when the command ends, at most.
const FINISH: Duration = Duration::from_millis(500);

/// What is written to standard error as far as that takes it.
pub(crate) struct Log {
    lines: Lines,
    written: Receiver<()>,
}

/// Where lines go.
#[derive(Clone)]
pub(crate) struct Lines {
    /// `None`: all that came before is to be written, and that is told.
    queue: SyncSender<Option<Vec<u8>>>,
    left_out: Arc<AtomicU64>,
}

/// Begins to log to standard error: nothing by default, more with each `-v`, and what RUST_LOG says before all that.
/// What is wrong with that is returned too.
pub(crate) fn start(verbose: u8) -> (Log, Option<String>) {
    let filter = std::env::var_os("RUST_LOG").unwrap_or_default();
    let (chosen, wrong) = match chosen(&filter.to_string_lossy()) {
        Ok(chosen) => (chosen, None),
        Err(wrong) => (None, Some(wrong)),
    };
    let log = Log::to(standard_error());
    if let Some(targets) = chosen.or_else(|| of_level(verbose)) {
        let colours = stderr().is_terminal() && crate::usage::may_colour();
        let lines =
            tracing_subscriber::fmt::layer().with_writer(log.lines.clone()).with_ansi(colours);
        // Nobody has set one before: this is called once.
        let _ = tracing_subscriber::registry().with(targets).with(lines).try_init();
    }
    (log, wrong)
}

/// What a filter chooses; an empty one chooses nothing, as if there were none.
fn chosen(filter: &str) -> Result<Option<Targets>, String> {
    if filter.trim().is_empty() {
        return Ok(None);
    }
    let parsed = filter.parse().map(Some);
    parsed.map_err(|error| format!("RUST_LOG={filter} is left out, it is no filter: {error}"))
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

impl Log {
    fn to(mut writer: Box<dyn Write + Send>) -> Self {
        let (queue, queued) = sync_channel(LINES_MAX);
        let (told, written) = sync_channel(1);
        let left_out = Arc::<AtomicU64>::default();
        let lines = Lines { queue, left_out: left_out.clone() };
        thread::spawn(move || {
            while let Ok(line) = queued.recv() {
                let missing = left_out.swap(0, Ordering::Relaxed);
                if missing > 0 {
                    // Whoever closed standard error wants no log.
                    let _ = writeln!(writer, "({missing} lines of the log were left out here)");
                }
                match line {
                    Some(line) => _ = writer.write_all(&line),
                    None => _ = told.send(()),
                }
            }
        });
        Self { lines, written }
    }

    /// Where lines go.
    pub(crate) fn lines(&self) -> Lines {
        self.lines.clone()
    }

    /// Writes what waits, as far as it is taken without delay.
    pub(crate) fn finish(self) {
        if self.lines.queue.try_send(None).is_ok() {
            // It is not waited for longer either way.
            let _ = self.written.recv_timeout(FINISH);
        }
    }
}

impl Write for Lines {
    /// Takes a line, or leaves it out.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Some(line.to_vec())).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Standard error without its lock: that is for those who wait for what they write.
#[cfg(unix)]
fn standard_error() -> Box<dyn Write + Send> {
    use std::os::fd::AsFd as _;
    match stderr().as_fd().try_clone_to_owned() {
        Ok(errors) => Box::new(std::fs::File::from(errors)),
        Err(_) => Box::new(stderr()),
    }
}

#[cfg(not(unix))]
fn standard_error() -> Box<dyn Write + Send> {
    Box::new(stderr())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Takes lines once it is opened.
    struct Gate {
        opened: Receiver<()>,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Open for good once the other end is dropped.
            let _ = self.opened.recv();
            self.taken.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_filter_that_is_empty_is_none_and_a_wrong_one_is_told() {
        assert!(matches!(chosen(""), Ok(None)) && matches!(chosen(" "), Ok(None)));
        assert!(matches!(chosen("bitswap=debug,warn"), Ok(Some(_))));
        let wrong = chosen("bitswap=loud").unwrap_err();
        assert!(wrong.starts_with("RUST_LOG=bitswap=loud is left out"), "{wrong}");
    }

    #[test]
    fn whoever_logs_waits_for_nobody_and_what_is_left_out_is_counted() {
        let (open, opened) = sync_channel(0);
        let taken = Arc::<Mutex<Vec<u8>>>::default();
        let log = Log::to(Box::new(Gate { opened, taken: taken.clone() }));
        let mut lines = log.lines.clone();
        // One is being written, so many wait, and the others are too many.
        let all = LINES_MAX + 101;
        for at in 0..all {
            lines.write_all(format!("{at}\n").as_bytes()).unwrap();
        }
        let left_out = log.lines.left_out.load(Ordering::Relaxed);
        assert!(left_out >= 100, "{left_out}");
        drop(open);
        while log.lines.queue.try_send(None).is_err() {
            thread::yield_now();
        }
        log.written.recv().unwrap();
        let text = String::from_utf8(taken.lock().unwrap().clone()).unwrap();
        assert!(text.contains(&format!("({left_out} lines of the log were left out here)")));
        assert_eq!(text.lines().count() as u64, all as u64 - left_out + 1);
    }
}
