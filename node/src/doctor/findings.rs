//! What of a report is wrong, and what to do about it.

use bitswap_core::{ByteSize, ProtocolSupport};

use super::{JournalState, Listened, Reached, TargetReport};
use crate::fs::LockState;

/// Less free space than this is none, in bytes.
const SPACE_MIN: u64 = 1 << 20;
/// The longest path that programs of Windows take unless they ask for more, in UTF-16 code units.
const WINDOWS_PATH_MAX: usize = 259;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum Gravity {
    /// It may matter.
    Warning,
    /// Nothing can be fetched like this.
    Problem,
}

/// Something that is wrong, or may be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub gravity: Gravity,
    /// What it is.
    pub what: String,
    /// What to do about it.
    pub next: &'static str,
}

pub(super) fn of(
    target: Option<&TargetReport>,
    listen: &[Listened],
    from: &[Reached],
) -> Vec<Finding> {
    let mut found = Vec::new();
    for error in listen.iter().filter_map(|listened| listened.error.as_ref()) {
        // The error itself says what to choose instead.
        found.push(problem(error.clone(), "Listen on another address or port."));
    }
    for reached in from {
        of_peer(reached, &mut found);
    }
    if let Some(target) = target {
        of_target(target, &mut found);
    }
    found
}

fn problem(what: String, next: &'static str) -> Finding {
    Finding { gravity: Gravity::Problem, what, next }
}

fn warning(what: String, next: &'static str) -> Finding {
    Finding { gravity: Gravity::Warning, what, next }
}

fn of_peer(reached: &Reached, found: &mut Vec<Finding>) {
    if let Some(error) = &reached.error {
        let next = "Check that `bitswap share` still runs there, and that the address is right.";
        found.push(problem(error.clone(), next));
        return;
    }
    let Some(peer) = &reached.peer else { return };
    let stats = peer.info.bitswap.and_then(|info| info.stats);
    match stats.map(|stats| stats.support) {
        Some(ProtocolSupport::No) | None => found.push(problem(
            format!("{} does not speak Bitswap", reached.address),
            "Give the address of `bitswap share` or of an IPFS node.",
        )),
        Some(ProtocolSupport::Unknown) if peer.identified.is_none() => found.push(warning(
            format!("{} has not said what it speaks", reached.address),
            "See with `bitswap check` whether it answers.",
        )),
        Some(_) => {}
    }
}

