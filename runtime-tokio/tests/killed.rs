//! A fetch in a process of its own, to a real disk, that is killed at each of its steps and run again.
//!
//! The process that is killed is this test, started again: its file operations stop at the step that is named,
//! before it or after it, and say so. Then it is killed, by SIGKILL on Unix.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use bitswap_core::chunk::{Effect, FileRole, Profile, Resume, SyncPolicy};
use bitswap_node::testing::{Fault, FaultyFs};
use bitswap_node::{DiskFs, FetchOptions, Node, Paths};
use bitswap_runtime_tokio::Tokio;
use cid::Cid;
use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::future::{BoxFuture, Shared};
use tokio::runtime::Runtime;

const LEAF: usize = 262_144;
const LEAVES: usize = 16;
/// A leaf and the node around it.
const BLOCK: u64 = 262_144 + 14;
/// Leaves between two checkpoints: what a crash may cost.
const CHECKPOINT: usize = 2;

/// The steps, as [`Steps::name`] calls them.
const STEPS: [&str; 32] = [
    "lock",
    "read the journal",
    "open the target",
    "open the part",
    "ask for the space",
    "allocate",
    "write the id",
    "sync the names 1",
    "write leaf 1",
    "write leaf 2",
    "sync 1",
    "stamp 1",
    "save the journal 1",
    "write leaf 3",
    "write leaf 4",
    "sync 2",
    "stamp 2",
    "save the journal 2",
    "write leaf 9",
    "save the journal 5",
    "sync 7",
    "save the journal 7",
    "write leaf 16",
    "cut off the id",
    "last sync",
    "last stamp",
    "last journal",
    "close",
    "rename",
    "sync the names 2",
    "remove the journal",
    "unlock",
];

/// How long the process may take to get to its step.
const LIMIT: Duration = Duration::from_secs(60);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [role, address, root, target, step, when] if role == "fetch" => {
            fetch(address, root, target, step, when);
        }
        _ => {
            a_fetch_that_is_killed_at_any_step_goes_on_and_costs_a_checkpoint_at_most();
            println!(
                "test a_fetch_that_is_killed_at_any_step_goes_on_and_costs_a_checkpoint_at_most ... ok"
            );
        }
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Options under which the order of steps is always the same: one leaf after the other.
fn options() -> FetchOptions {
    let mut options = FetchOptions { share: false, ..FetchOptions::default() };
    options.download.window = 1;
    let (bytes, every) = ((CHECKPOINT * LEAF) as u64, Duration::from_secs(3600));
    options.download.sync = SyncPolicy::Checkpoints { bytes, every };
    options
}

/// Counts the steps of a fetch.
#[derive(Default)]
struct Steps {
    leaves: u32,
    syncs: u32,
    stamps: u32,
    journals: u32,
    names: u32,
    allocations: u32,
    /// Opens once the checkpoint that is being made is over. Leaves wait for it.
    gate: Option<Shared<BoxFuture<'static, ()>>>,
    opens: Option<oneshot::Sender<()>>,
}

impl Steps {
    fn name(&mut self, effect: &Effect) -> String {
        let is_last = self.allocations == 2;
        let counted = |what: &str, count: &mut u32| {
            *count += 1;
            format!("{what} {count}")
        };
        let name = match effect {
            Effect::Lock => "lock",
            Effect::Read { .. } => "read the journal",
            Effect::Open { role: FileRole::Temp, .. } => "open the part",
            Effect::Open { .. } => "open the target",
            Effect::CheckReplace { .. } => "look whether the target can be replaced",
            Effect::FreeSpace => "ask for the space",
            Effect::Allocate { .. } => {
                self.allocations += 1;
                if self.allocations == 1 { "allocate" } else { "cut off the id" }
            }
            Effect::Write { bytes, .. } if bytes.len() == LEAF => {
                return counted("write leaf", &mut self.leaves);
            }
            Effect::Write { .. } => "write the id",
            Effect::Sync if is_last => "last sync",
            Effect::Sync => return counted("sync", &mut self.syncs),
            Effect::Stamp if is_last => "last stamp",
            Effect::Stamp => return counted("stamp", &mut self.stamps),
            Effect::SaveJournal { .. } if is_last => "last journal",
            Effect::SaveJournal { .. } => return counted("save the journal", &mut self.journals),
            Effect::Close { .. } => "close",
            Effect::Rename { .. } => "rename",
            Effect::SyncDir => return counted("sync the names", &mut self.names),
            Effect::Remove { .. } => "remove the journal",
            Effect::Unlock => "unlock",
            Effect::Check(_) => "compare",
            Effect::Digest { .. } => "digest",
        };
        name.to_owned()
    }

    /// Closes the gate when a checkpoint begins.
    fn began(&mut self, name: &str, effect: &Effect) {
        if *effect == Effect::Sync && name != "last sync" {
            let (opens, gate) = oneshot::channel();
            (self.opens, self.gate) = (Some(opens), Some(gate.map(drop).boxed().shared()));
        }
    }

    /// Lets no leaf be written while a checkpoint is being made, so that they come in turn.
    fn in_turn(&mut self, effect: &Effect) -> Fault {
        match effect {
            Effect::SaveJournal { .. } => {
                let opens = self.opens.take();
                Fault::Hold(async move { drop(opens) }.boxed())
            }
            Effect::Write { .. } => match &self.gate {
                Some(gate) => Fault::Wait(gate.clone().boxed()),
                None => Fault::None,
            },
            _ => Fault::None,
        }
    }
}

fn say(text: &str) {
    println!("{text}");
    std::io::stdout().flush().unwrap();
}

