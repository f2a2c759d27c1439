//! Processes with a deadline and a log, that do not outlive the value that stands for them.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::PeerError;

/// Bytes of a log that an error quotes.
const LOG_TAIL: usize = 4096;

/// A command with what all of them need: no telemetry, a home that is not the user's, and a life that
/// ends with its value.
pub(crate) fn command(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env("HOME", home)
        .env("IPFS_TELEMETRY", "off")
        .current_dir(home)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs a short command and returns what it printed.
///
/// A command that is not done after `limit` is killed.
pub(crate) async fn output(
    mut command: Command,
    what: &str,
    stdin: Option<&[u8]>,
    limit: Duration,
) -> Result<Vec<u8>, PeerError> {
    if stdin.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(PeerError::io(format!("start {what}")))?;
    let pipe = child.stdin.take();
    let feed = async {
        if let (Some(mut pipe), Some(bytes)) = (pipe, stdin) {
            // A command that fails early closes its input; its exit status tells why.
            let _ = pipe.write_all(bytes).await;
        }
    };
    // Dropping the unfinished future drops the child, and that kills it.
    let ((), output) = timeout(limit, async { tokio::join!(feed, child.wait_with_output()) })
        .await
        .map_err(|_| PeerError::Deadline { what: what.to_owned(), limit })?;
    let output = output.map_err(PeerError::io(format!("run {what}")))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        let answer = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(PeerError::Failed { what: what.to_owned(), answer })
    }
}

/// A peer's long-lived process. Its standard error goes to a log file.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    pub(crate) fn start(mut command: Command, what: &str, log: PathBuf) -> Result<Self, PeerError> {
        let file =
            File::create(&log).map_err(PeerError::io(format!("create {}", log.display())))?;
        let child = command.stderr(file).spawn().map_err(PeerError::io(format!("start {what}")))?;
        Ok(Self { child, log })
    }

    /// The process's input, if it was piped; the second call gives `None`.
    pub(crate) fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// The process's output, if it was piped; the second call gives `None`.
    pub(crate) fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Waits until the process has ended by itself; after `limit` it is killed and the wait fails.
    pub(crate) async fn ended(
        &mut self,
        what: &str,
        limit: Duration,
    ) -> Result<ExitStatus, PeerError> {
        if let Ok(status) = timeout(limit, self.child.wait()).await {
            return status.map_err(PeerError::io(format!("wait for {what}")));
        }
        self.kill(what).await?;
        Err(PeerError::Deadline { what: what.to_owned(), limit })
    }

    /// Kills the process and waits until it is gone.
    pub(crate) async fn kill(&mut self, what: &str) -> Result<(), PeerError> {
        self.child.kill().await.map_err(PeerError::io(format!("kill {what}")))
    }

    /// The log file.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }
}

/// The end of a peer's log, for an error message.
pub(crate) fn log_tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&text[text.len().saturating_sub(LOG_TAIL)..]).into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = command(Path::new("sh"), Path::new("/"));
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn a_command_gets_its_input_and_returns_its_output() {
        let input = vec![7; 1 << 20];
        let out = output(sh("cat"), "cat", Some(&input), Duration::from_secs(20)).await.unwrap();
        assert_eq!(out, input);
    }

    #[tokio::test]
    async fn a_failed_command_tells_what_it_said() {
        let error =
            output(sh("echo no such thing >&2; exit 3"), "it", None, Duration::from_secs(20))
                .await
                .unwrap_err();
        assert_eq!(error.to_string(), "it failed: no such thing");
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_killed_at_its_deadline() {
        let started = Instant::now();
        let error = output(sh("echo $$; exec sleep 60"), "it", None, Duration::from_millis(50))
            .await
            .unwrap_err();
        assert!(matches!(error, PeerError::Deadline { .. }), "{error}");
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[tokio::test]
    async fn a_daemon_that_does_not_end_is_killed_and_reported() {
        let home = tempfile::tempdir().unwrap();
        let mut daemon =
            Daemon::start(sh("echo here I am >&2; exec sleep 60"), "it", home.path().join("log"))
                .unwrap();
        let said = async {
            while log_tail(daemon.log()) != "here I am\n" {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(20), said).await.expect("what it says is in its log");
        let error = daemon.ended("it", Duration::from_millis(50)).await.unwrap_err();
        assert!(matches!(error, PeerError::Deadline { .. }), "{error}");
    }
}
