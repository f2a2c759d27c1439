//! The current Kubo: a daemon, driven through its own command line.

use std::{ffi::OsStr, fs, path::Path, path::PathBuf, process::Stdio, time::Duration};

use cid::Cid;
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use serde::{Deserialize, de::DeserializeOwned};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::ChildStdout,
    time::timeout,
};

use crate::{
    AddOptions, KuboOptions, PeerError,
    dag::Dag,
    installed,
    kubo_config::{configure, listen_again},
    process::{Daemon, command, log_tail, output},
};

/// A block over this size is put with a flag, because Kubo asks for one.
const BIG_BLOCK: usize = 2 * 1024 * 1024;

/// A running Kubo daemon: loopback only, no routing, no discovery, no HTTP retrieval, so that Bitswap
/// is the only way in for a block.
#[derive(Debug)]
pub struct Kubo {
    daemon: Daemon,
    program: PathBuf,
    api: String,
    peer: PeerId,
    addrs: Vec<Multiaddr>,
    deadline: Duration,
    home: TempDir,
}

/// What a Kubo node counts of its Bitswap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BitswapStat {
    /// Blocks received, repeats and unwanted ones included.
    pub blocks_received: u64,
    /// Bytes of these blocks.
    pub data_received: u64,
    /// Blocks received that were here already.
    #[serde(rename = "DupBlksReceived")]
    pub duplicate_blocks_received: u64,
    /// Bytes of these blocks.
    #[serde(rename = "DupDataReceived")]
    pub duplicate_data_received: u64,
    /// Messages received.
    pub messages_received: u64,
    /// Blocks sent.
    pub blocks_sent: u64,
    /// Bytes of these blocks.
    pub data_sent: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Id {
    #[serde(rename = "ID")]
    id: String,
    addresses: Vec<Multiaddr>,
}

#[derive(Deserialize)]
struct Link {
    #[serde(rename = "/")]
    cid: String,
}

#[derive(Deserialize)]
struct Wantlist {
    #[serde(rename = "Keys")]
    keys: Option<Vec<Link>>,
}

impl Kubo {
    /// Starts a daemon on an empty repository.
    ///
    /// # Errors
    /// When Kubo is not installed, refuses its configuration, or is not ready in time.
    pub async fn start(options: KuboOptions) -> Result<Self, PeerError> {
        let program = installed::kubo()?;
        let home = tempfile::tempdir().map_err(PeerError::io("create a temporary directory"))?;
        let profiles = [&["test"], options.profiles.as_slice()].concat().join(",");

        let mut init = ipfs(&program, home.path());
        init.args(["init", "--profile", &profiles]);
        output(init, "ipfs init", None, options.deadline).await?;
        configure(&home.path().join("repo/config"), &options)?;
        if let Some(key) = &options.swarm_key {
            let file = home.path().join("repo/swarm.key");
            fs::write(&file, key).map_err(PeerError::io(format!("write {}", file.display())))?;
        }
        if let Some(authority) = &options.authority {
            let file = authority_in(home.path());
            fs::write(&file, authority)
                .map_err(PeerError::io(format!("write {}", file.display())))?;
        }

        Self::run(program, home, options.deadline).await
    }

    /// Kills the daemon, as a power failure would, and starts it again: with the same identity, blocks and
    /// addresses.
    ///
    /// # Errors
    /// When it is not ready again in time.
    pub async fn restart(self) -> Result<Self, PeerError> {
        let Self { mut daemon, program, peer, addrs, deadline, home, .. } = self;
        daemon.kill("ipfs daemon").await?;
        listen_again(&home.path().join("repo/config"), &addrs, &peer)?;
        Self::run(program, home, deadline).await
    }

