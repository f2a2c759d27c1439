//! Which process has a lock file, and whether it still runs.

use std::fmt;
use std::process;

/// Whether an owner still runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Runs,
    Gone,
    /// It cannot be asked from here.
    Unknown,
}

/// A process, by what tells it from all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    /// Where its number means something: machine, boot, name space.
    realm: String,
    pid: u32,
    /// When it began: numbers of processes are used again.
    start: String,
}

impl Owner {
    /// This process.
    pub(super) fn this() -> Self {
        let pid = process::id();
        Self { realm: sys::realm(), pid, start: sys::start(pid).unwrap_or_default() }
    }

    /// Reads what [`fmt::Display`] writes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let (realm, pid) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?);
        Some(Self { realm, pid, start: parts.next()?.to_owned() })
    }

    /// Whether it still runs.
    pub(super) fn state(&self) -> State {
        if self.realm != sys::realm() {
            State::Unknown
        } else if !sys::runs(self.pid) || sys::start(self.pid).unwrap_or_default() != self.start {
            State::Gone
        } else {
            State::Runs
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { realm, pid, start } = self;
        write!(f, "{realm} {pid} {start}")
    }
}

#[cfg(unix)]
mod sys {
    use std::fs;

    use rustix::process::{Pid, test_kill_process};

    /// The machine, its boot and the name space of processes, without spaces.
    pub(super) fn realm() -> String {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        // Only Linux has these; elsewhere the machine alone must do.
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let space = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        let realm = format!("{host}/{}/{}", boot.trim(), space.display());
        realm.replace(char::is_whitespace, "_")
    }

    pub(super) fn runs(pid: u32) -> bool {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        // Not being allowed to signal it says that it is there.
        pid.is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
    }

    /// When a process began, in ticks since the boot. Only Linux tells.
    pub(super) fn start(pid: u32) -> Option<String> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in brackets may hold spaces; the start is the 20th field after it.
        stat.rsplit_once(") ")?.1.split(' ').nth(19).map(ToOwned::to_owned)
    }
}

#[cfg(windows)]
mod sys {
    /// Every process has a realm of its own: none knows about another.
    pub(super) fn realm() -> String {
        format!("process-{}", std::process::id())
    }

    pub(super) fn runs(_: u32) -> bool {
        true
    }

    pub(super) fn start(_: u32) -> Option<String> {
        None
    }
}

#[cfg(all(test, unix))]
impl Owner {
    /// A process of this machine that has ended.
    pub(super) fn gone() -> Self {
        // It has this process's number, and began at another time.
        Self { start: "0".to_owned(), ..Self::this() }
    }

    /// A process of another machine.
    pub(super) fn elsewhere() -> Self {
        Self { realm: "elsewhere//".to_owned(), ..Self::this() }
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_number_and_when_it_began() {
        let this = Owner::this();
        assert_eq!(Owner::parse(&this.to_string()), Some(this.clone()));
        assert_eq!(this.state(), State::Runs);
        assert_eq!(Owner::elsewhere().state(), State::Unknown);
        assert_eq!(Owner::parse("realm"), None);
        assert_eq!(Owner::parse("realm x 7"), None);

        let mut child = process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        let of_child = Owner { pid, start: sys::start(pid).unwrap_or_default(), ..this };
        // Until it is waited for, even a process that has ended has its number.
        assert_eq!(of_child.state(), State::Runs);
        child.wait().unwrap();
        assert_eq!(of_child.state(), State::Gone);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_number_that_is_used_again_is_another_process() {
        assert_eq!(Owner::gone().state(), State::Gone);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn when_a_process_began_is_a_number_of_ticks_and_of_none_it_is_not_told() {
        let ticks = sys::start(process::id()).unwrap();
        assert!(ticks.parse::<u64>().is_ok_and(|ticks| ticks > 0), "{ticks}");
        assert_eq!(sys::start(u32::MAX), None);
    }
}
