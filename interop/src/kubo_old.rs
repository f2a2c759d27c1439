//! Kubo 0.22: an old release, as a library in a Python process.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use cid::{Cid, multibase::Base};
use libp2p_identity::{Keypair, PeerId};
use multiaddr::Multiaddr;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::{Listen, PeerError, installed, process::command, requests::Requests};

/// The kind of key that a node has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Identity {
    /// Ed25519, as today's nodes.
    #[default]
    Ed25519,
    /// RSA with 2048 bits, as old nodes: its peer id is a hash and starts with `Qm`.
    Rsa,
}

/// How an old Kubo is started.
#[derive(Clone, Debug)]
pub struct KuboOldOptions {
    /// Where it listens.
    pub listen: Listen,
    /// The kind of key that it has.
    pub identity: Identity,
    /// Configuration keys, set before the start.
    pub config: Vec<(&'static str, Value)>,
    /// Blocks that it has from the start: the only way to give it what its `add` cannot make.
    pub blocks: Vec<(Cid, Vec<u8>)>,
    /// The longest that one command may take.
    pub deadline: Duration,
}

impl Default for KuboOldOptions {
    fn default() -> Self {
        Self {
            listen: Listen::Tcp,
            identity: Identity::Ed25519,
            config: Vec::new(),
            blocks: Vec::new(),
            deadline: Duration::from_secs(120),
        }
    }
}

/// A running Kubo 0.22. It has no command line and counts nothing; what it has is told by its store.
#[derive(Debug)]
pub struct KuboOld {
    requests: Requests,
    peer: PeerId,
    addrs: Vec<Multiaddr>,
    deadline: Duration,
    home: TempDir,
}

#[derive(Deserialize)]
struct Started {
    peer: String,
    addrs: Vec<Multiaddr>,
}

impl KuboOld {
    /// Starts a node on a fresh repository.
    ///
    /// # Errors
    /// When it is not installed, refuses its configuration, or is not ready in time.
    pub async fn start(options: KuboOldOptions) -> Result<Self, PeerError> {
        let python = installed::kubo_old_python()?;
        let home = tempfile::tempdir().map_err(PeerError::io("create a temporary directory"))?;
        let repo = home.path().join("repo");
        let mut command = command(&python, home.path());
        command.env("GOLOG_LOG_LEVEL", "error").arg(installed::kubo_old_driver());
        let requests = Requests::start(command, "kubo-old", home.path().join("log"))?;

        let create = json!({
            "repo": repo,
            "swarm": options.listen.addrs(),
            "identity": identity(options.identity),
            "config": options.config.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>(),
        });
        let () = requests.ask("create", create, options.deadline).await?;
        for (cid, data) in &options.blocks {
            store(&repo, cid, data)?;
        }
        let started: Started = requests.ask("run", json!({}), options.deadline).await?;
        let peer = started
            .peer
            .parse()
            .map_err(PeerError::answer("kubo-old run", started.peer.clone()))?;
        Ok(Self { requests, peer, addrs: started.addrs, deadline: options.deadline, home })
    }

    /// The node's peer id.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.peer
    }

    /// Where it listens; each address ends with its peer id.
    #[must_use]
    pub fn addrs(&self) -> &[Multiaddr] {
        &self.addrs
    }

    /// Its temporary directory, gone when the node is.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Imports a file: always CIDv0, dag-pb leaves and chunks of 256 KiB.
    ///
    /// # Errors
    /// When it fails or is late.
    pub async fn add(&self, path: &Path) -> Result<Cid, PeerError> {
        let text: String = self.ask("add", json!({ "path": path })).await?;
        text.parse().map_err(PeerError::answer("kubo-old add", text.clone()))
    }

    /// Whether a block is in its store.
    #[must_use]
    pub fn has(&self, cid: &Cid) -> bool {
        block_path(&self.home.path().join("repo"), cid).exists()
    }

    /// Fetches a file or a directory to `path`.
    ///
    /// # Errors
    /// When it fails or is late.
    pub async fn get(&self, cid: &Cid, path: &Path) -> Result<(), PeerError> {
        self.ask("get", json!({ "cid": cid.to_string(), "path": path })).await
    }

    /// Fetches the whole DAG under `cid` and keeps it.
    ///
    /// # Errors
    /// When it fails or is late.
    pub async fn pin_add(&self, cid: &Cid) -> Result<(), PeerError> {
        self.ask("pin", json!({ "cid": cid.to_string() })).await
    }

    /// Connects to a peer.
    ///
    /// # Errors
    /// When it fails or is late.
    pub async fn connect(&self, addr: &Multiaddr) -> Result<(), PeerError> {
        self.ask("connect", json!({ "addr": addr })).await
    }

    /// The connected peers.
    ///
    /// # Errors
    /// When it fails or is late.
    pub async fn peers(&self) -> Result<Vec<PeerId>, PeerError> {
        let peers: Vec<String> = self.ask("peers", json!({})).await?;
        peers
            .into_iter()
            .map(|peer| peer.parse().map_err(PeerError::answer("kubo-old peers", peer.clone())))
            .collect()
    }

    /// Stops the node; one that is only dropped is killed.
    ///
    /// # Errors
    /// When it does not stop in time; then it is killed.
    pub async fn stop(self) -> Result<(), PeerError> {
        self.requests.stop(self.deadline).await
    }

    async fn ask<T: DeserializeOwned>(&self, name: &str, fields: Value) -> Result<T, PeerError> {
        self.requests.ask(name, fields, self.deadline).await
    }
}

/// The key to put into the configuration; none means the RSA key that each new repository gets.
fn identity(kind: Identity) -> Option<Value> {
    match kind {
        Identity::Rsa => None,
        Identity::Ed25519 => {
            let key = Keypair::generate_ed25519();
            let bytes = key.to_protobuf_encoding().ok()?;
            let peer = key.public().to_peer_id().to_string();
            Some(json!({ "peer": peer, "key": Base::Base64Pad.encode(bytes) }))
        }
    }
}

/// Writes a block where Kubo's store will look for it.
fn store(repo: &Path, cid: &Cid, data: &[u8]) -> Result<(), PeerError> {
    const SHARDING: &str = "/repo/flatfs/shard/v1/next-to-last/2\n";
    let path = block_path(repo, cid);
    let write = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        // Without this file the store takes a folder that has something in it for a foreign one.
        fs::write(repo.join("blocks/SHARDING"), SHARDING)?;
        fs::write(&path, data)
    };
    write().map_err(PeerError::io(format!("write {}", path.display())))
}

/// The file of a block: named by its multihash, in a folder named by the two letters before the last.
fn block_path(repo: &Path, cid: &Cid) -> PathBuf {
    let name = Base::Base32Upper.encode(cid.hash().to_bytes());
    let shard = &name[name.len() - 3..name.len() - 1];
    repo.join("blocks").join(shard).join(format!("{name}.data"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_stored_under_its_multihash() {
        // The empty directory, a block that every Kubo repository has.
        let cid: Cid = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn".parse().unwrap();
        let name = "X3/CIQFTFEEHEDF6KLBT32BFAGLXEZL4UWFNWM4LFTLMXQBCERZ6CMLX3Y.data";
        assert_eq!(block_path(Path::new("r"), &cid), Path::new("r/blocks").join(name));
    }
}