/// The process that is killed: fetches, and stops for ever at the step.
fn fetch(address: &str, root: &str, target: &str, step: &str, when: &str) {
    let (step, is_before) = (step.to_owned(), when == "before");
    let runtime = runtime();
    runtime.block_on(async {
        let node = Node::builder(Tokio::current()).start().await.unwrap();
        node.connect(address.parse().unwrap()).await.unwrap();
        let paths = Paths::new(Path::new(target)).unwrap();
        let disk = Arc::new(DiskFs::new(node.runtime().clone(), paths.clone()));
        let steps = Arc::new(Mutex::new(Steps::default()));
        let seen = steps.clone();
        let in_turn = FaultyFs::new(disk, move |effect| steps.lock().unwrap().in_turn(effect));
        let fs = FaultyFs::new(in_turn, move |effect| {
            let mut seen = seen.lock().unwrap();
            let name = seen.name(effect);
            seen.began(&name, effect);
            if name != step {
                return Fault::None;
            }
            // A checkpoint that is never over lets no leaf be written after it.
            let opens = if name.starts_with("save") { seen.opens.take() } else { None };
            let forever = async move {
                let _closed = opens;
                futures::future::pending::<()>().await;
            };
            if is_before {
                say("there");
                Fault::Wait(forever.boxed())
            } else {
                Fault::Hold(
                    async {
                        say("there");
                        forever.await;
                    }
                    .boxed(),
                )
            }
        });
        let fetch = node.fetch_through(root.parse().unwrap(), paths, fs, options());
        say(&format!("ended: {:?}", fetch.finish().await));
    });
}

/// A process that does not outlive the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the process until it is at its step, and kills it there.
fn kill_at(arguments: [&str; 5]) {
    let mut child = Killed(
        Command::new(std::env::current_exe().unwrap())
            .arg("fetch")
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let (line, lines) = mpsc::sync_channel(1);
    let output = BufReader::new(child.0.stdout.take().unwrap());
    std::thread::spawn(move || {
        // Nobody may wait for it any more.
        let _ = line.send(output.lines().next());
    });
    match lines.recv_timeout(LIMIT) {
        Ok(Some(Ok(line))) if line == "there" => {}
        other => panic!("{arguments:?}: {other:?}"),
    }
    child.0.kill().unwrap();
    child.0.wait().unwrap();
}

/// How many leaves a file holds.
fn leaves(path: &Path, content: &[u8]) -> Option<usize> {
    let bytes = std::fs::read(path).ok()?;
    let same = |(there, leaf): &(&[u8], &[u8])| there == leaf;
    Some(bytes.chunks(LEAF).zip(content.chunks(LEAF)).filter(same).count())
}

fn a_fetch_that_is_killed_at_any_step_goes_on_and_costs_a_checkpoint_at_most() {
    let runtime = runtime();
    let number = |n: usize| (n as u32).wrapping_mul(0x9e37_79b1).to_le_bytes();
    let content: Vec<u8> = (0..LEAVES * LEAF / 4).flat_map(number).collect();
    let source = tempfile::tempdir().unwrap();
    let path = source.path().join("source");
    std::fs::write(&path, &content).unwrap();
    let (a, b, root, address) = runtime.block_on(async {
        let listen = "/ip4/127.0.0.1/tcp/0".parse().unwrap();
        let a = Node::builder(Tokio::current()).with_listen_address(listen).start().await.unwrap();
        let b = Node::builder(Tokio::current()).start().await.unwrap();
        let address = a.addresses().await.unwrap().remove(0);
        b.connect(address.clone()).await.unwrap();
        let root = a.share_file(&path, Profile::UnixfsV0_2015).await.unwrap().root.cid;
        (a, b, root, address.to_string())
    });
    for (number, step) in STEPS.into_iter().enumerate() {
        for when in ["before", "after"] {
            let directory = tempfile::tempdir().unwrap();
            let target = directory.path().join("target");
            kill_at([&address, &root.to_string(), target.to_str().unwrap(), step, when]);
            let resume = [Resume::Full, Resume::Changed][number % 2];
            goes_on(&runtime, &b, root, &target, &content, resume)
                .unwrap_or_else(|what| panic!("killed {when} `{step}`: {what}"));
        }
    }
    drop(a);
}

/// Fetches again what a killed process left, and counts what comes.
fn goes_on(
    runtime: &Runtime,
    node: &Node,
    root: Cid,
    target: &Path,
    content: &[u8],
    resume: Resume,
) -> Result<(), String> {
    let part = Paths::new(target).unwrap().path(FileRole::Temp);
    let there = leaves(target, content).or_else(|| leaves(&part, content)).unwrap_or(0);
    let mut options = options();
    options.download.resume = resume;
    let fetched = runtime.block_on(async {
        let fetch = node.fetch_file(root, target, options).map_err(|error| error.to_string())?;
        let limited = tokio::time::timeout(LIMIT, fetch.finish()).await;
        limited.map_err(|_| "it hangs".to_owned())?.map_err(|error| error.to_string())
    })?;
    if std::fs::read(target).unwrap() != content {
        return Err("other bytes".to_owned());
    }
    let names: Vec<_> = std::fs::read_dir(target.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    if names != ["target"] {
        return Err(format!("left behind: {names:?}"));
    }
    if resume == Resume::Full && fetched.finished.unchecked > 0 {
        return Err(format!("{} bytes not hashed", fetched.finished.unchecked));
    }
    let came = (fetched.from_peers.values().sum::<u64>() / BLOCK) as usize;
    let again = came + there - LEAVES;
    if again > CHECKPOINT {
        return Err(format!("{again} leaves were fetched again, {there} were there"));
    }
    Ok(())
}
