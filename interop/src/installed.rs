//! Where `interop/run` puts the peers: the folder `interop` in cargo's build folder.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::PeerError;

/// The current Kubo's executable.
pub(crate) fn kubo() -> Result<PathBuf, PeerError> {
    existing("Kubo", folder().join("kubo/ipfs"))
}

/// The Python that has the old Kubo's library installed.
pub(crate) fn kubo_old_python() -> Result<PathBuf, PeerError> {
    existing("the old Kubo", folder().join("kubo-old/bin/python"))
}

/// The script that drives the old Kubo.
pub(crate) fn kubo_old_driver() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kubo-old/driver.py")
}

/// The folder that holds Helia's driver and its packages.
pub(crate) fn helia() -> Result<PathBuf, PeerError> {
    let folder = folder().join("helia");
    // npm writes this file last.
    existing("Helia", folder.join("node_modules/.package-lock.json"))?;
    Ok(folder)
}

fn folder() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    target.join("interop")
}

fn existing(peer: &'static str, path: PathBuf) -> Result<PathBuf, PeerError> {
    if path.exists() { Ok(path) } else { Err(PeerError::Missing { peer, path }) }
}