fn of_target(target: &TargetReport, found: &mut Vec<Finding>) {
    let directory = target.directory.display();
    if let Some(fault) = &target.name_fault {
        found.push(problem(fault.clone(), "Choose another name with `-o`."));
    } else if target.is_name_too_long() {
        let unit = if cfg!(windows) { "characters" } else { "bytes" };
        let what =
            format!("the name has {} {unit}, and most file systems take 255", target.name_len);
        found.push(problem(what, "Choose a shorter name with `-o`."));
    } else if let Some(fault) = &target.portable_fault {
        found.push(warning(
            format!("another system does not take the name: {fault}"),
            "Choose another name if the file is to go there too.",
        ));
    }
    for what in &target.in_the_way {
        found.push(problem(what.clone(), "Move it away, or choose another name with `-o`."));
    }
    if cfg!(windows) && target.path_len > WINDOWS_PATH_MAX {
        let what =
            format!("the path has {} characters, and many programs take 259", target.path_len);
        found.push(warning(what, "Choose a shorter path."));
    }
    if !target.directory_exists {
        if !target.in_the_way.is_empty() {
            return;
        }
        found.push(problem(format!("there is no directory {directory}"), "Make it first."));
        return;
    }
    if let Some(error) = &target.write_error {
        let what = format!("no file can be made in {directory}: {error}");
        found.push(problem(what, "Change its permissions, or choose another directory."));
    }
    if let Some(space) = target.free_space.filter(|space| *space < SPACE_MIN) {
        let what = format!("only {} are free in {directory}", ByteSize(space));
        found.push(problem(what, "Free some space, or choose another disk."));
    }
    if target.is_network {
        found.push(warning(
            format!("{directory} is on another machine"),
            "If a fetch is slow or fails there, fetch to a local disk and copy.",
        ));
    }
    if let Some(program) = target.synced_by {
        found.push(warning(
            format!("{directory} is synchronized by {program}, which may hold files while they are written"),
            "Fetch to another directory and move the finished file.",
        ));
    }
    if target.has_locks == Some(false) {
        found.push(warning(
            format!("files in {directory} cannot be locked; a lock file is made instead"),
            "Remove that file by hand if a fetch is killed on another machine.",
        ));
    }
    match target.lock {
        // Nobody can be told to remove what cannot even be seen; what keeps it from being seen is mostly told above.
        LockState::Unknown if target.lock_error.is_some() => {
            if let Some(error) = &target.lock_error
                && found.iter().all(|finding| finding.gravity != Gravity::Problem)
            {
                let path = target.path.display();
                found.push(problem(
                    format!("whether a fetch to {path} runs cannot be seen: {error}"),
                    "Change the permissions of its lock file, or choose another name.",
                ));
            }
        }
        LockState::Unknown if !target.in_the_way.is_empty() => {}
        LockState::Held => found.push(warning(
            format!("another process is fetching to {} now", target.path.display()),
            "Wait for its end, or fetch to another name.",
        )),
        LockState::Unknown => found.push(problem(
            format!("{} may be locked by another machine", target.path.display()),
            "Remove its lock file if no fetch to it runs anywhere.",
        )),
        LockState::Free | LockState::Stale => {}
    }
    if target.journal == JournalState::Unreadable {
        found.push(warning(
            "the journal of the interrupted fetch cannot be read".to_owned(),
            "Run the same `bitswap get` again: what is there is compared, and kept where it is right.",
        ));
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use bitswap_core::PeerStats;
    use libp2p::{Multiaddr, PeerId};

    use super::*;
    use crate::doctor::Found;
    use crate::node::{ConnectedPeer, Identified, PeerInfo};

    /// A place with which nothing is wrong.
    fn place() -> TargetReport {
        TargetReport {
            path: PathBuf::from("/d/name"),
            path_len: 7,
            name_len: 4,
            name_fault: None,
            portable_fault: None,
            found: Found::Nothing,
            in_the_way: Vec::new(),
            directory: PathBuf::from("/d"),
            directory_exists: true,
            file_system: None,
            is_network: false,
            synced_by: None,
            free_space: Some(SPACE_MIN),
            permissions: None,
            write_error: None,
            has_locks: Some(true),
            part: None,
            has_work_directory: false,
            journal: JournalState::Missing,
            lock: LockState::Free,
            lock_error: None,
        }
    }

    /// What is found of a place with which this is wrong: how bad each is, and its first words.
    fn found(change: impl FnOnce(&mut TargetReport)) -> Vec<(Gravity, String)> {
        let mut place = place();
        change(&mut place);
        let found = of(Some(&place), &[], &[]);
        found.into_iter().map(|finding| (finding.gravity, finding.what)).collect()
    }

    fn one(change: impl FnOnce(&mut TargetReport)) -> (Gravity, String) {
        let mut found = found(change);
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    #[test]
    fn each_thing_that_is_wrong_with_a_place_is_told_once() {
        use Gravity::{Problem, Warning};
        assert_eq!(found(|_| {}), []);
        let is = |found: (Gravity, String), gravity, what: &str| {
            assert!(found.0 == gravity && found.1.contains(what), "{found:?}, not {what}");
        };
        is(one(|it| it.name_fault = Some("bad".into())), Problem, "bad");
        is(one(|it| it.name_len = 256), Problem, "the name has 256");
        assert_eq!(found(|it| it.name_len = 255), []);
        is(one(|it| it.portable_fault = Some("worse".into())), Warning, "worse");
        is(one(|it| it.in_the_way = vec!["a pipe".into()]), Problem, "a pipe");
        is(one(|it| it.directory_exists = false), Problem, "no directory /d");
        is(one(|it| it.write_error = Some("denied".into())), Problem, "denied");
        is(one(|it| it.free_space = Some(SPACE_MIN - 1)), Problem, "free in /d");
        assert_eq!(found(|it| it.free_space = None), []);
        is(one(|it| it.is_network = true), Warning, "another machine");
        is(one(|it| it.synced_by = Some("a cloud")), Warning, "a cloud");
        is(one(|it| it.has_locks = Some(false)), Warning, "cannot be locked");
        assert_eq!(found(|it| it.has_locks = None), []);
        is(one(|it| it.lock = LockState::Held), Warning, "another process");
        assert_eq!(found(|it| it.lock = LockState::Stale), []);
        is(one(|it| it.lock = LockState::Unknown), Problem, "may be locked by another machine");
        is(one(|it| it.journal = JournalState::Unreadable), Warning, "the journal");
    }

    #[test]
    fn what_follows_from_another_thing_is_not_told_beside_it() {
        // A directory that is missing because of what stands in its place.
        let (_, what) = one(|it| {
            it.directory_exists = false;
            it.in_the_way = vec!["a pipe".into()];
        });
        assert_eq!(what, "a pipe");
        let (_, what) = one(|it| {
            it.lock = LockState::Unknown;
            it.in_the_way = vec!["a pipe".into()];
        });
        assert_eq!(what, "a pipe");
        // A name that no file can have is told without its length.
        let (_, what) = one(|it| {
            it.name_fault = Some("bad".into());
            it.name_len = 999;
            it.portable_fault = Some("worse".into());
        });
        assert_eq!(what, "bad");
        let unseen = |it: &mut TargetReport| {
            it.lock = LockState::Unknown;
            it.lock_error = Some("denied".into());
        };
        let (gravity, what) = one(unseen);
        assert!(gravity == Gravity::Problem && what.contains("cannot be seen: denied"), "{what}");
        let (_, what) = one(|it| {
            unseen(it);
            it.write_error = Some("read-only".into());
        });
        assert!(what.contains("read-only"), "{what}");
        // A warning is no reason for it.
        assert_eq!(
            found(|it| {
                unseen(it);
                it.is_network = true;
            })
            .len(),
            2
        );
    }

    #[test]
    fn a_peer_that_cannot_serve_is_told() {
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/80".parse().unwrap();
        let reached = |bitswap, identified| Reached {
            address: address.clone(),
            peer: Some(ConnectedPeer {
                info: PeerInfo { peer: PeerId::random(), bitswap },
                identified,
            }),
            connected_after: None,
            error: None,
        };
        let of_peer = |reached: Reached| {
            let found = of(None, &[], &[reached]);
            found.into_iter().map(|finding| (finding.gravity, finding.what)).collect::<Vec<_>>()
        };
        let none = of_peer(reached(None, None));
        assert!(none[0].0 == Gravity::Problem && none[0].1.ends_with("does not speak Bitswap"));
        let failed = Reached { error: Some("refused".into()), ..reached(None, None) };
        assert_eq!(of_peer(failed), [(Gravity::Problem, "refused".to_owned())]);
        assert_eq!(of_peer(Reached { peer: None, ..reached(None, None) }), []);
        let listened = |error: Option<&str>| Listened {
            address: address.clone(),
            listens: None,
            error: error.map(str::to_owned),
        };
        let found = of(None, &[listened(None), listened(Some("in use"))], &[]);
        assert_eq!(
            (found.len(), found[0].gravity, &found[0].what[..]),
            (1, Gravity::Problem, "in use")
        );
        let spoken = |support, identified: Option<Identified>| {
            let (mut info, mut stats) = (bitswap_libp2p::PeerInfo::default(), PeerStats::default());
            stats.support = support;
            info.stats = Some(stats);
            of_peer(reached(Some(info), identified))
        };
        let known = Some(Identified::default());
        assert_eq!(spoken(ProtocolSupport::No, known.clone())[0].0, Gravity::Problem);
        assert_eq!(spoken(ProtocolSupport::Unknown, known), []);
        assert_eq!(spoken(ProtocolSupport::Yes, None), []);
        let silent = spoken(ProtocolSupport::Unknown, None);
        assert!(silent[0].0 == Gravity::Warning && silent[0].1.contains("has not said"));
    }
}
