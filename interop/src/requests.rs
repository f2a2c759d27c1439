//! A peer that is driven by lines of JSON: one request a line in, one answer a line out.
//!
//! `{"id": 7, "do": "has", ...}` is answered by `{"id": 7, "ok": ...}` or `{"id": 7, "error": "..."}`.
//! Requests run side by side in the peer and may be answered in any order; dropping the future of one
//! forgets its answer. The peer ends when its input does.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{ChildStdin, ChildStdout, Command},
    sync::{Mutex as AsyncMutex, oneshot},
    time::timeout,
};

use crate::{
    PeerError,
    process::{Daemon, log_tail},
};

/// The requests that wait for their answers, by number; `None` once the peer has ended.
type Waiting = Arc<Mutex<Option<BTreeMap<u64, oneshot::Sender<Answer>>>>>;

#[derive(Debug, Deserialize)]
struct Answer {
    id: u64,
    ok: Option<Value>,
    error: Option<String>,
}

/// The process of such a peer.
#[derive(Debug)]
pub(crate) struct Requests {
    peer: &'static str,
    daemon: Daemon,
    input: AsyncMutex<Input>,
    waiting: Waiting,
}

#[derive(Debug)]
struct Input {
    pipe: ChildStdin,
    next_id: u64,
}

impl Requests {
    pub(crate) fn start(
        mut command: Command,
        peer: &'static str,
        log: PathBuf,
    ) -> Result<Self, PeerError> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut daemon = Daemon::start(command, peer, log)?;
        let (Some(pipe), Some(answers)) = (daemon.take_stdin(), daemon.take_stdout()) else {
            return Err(PeerError::Ended { what: peer.to_owned(), log: String::new() });
        };
        let waiting: Waiting = Arc::new(Mutex::new(Some(BTreeMap::new())));
        tokio::spawn(deliver(answers, Arc::clone(&waiting)));
        Ok(Self { peer, daemon, input: AsyncMutex::new(Input { pipe, next_id: 0 }), waiting })
    }

    /// Sends a request and waits for its answer, `limit` at most.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        name: &str,
        fields: Value,
        limit: Duration,
    ) -> Result<T, PeerError> {
        let what = format!("{} {name} {fields}", self.peer);
        let answer = timeout(limit, self.exchange(&what, name, fields))
            .await
            .map_err(|_| PeerError::Deadline { what: what.clone(), limit })??;
        if let Some(answer) = answer.error {
            return Err(PeerError::Failed { what, answer });
        }
        let value = answer.ok.unwrap_or(Value::Null);
        let text = value.to_string();
        serde_json::from_value(value).map_err(PeerError::answer(&what, text))
    }

    /// Asks the peer to stop and waits for its process to end; a peer that does not is killed.
    pub(crate) async fn stop(mut self, limit: Duration) -> Result<(), PeerError> {
        self.ask::<()>("stop", json!({}), limit).await?;
        drop(self.input);
        let status = self.daemon.ended(self.peer, limit).await?;
        if status.success() {
            Ok(())
        } else {
            Err(PeerError::Ended {
                what: format!("{} stop ({status})", self.peer),
                log: log_tail(self.daemon.log()),
            })
        }
    }

    async fn exchange(
        &self,
        what: &str,
        name: &str,
        mut fields: Value,
    ) -> Result<Answer, PeerError> {
        let ended = || PeerError::Ended { what: what.to_owned(), log: log_tail(self.daemon.log()) };
        let (answer, answered) = oneshot::channel();
        {
            let mut input = self.input.lock().await;
            input.next_id += 1;
            let id = input.next_id;
            fields["id"] = json!(id);
            fields["do"] = json!(name);
            match lock(&self.waiting).as_mut() {
                Some(waiting) => waiting.insert(id, answer),
                None => return Err(ended()),
            };
            let line = format!("{fields}\n");
            input.pipe.write_all(line.as_bytes()).await.map_err(|_| ended())?;
        }
        answered.await.map_err(|_| ended())
    }
}

/// Hands each answer to who asked, until the peer's output ends; then nobody waits any more.
async fn deliver(answers: ChildStdout, waiting: Waiting) {
    let mut lines = BufReader::new(answers).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(answer) = serde_json::from_str::<Answer>(&line) else { break };
        let asker = lock(&waiting).as_mut().and_then(|waiting| waiting.remove(&answer.id));
        if let Some(asker) = asker {
            // Who gave up waiting does not mind.
            let _ = asker.send(answer);
        }
    }
    lock(&waiting).take();
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::process::command;

    const LIMIT: Duration = Duration::from_secs(20);

    /// A peer written in shell.
    fn peer(script: &str) -> (tempfile::TempDir, Requests) {
        let home = tempfile::tempdir().unwrap();
        let mut command = command(Path::new("sh"), home.path());
        command.args(["-c", script]);
        let requests = Requests::start(command, "it", home.path().join("log")).unwrap();
        (home, requests)
    }

    #[tokio::test]
    async fn answers_reach_their_askers_in_any_order() {
        let (_home, peer) =
            peer(r#"read a; read b; echo '{"id":2,"ok":"two"}'; echo '{"id":1,"ok":"one"}'; cat"#);
        let (one, two) = tokio::join!(
            peer.ask::<String>("first", json!({}), LIMIT),
            peer.ask::<String>("second", json!({}), LIMIT),
        );
        assert_eq!((one.unwrap().as_str(), two.unwrap().as_str()), ("one", "two"));
    }

    #[tokio::test]
    async fn a_peer_that_dies_fails_its_requests_with_its_last_words() {
        let (_home, peer) = peer("read a; echo oh no >&2");
        for _ in 0..2 {
            let error = peer.ask::<()>("anything", json!({}), LIMIT).await.unwrap_err();
            let PeerError::Ended { log, .. } = error else { panic!("{error}") };
            assert_eq!(log, "oh no\n");
        }
    }

    #[tokio::test]
    async fn errors_and_deadlines_are_told_apart() {
        let (_home, peer) = peer(r#"read a; echo '{"id":1,"error":"will not"}'; cat >/dev/null"#);
        let refused = peer.ask::<()>("this", json!({"n": 1}), LIMIT).await.unwrap_err();
        assert_eq!(refused.to_string(), r#"it this {"n":1} failed: will not"#);
        let late = peer.ask::<()>("that", json!({}), Duration::from_millis(50)).await.unwrap_err();
        assert!(matches!(late, PeerError::Deadline { .. }), "{late}");
    }

    #[tokio::test]
    async fn stop_closes_the_input_and_waits_for_the_end() {
        let (home, peer) =
            peer(r#"read a; echo '{"id":1,"ok":null}'; cat >/dev/null; echo bye >end"#);
        peer.stop(LIMIT).await.unwrap();
        assert_eq!(std::fs::read_to_string(home.path().join("end")).unwrap(), "bye\n");
    }
}
