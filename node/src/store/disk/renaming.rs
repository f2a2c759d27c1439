//! How a block gets its name.

use std::io;
use std::path::Path;
use std::time::Duration;

use bitswap_core::chunk::RenameRetry;

/// The waits between the tries of a rename that is refused for a while: a second in all, for which a thread of
/// the blocking pool waits.
pub(super) const WAITS_MS: [u64; 6] = [10, 30, 60, 100, 300, 500];

/// How a block gets its name.
pub(super) struct Renaming<'a> {
    pub(super) rename: &'a dyn Fn(&Path, &Path) -> io::Result<()>,
    pub(super) retry: RenameRetry,
    pub(super) wait: &'a dyn Fn(Duration),
}

pub(super) enum Renamed {
    Now,
    /// Another put was quicker.
    Before,
}

impl Renaming<'_> {
    /// Renames. On Windows a block that is being read cannot be replaced, and a file that was just written
    /// may be held by a virus scanner: the first needs nothing more, the second is tried again.
    pub(super) fn rename(
        &self,
        new: &Path,
        path: &Path,
        is_there: impl Fn() -> bool,
    ) -> io::Result<Renamed> {
        let mut waits = WAITS_MS.into_iter().map(Duration::from_millis);
        loop {
            let Err(error) = (self.rename)(new, path) else { return Ok(Renamed::Now) };
            if is_there() {
                return Ok(Renamed::Before);
            }
            let passes = error.raw_os_error().is_some_and(|code| self.retry.codes.contains(&code));
            let Some(wait) = waits.next().filter(|_| passes) else { return Err(error) };
            (self.wait)(wait);
        }
    }
}
