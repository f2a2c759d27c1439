//! Who `share` is, so that what it prints is still true after a restart.

use std::fs::DirBuilder;
use std::io;
use std::path::{Path, PathBuf};

use bitswap_node::{ErrorChain, IdentityError, IdentityFile, Multiaddr, PeerId};
use etcetera::BaseStrategy as _;
use libp2p::multiaddr::Protocol;

use crate::failure::Failure;
use crate::say::Say;

/// What follows when there is no identity that lasts.
const FOR_NOW: &str = "a new peer identity is used, and addresses and tickets that are printed hold until this ends. \
                       With --identity FILE it is kept.";

/// The identity in the user's data directory, which is made if need be. `None`, after a note, when another
/// process has it or there is no place for it: sharing as somebody new is better than not sharing.
pub(crate) fn of_user(say: &Say) -> Result<Option<IdentityFile>, Failure> {
    let Some(path) = path_of_user() else {
        say.note(format_args!("This user has no data directory: {FOR_NOW}"));
        return Ok(None);
    };
    let made = path.parent().map_or(Ok(()), make_directory);
    let failed = |source| IdentityError::File { path: path.clone(), source };
    match made.map_err(failed).and_then(|()| IdentityFile::open(&path)) {
        Ok(identity) => Ok(Some(identity)),
        Err(IdentityError::InUse { .. }) => {
            say.note(
                "Another `bitswap share` runs with this user's identity: this one has its own until it ends. \
                 With --identity FILE it keeps one.",
            );
            Ok(None)
        }
        Err(error @ IdentityError::File { .. }) if is_no_place(&error) => {
            say.note(format_args!("{}: {FOR_NOW}", ErrorChain(&error)));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn path_of_user() -> Option<PathBuf> {
    let directories = etcetera::choose_base_strategy().ok()?;
    // On Windows not the one that follows the user to other machines: no two may have one identity.
    let data = if cfg!(windows) { directories.cache_dir() } else { directories.data_dir() };
    Some(data.join("bitswap").join("identity.key"))
}

fn make_directory(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Whether nothing can be written there, whatever there is.
fn is_no_place(error: &IdentityError) -> bool {
    let IdentityError::File { source, .. } = error else { return false };
    matches!(
        source.kind(),
        io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
    )
}

/// The first of the ports that identities prefer, above those that systems give out by themselves.
const PORTS_FROM: u16 = 61_000;

/// An address to listen on, with the port that an identity prefers in place of any port: the same one
/// after every start. `None` for an address that names its port.
pub(crate) fn at_home(address: &Multiaddr, peer: PeerId) -> Option<Multiaddr> {
    // The last bytes of the hash, or of the key itself.
    let bytes = peer.to_bytes();
    let [.., high, low] = bytes[..] else { return None };
    let port = PORTS_FROM + u16::from_be_bytes([high, low]) % (u16::MAX - PORTS_FROM);
    let mut is_any = false;
    let parts = address.iter().map(|part| match part {
        Protocol::Tcp(0) => (Protocol::Tcp(port), true),
        Protocol::Udp(0) => (Protocol::Udp(port), true),
        part => (part, false),
    });
    let address = parts
        .map(|(part, any)| {
            is_any |= any;
            part
        })
        .collect();
    is_any.then_some(address)
}

#[cfg(test)]
mod tests {
    use bitswap_node::Keypair;

    use super::*;

    #[test]
    fn an_identity_has_one_port_and_none_that_was_asked_for_is_changed() {
        let home = |address: &str, peer| at_home(&address.parse().unwrap(), peer);
        let peers: Vec<PeerId> =
            (0..50).map(|_| Keypair::generate_ed25519().public().to_peer_id()).collect();
        let mut ports = std::collections::BTreeSet::new();
        for peer in peers {
            let tcp = home("/ip4/0.0.0.0/tcp/0", peer).unwrap();
            assert_eq!(home("/ip4/0.0.0.0/tcp/0", peer), Some(tcp.clone()));
            let Some(Protocol::Tcp(port)) = tcp.iter().last() else { panic!("{tcp}") };
            assert!(port >= PORTS_FROM);
            let quic = home("/ip6/::/udp/0/quic-v1", peer).unwrap().to_string();
            assert_eq!(quic, format!("/ip6/::/udp/{port}/quic-v1"));
            assert_eq!(home("/ip4/127.0.0.1/tcp/4001", peer), None);
            ports.insert(port);
        }
        assert!(ports.len() > 40, "{ports:?}");
    }
}
