//! Commands that a test runs, bounded in time.

use std::io::Read;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Runs a command to its end, and kills it when it has not closed its output after `limit`.
pub(crate) fn output(command: &mut Command, limit: Duration) -> Result<Output, String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{command:?} does not start: {error}"))?;
    let stdout = collected(child.stdout.take().unwrap());
    let stderr = collected(child.stderr.take().unwrap());
    let end = Instant::now() + limit;
    let wait = |pipe: &mpsc::Receiver<Vec<u8>>| {
        pipe.recv_timeout(end.saturating_duration_since(Instant::now()))
    };
    let (Ok(stdout), Ok(stderr)) = (wait(&stdout), wait(&stderr)) else {
        // It may end just now.
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("{command:?} was killed: it had not ended after {limit:?}"));
    };
    let status = child.wait().map_err(|error| format!("{command:?}: {error}"))?;
    Ok(Output { status, stdout, stderr })
}

/// All that comes out of a pipe, once it is closed.
fn collected(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (give, take) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What a killed process leaves is not looked at.
        let _ = pipe.read_to_end(&mut bytes);
        let _ = give.send(bytes);
    });
    take
}

#[cfg(unix)]
#[test]
fn a_command_that_hangs_is_killed() {
    let error = output(Command::new("sleep").arg("600"), Duration::from_millis(50)).unwrap_err();
    assert!(error.contains("was killed"), "{error}");
}
