//! `bitswap doctor`

use std::fmt::{self, Write as _};
use std::sync::Arc;

use bitswap_core::ByteSize;
use bitswap_node::{
    ConnectedPeer, Diagnosis, DoctorOptions, Found, Gravity, JournalState, LockState, Runtime,
    TargetReport,
};
use serde_json::json;

use crate::args::{self, DhtArgs};
use crate::failure::Failure;
use crate::plain::Plain;
use crate::resolve;
use crate::say::Say;

pub(crate) async fn run(
    args: args::Doctor,
    runtime: &Arc<dyn Runtime>,
    say: &Say,
) -> Result<(), Failure> {
    let builder = args.node.builder(&DhtArgs::default(), runtime)?;
    let node = args.wss.give(builder, &args.listen)?.start().await?;
    let options = DoctorOptions {
        target: Some(args.target),
        listen: args.listen,
        from: args.from,
        timeout: args.timeout,
    };
    let waiting = || "not every machine given with --from has answered yet".to_owned();
    let looking = async { Ok(node.doctor(options).await?) };
    let diagnosis = resolve::telling(&node, say, waiting, looking).await?;
    node.shutdown().await;
    let is_problem = |finding: &&bitswap_node::Finding| finding.gravity == Gravity::Problem;
    let problems = diagnosis.findings.iter().filter(is_problem).count();
    let object = json!({"event": "doctor", "problems": problems, "report": diagnosis});
    say.result(Text(&diagnosis), &object);
    match problems {
        0 => Ok(()),
        problems => Err(Failure::Unwell { problems }),
    }
}

/// A report for people: what was looked at, and then what is wrong with it.
struct Text<'a>(&'a Diagnosis);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Diagnosis { node, target, listen, from, findings, .. } = self.0;
        writeln!(f, "bitswap   {} on {} {}, {}", node.version, node.os, node.arch, node.runtime)?;
        writeln!(f, "identity  {}", node.peer_id)?;
        for listened in listen {
            match &listened.listens {
                Some(address) => writeln!(f, "listens   {address}")?,
                None => writeln!(f, "listens   not on {}", listened.address)?,
            }
        }
        if let Some(target) = target {
            of_target(f, target)?;
        }
        for reached in from {
            match (&reached.peer, reached.connected_after) {
                (Some(peer), Some(after)) => {
                    write!(f, "from      {} after {} ms", reached.address, after.as_millis())?;
                    writeln!(f, "{}", Spoken(peer))?;
                }
                _ => writeln!(f, "from      {} cannot be reached", reached.address)?,
            }
        }
        for peer in &node.peers {
            let stats = peer.info.bitswap.and_then(|info| info.stats).unwrap_or_default();
            let fetched = stats.fetched;
            writeln!(
                f,
                "peer      {}: {} HAVE, {} DONT_HAVE, {} received, {} sent",
                peer.info.peer,
                fetched.haves,
                fetched.dont_haves,
                ByteSize(fetched.bytes),
                ByteSize(stats.served.bytes),
            )?;
        }
        if node.waiting.blocks > 0 {
            writeln!(f, "wants     {} in flight; {}", node.waiting.blocks, node.waiting)?;
        } else {
            writeln!(f, "wants     none in flight")?;
        }
        for error in &node.errors {
            writeln!(f, "error     {} s ago: {}", error.ago.as_secs(), Plain(&error.message))?;
        }
        for finding in findings {
            let gravity = if finding.gravity == Gravity::Problem { "PROBLEM" } else { "warning" };
            writeln!(f, "{gravity}   {}\n          {}", Plain(&finding.what), finding.next)?;
        }
        write!(f, "{}", if findings.is_empty() { "all is well" } else { "that is all" })
    }
}

/// What a peer is and speaks.
struct Spoken<'a>(&'a ConnectedPeer);

impl fmt::Display for Spoken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(identified) = &self.0.identified else { return Ok(()) };
        write!(f, ", {}", Plain(&identified.agent))?;
        let speaks = identified.protocols.iter().filter(|protocol| protocol.contains("bitswap"));
        for (at, protocol) in speaks.enumerate() {
            write!(f, "{} {}", if at == 0 { ", speaks" } else { "," }, Plain(protocol))?;
        }
        Ok(())
    }
}

fn of_target(f: &mut fmt::Formatter<'_>, target: &TargetReport) -> fmt::Result {
    let is = match target.found {
        Found::Nothing => "nothing is there",
        Found::File(_) => "a file is there",
        Found::Directory => "a folder is there",
        Found::Link => "a symbolic link is there",
        _ => "something else is there",
    };
    let path = target.path.display().to_string();
    writeln!(f, "target    {} ({} characters): {is}", Plain(&path), target.path_len)?;
    let mut place = String::new();
    if let Some(kind) = &target.file_system {
        write!(place, ", {kind}")?;
    }
    if let Some(space) = target.free_space {
        write!(place, ", {} free", ByteSize(space))?;
    }
    if let Some(permissions) = target.permissions {
        write!(place, ", permissions {permissions:o}")?;
    }
    if target.is_network {
        place.push_str(", on another machine");
    }
    if let Some(program) = target.synced_by {
        write!(place, ", synchronized by {program}")?;
    }
    let directory = target.directory.display().to_string();
    writeln!(f, "in        {}{place}", Plain(&directory))?;
    let journal = match &target.journal {
        JournalState::Missing => "no journal".to_owned(),
        JournalState::OfFile { root, have, size } => {
            format!("journal of {root}: {} of {}", ByteSize(*have), ByteSize(*size))
        }
        JournalState::OfTree { root, files } => {
            format!("journal of {root}: {files} large files under way")
        }
        _ => "a journal that cannot be read".to_owned(),
    };
    let part = match target.part {
        Some(bytes) => format!("{} of an interrupted get", ByteSize(bytes)),
        None if target.has_work_directory => "a folder of an interrupted get".to_owned(),
        None => "no interrupted get".to_owned(),
    };
    let lock = match target.lock {
        LockState::Free => "not locked",
        LockState::Held => "locked by a running process",
        LockState::Stale => "locked by a process that has ended",
        LockState::Unknown if target.lock_error.is_some() => "whether locked cannot be seen",
        _ => "perhaps locked by another machine",
    };
    writeln!(f, "state     {part}, {journal}, {lock}")
}
