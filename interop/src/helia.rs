//! Helia, the JavaScript implementation, on Node.

use std::{path::Path, time::Duration};

use cid::{
    Cid,
    multibase::{self, Base},
};
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{AddOptions, PeerError, Profile, installed, process::command, requests::Requests};

/// How a Helia node is started.
#[derive(Clone, Debug)]
pub struct HeliaOptions {
    /// The longest that one command may take.
    pub deadline: Duration,
}

impl Default for HeliaOptions {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(120) }
    }
}

/// A running Helia node: TCP on loopback, blocks in memory, Bitswap the only way in for a block.
#[derive(Debug)]
pub struct Helia {
    requests: Requests,
    peer: PeerId,
    addrs: Vec<Multiaddr>,
    deadline: Duration,
    home: TempDir,
}

/// What a Helia node has and has sent.
///
/// Helia 7 does not count what it receives. In a node that added nothing itself, what is stored is
/// what was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeliaStat {
    /// Blocks in its store.
    pub blocks_stored: u64,
    /// Bytes of these blocks.
    pub bytes_stored: u64,
    /// Blocks sent over Bitswap, repeats included.
    pub blocks_sent: u64,
    /// Bytes of these blocks.
    pub bytes_sent: u64,
}

#[derive(Deserialize)]
struct Started {
    peer: PeerIdText,
    addrs: Vec<Multiaddr>,
}

#[derive(Deserialize)]
struct PeerIdText(String);

impl PeerIdText {
    fn parse(self) -> Result<PeerId, PeerError> {
        self.0.parse().map_err(PeerError::answer("helia", self.0.clone()))
    }
}

impl Helia {
    /// Starts a node with an empty store.
    ///
    /// # Errors
    /// When Helia is not installed or does not start in time.
    pub async fn start(options: HeliaOptions) -> Result<Self, PeerError> {
        let folder = installed::helia()?;
        let home = tempfile::tempdir().map_err(PeerError::io("create a temporary directory"))?;
        let mut command = command(Path::new("node"), home.path());
        command.current_dir(folder).args(["--import", "./polyfill.js", "driver.js"]);
        let requests = Requests::start(command, "helia", home.path().join("log"))?;
        let started: Started = requests.ask("start", json!({}), options.deadline).await?;
        Ok(Self {
            requests,
            peer: started.peer.parse()?,
            addrs: started.addrs,
            deadline: options.deadline,
            home,
        })
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

    /// Imports a file. With no options given, `unixfs-v1-2025`.
    ///
    /// # Errors
    /// When the options are not Helia's, or it fails or is late.
    pub async fn add(&self, path: &Path, options: &AddOptions) -> Result<Cid, PeerError> {
        if options.hash.is_some() || options.trickle || options.hamt_fanout.is_some() {
            return Err(PeerError::Failed {
                what: format!("helia add {}", path.display()),
                answer: format!("Helia's driver knows no hash, trickle or fan-out: {options:?}"),
            });
        }
        let fields = json!({
            "path": path,
            "profile": Profile::UnixfsV1_2025.name(),
            "cidVersion": options.cid_version.map(u64::from),
            "rawLeaves": options.raw_leaves,
            "chunkSize": options.chunk_size,
            "fanout": options.max_links,
        });
        self.ask_cid("add", fields).await
    }

    /// Imports a file by a profile that Helia itself knows by name.
    ///
    /// # Errors
    /// When it fails or is late.
    pub async fn add_by_profile(&self, path: &Path, profile: Profile) -> Result<Cid, PeerError> {
        self.ask_cid("add", json!({ "path": path, "profile": profile.name() })).await
    }

    /// Imports a folder without links by a profile that Helia itself knows by name.
    ///
    /// # Errors
    /// When it fails or is late.
    pub async fn add_tree(&self, path: &Path, profile: Profile) -> Result<Cid, PeerError> {
        self.ask_cid("addTree", json!({ "path": path, "profile": profile.name() })).await
    }

    /// Stores a block as it is; Helia does not check that the bytes hash to the CID.
    ///
    /// # Errors
    /// When it fails or is late.
    pub async fn block_put(&self, cid: &Cid, data: &[u8]) -> Result<(), PeerError> {
        let data = Base::Base64Pad.encode(data);
        self.ask("blockPut", json!({ "cid": cid.to_string(), "data": data })).await
    }

    /// A block, fetched if it is not here.
    ///
    /// # Errors
    /// When it fails or is late.
    pub async fn block_get(&self, cid: &Cid) -> Result<Vec<u8>, PeerError> {
        let data: String = self.ask("blockGet", json!({ "cid": cid.to_string() })).await?;
        // "M" is multibase's letter for padded base 64.
        let (_, data) = multibase::decode(format!("M{data}"))
            .map_err(PeerError::answer("helia blockGet", data))?;
        Ok(data)
    }

    /// Whether a block is here, without asking anybody.
    ///
    /// # Errors
    /// When it fails or is late.
    pub async fn has(&self, cid: &Cid) -> Result<bool, PeerError> {
        self.ask("has", json!({ "cid": cid.to_string() })).await
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

    /// Closes all connections to a peer.
    ///
    /// # Errors
    /// When it fails or is late.
    pub async fn disconnect(&self, peer: &PeerId) -> Result<(), PeerError> {
        self.ask("disconnect", json!({ "peer": peer.to_string() })).await
    }

    /// The connected peers.
    ///
    /// # Errors
    /// When it fails or is late.
    pub async fn peers(&self) -> Result<Vec<PeerId>, PeerError> {
        let peers: Vec<PeerIdText> = self.ask("peers", json!({})).await?;
        peers.into_iter().map(PeerIdText::parse).collect()
    }

    /// Open streams of Bitswap that a peer has opened to it.
    ///
    /// # Errors
    /// When it fails or is late.
    pub async fn bitswap_streams(&self, peer: &PeerId) -> Result<u64, PeerError> {
        self.ask("bitswapStreams", json!({ "peer": peer.to_string() })).await
    }

    /// What it has stored and sent.
    ///
    /// # Errors
    /// When it fails or is late.
    pub async fn stat(&self) -> Result<HeliaStat, PeerError> {
        self.ask("stat", json!({})).await
    }

    /// Stops the node; a node that is only dropped is killed.
    ///
    /// # Errors
    /// When it does not stop in time; then it is killed.
    pub async fn stop(self) -> Result<(), PeerError> {
        self.requests.stop(self.deadline).await
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
        fields: Value,
    ) -> Result<T, PeerError> {
        self.requests.ask(name, fields, self.deadline).await
    }

    async fn ask_cid(&self, name: &str, fields: Value) -> Result<Cid, PeerError> {
        let text: String = self.ask(name, fields).await?;
        text.parse().map_err(PeerError::answer("helia add", text.clone()))
    }
}