    /// Runs the daemon on the repository that is there.
    async fn run(program: PathBuf, home: TempDir, deadline: Duration) -> Result<Self, PeerError> {
        let mut daemon = ipfs(&program, home.path());
        daemon.arg("daemon").stdout(Stdio::piped());
        let authority = authority_in(home.path());
        if authority.exists() {
            // Instead of what the system has, in a file or in a folder.
            daemon.env("SSL_CERT_FILE", authority).env("SSL_CERT_DIR", home.path().join("none"));
        }
        let mut daemon = Daemon::start(daemon, "ipfs daemon", home.path().join("log"))?;
        let lines = daemon.take_stdout();
        let ready = timeout(deadline, until_ready(lines))
            .await
            .map_err(|_| PeerError::Deadline { what: "ipfs daemon".to_owned(), limit: deadline })?;
        if !ready {
            return Err(PeerError::Ended {
                what: "ipfs daemon".to_owned(),
                log: log_tail(daemon.log()),
            });
        }

        let api = home.path().join("repo/api");
        let api =
            fs::read_to_string(&api).map_err(PeerError::io(format!("read {}", api.display())))?;
        let mut kubo = Self {
            daemon,
            program,
            api: api.trim().to_owned(),
            peer: PeerId::random(),
            addrs: Vec::new(),
            deadline,
            home,
        };
        let id: Id = kubo.json(&["id"]).await?;
        kubo.peer = id.id.parse().map_err(PeerError::answer("ipfs id", id.id.clone()))?;
        kubo.addrs = id.addresses;
        Ok(kubo)
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

    /// Imports a file or a directory.
    ///
    /// # Errors
    /// When it fails or is late.
    pub async fn add(&self, path: &Path, options: &AddOptions) -> Result<Cid, PeerError> {
        let mut args: Vec<String> = ["add", "--recursive", "--quieter"].map(str::to_owned).into();
        if let Some(version) = options.cid_version {
            args.push(format!("--cid-version={}", u64::from(version)));
        }
        if let Some(size) = options.chunk_size {
            args.push(format!("--chunker=size-{size}"));
        }
        if let Some(raw) = options.raw_leaves {
            args.push(format!("--raw-leaves={raw}"));
        }
        if let Some(links) = options.max_links {
            args.push(format!("--max-file-links={links}"));
        }
        if let Some(hash) = options.hash {
            args.push(format!("--hash={hash}"));
        }
        if options.trickle {
            args.push("--trickle".to_owned());
        }
        if let Some(fanout) = options.hamt_fanout {
            args.push(format!("--max-hamt-fanout={fanout}"));
        }
        let mut args: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
        args.extend([OsStr::new("--"), path.as_os_str()]);
        self.cid(&args, None).await
    }

    /// Stores a block under a codec and a hash, both by their multicodec names.
    ///
    /// # Errors
    /// When Kubo does not know or allow them, or it fails or is late.
    pub async fn block_put(&self, data: &[u8], codec: &str, hash: &str) -> Result<Cid, PeerError> {
        let big = format!("--allow-big-block={}", data.len() > BIG_BLOCK);
        self.cid(&["block", "put", "--cid-codec", codec, "--mhtype", hash, &big], Some(data)).await
    }

    /// A block, fetched if it is not here.
    ///
    /// # Errors
    /// When it fails or is late.
    pub async fn block_get(&self, cid: &Cid) -> Result<Vec<u8>, PeerError> {
        self.ipfs(&["block", "get", &cid.to_string()], None).await
    }

    /// Whether a block is here, without asking anybody.
    ///
    /// # Errors
    /// When the daemon is late or its repository is broken.
    pub async fn has(&self, cid: &Cid) -> Result<bool, PeerError> {
        match self.ipfs(&["block", "stat", "--offline", &cid.to_string()], None).await {
            Ok(_) => Ok(true),
            Err(PeerError::Failed { answer, .. }) if answer.contains("could not find") => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The content of a file, fetched where it is not here: ten leaves at a time.
    ///
    /// # Errors
    /// When it fails or is late.
    pub async fn cat(&self, path: &str) -> Result<Vec<u8>, PeerError> {
        self.ipfs(&["cat", path], None).await
    }

    /// Fetches a file or a directory to `path`.
    ///
    /// # Errors
    /// When it fails or is late.
    pub async fn get(&self, cid: &Cid, path: &Path) -> Result<(), PeerError> {
        let cid = cid.to_string();
        let args = [OsStr::new("get"), OsStr::new("--output"), path.as_os_str(), OsStr::new(&cid)];
        self.ipfs(&args, None).await.map(drop)
    }

    /// Fetches the whole DAG under `cid` and keeps it: 32 blocks at a time.
    ///
    /// # Errors
    /// When it fails or is late.
    pub async fn pin_add(&self, cid: &Cid) -> Result<(), PeerError> {
        self.ipfs(&["pin", "add", &cid.to_string()], None).await.map(drop)
    }

    /// All blocks of a DAG, fetched where they are not here.
    ///
    /// # Errors
    /// When it fails or is late.
    pub async fn dag_export(&self, root: &Cid) -> Result<Dag, PeerError> {
        let args = ["dag", "export", "--progress=false", &root.to_string()];
        let car = self.ipfs(&args, None).await?;
        Dag::from_car(*root, &car).map_err(PeerError::io("read what `ipfs dag export` wrote"))
    }

    /// Connects to a peer.
    ///
    /// # Errors
    /// When it fails or is late.
    pub async fn connect(&self, addr: &Multiaddr) -> Result<(), PeerError> {
        self.ipfs(&["swarm", "connect", &addr.to_string()], None).await.map(drop)
    }

    /// Closes all connections to a peer.
    ///
    /// # Errors
    /// When it fails or is late.
    pub async fn disconnect(&self, peer: &PeerId) -> Result<(), PeerError> {
        self.ipfs(&["swarm", "disconnect", &format!("/p2p/{peer}")], None).await.map(drop)
    }

    /// The connected peers.
    ///
    /// # Errors
    /// When it fails or is late.
    pub async fn peers(&self) -> Result<Vec<PeerId>, PeerError> {
        let lines = self.text(&["swarm", "peers"]).await?;
        let peer = |line: &str| line.rsplit('/').next().and_then(|id| id.parse().ok());
        lines
            .lines()
            .map(|line| peer(line).ok_or(()).map_err(PeerError::answer("ipfs swarm peers", line)))
            .collect()
    }

    /// What it counts of its Bitswap.
    ///
    /// # Errors
    /// When it fails or is late.
    pub async fn bitswap_stat(&self) -> Result<BitswapStat, PeerError> {
        self.json(&["bitswap", "stat"]).await
    }

    /// What `peer` wants of it, or, with `None`, what it wants itself.
    ///
    /// # Errors
    /// When it fails or is late.
    pub async fn bitswap_wantlist(&self, peer: Option<&PeerId>) -> Result<Vec<Cid>, PeerError> {
        let peer = peer.map(PeerId::to_string);
        let mut args = vec!["bitswap", "wantlist"];
        args.extend(peer.iter().flat_map(|peer| ["--peer", peer.as_str()]));
        let wantlist: Wantlist = self.json(&args).await?;
        let links = wantlist.keys.unwrap_or_default();
        links
            .into_iter()
            .map(|link| {
                link.cid
                    .parse()
                    .map_err(PeerError::answer("ipfs bitswap wantlist", link.cid.clone()))
            })
            .collect()
    }

    /// Removes every block that is not pinned.
    ///
    /// # Errors
    /// When it fails or is late.
    pub async fn repo_gc(&self) -> Result<(), PeerError> {
        self.ipfs(&["repo", "gc", "--quiet"], None).await.map(drop)
    }

    /// Runs any other command of Kubo against the daemon and returns what it printed.
    ///
    /// # Errors
    /// When it fails or is late.
    pub async fn ipfs(
        &self,
        args: &[impl AsRef<OsStr>],
        stdin: Option<&[u8]>,
    ) -> Result<Vec<u8>, PeerError> {
        let words: Vec<_> = args.iter().map(|arg| arg.as_ref().to_string_lossy()).collect();
        let what = format!("ipfs {}", words.join(" "));
        let mut command = ipfs(&self.program, self.home.path());
        // Without the address, the command line reads the repository by itself once the daemon is gone.
        command.arg(format!("--api={}", self.api)).args(args);
        output(command, &what, stdin, self.deadline).await
    }

    /// Stops the daemon; one that is only dropped is killed.
    ///
    /// # Errors
    /// When it does not stop in time; then it is killed.
    pub async fn stop(mut self) -> Result<(), PeerError> {
        self.ipfs(&["shutdown"], None).await?;
        let status = self.daemon.ended("ipfs daemon", self.deadline).await?;
        if status.success() {
            Ok(())
        } else {
            Err(PeerError::Ended {
                what: format!("ipfs shutdown ({status})"),
                log: log_tail(self.daemon.log()),
            })
        }
    }

    async fn text(&self, args: &[impl AsRef<OsStr>]) -> Result<String, PeerError> {
        let bytes = self.ipfs(args, None).await?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    async fn json<T: DeserializeOwned>(&self, args: &[&str]) -> Result<T, PeerError> {
        let text = self.text(&[args, &["--encoding=json"]].concat()).await?;
        serde_json::from_str(&text).map_err(PeerError::answer(&args.join(" "), text.clone()))
    }

    async fn cid(
        &self,
        args: &[impl AsRef<OsStr>],
        stdin: Option<&[u8]>,
    ) -> Result<Cid, PeerError> {
        let bytes = self.ipfs(args, stdin).await?;
        let text = String::from_utf8_lossy(&bytes);
        text.trim().parse().map_err(PeerError::answer("ipfs", text))
    }
}

fn authority_in(home: &Path) -> PathBuf {
    home.join("authority.pem")
}

fn ipfs(program: &Path, home: &Path) -> tokio::process::Command {
    let mut command = command(program, home);
    command.env("IPFS_PATH", home.join("repo"));
    command
}

/// Whether the daemon said that it is ready before its output ended. The rest is read and dropped.
async fn until_ready(output: Option<ChildStdout>) -> bool {
    let Some(output) = output else { return false };
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if line == "Daemon is ready" {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return true;
        }
    }
    false
}
