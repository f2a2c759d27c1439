//! What a node is and may do, whichever command it runs for.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bitswap_node::bitswap_core::Config as EngineConfig;
use bitswap_node::{
    AccessRules, Config, ConnectionLimits, Denylist, IdentityFile, MetricsServer, Node,
    NodeBuilder, PeerId, Rates, Runtime, SwarmKey,
};
use clap::ValueHint;
use clap::builder::{PathBufValueParser, TypedValueParser as _};
use serde_json::json;

use super::rate::parse_rate;
use super::{Command, DhtArgs, WssTrust};
use crate::cid_text::CidPath;
use crate::failure::Failure;
use crate::input::{self, Kind};
use crate::say::Say;

/// What a node is and may do.
#[derive(Debug, clap::Args)]
pub(crate) struct NodeArgs {
    /// A file with the private key that this machine is known by, as Kubo and libp2p encode it; it is made
    /// when there is none. Without it `share` has one in the user's data directory, and the other commands
    /// use a new peer identity each time.
    #[arg(long, value_name = "FILE", help_heading = ACCESS, value_hint = ValueHint::FilePath)]
    pub(crate) identity: Option<PathBuf>,

    /// The key of a private network (Kubo's swarm.key): only machines with the same key are spoken to.
    #[arg(
        long, value_name = "FILE", help_heading = ACCESS, value_hint = ValueHint::FilePath,
        value_parser = PathBufValueParser::new().try_map(swarm_key),
    )]
    swarm_key: Option<SwarmKey>,

    #[command(flatten)]
    wss: WssTrust,

    /// Let nobody have blocks but this peer. May be given several times. Others hear that nothing is here.
    #[arg(long, value_name = "PEER", help_heading = ACCESS, value_parser = peer)]
    allow_peer: Vec<PeerId>,

    /// Let this peer have nothing: it hears that nothing is here. May be given several times.
    #[arg(long, value_name = "PEER", help_heading = ACCESS, value_parser = peer)]
    deny_peer: Vec<PeerId>,

    /// Neither serve nor get what this list denies, in the compact denylist format that Kubo reads too
    /// (IPIP-383). Whoever asks for it hears that it is not here. May be given several times.
    #[arg(long, value_name = "FILE", help_heading = ACCESS, value_hint = ValueHint::FilePath)]
    deny: Vec<PathBuf>,

    /// What is in them. A line may be parsed more than once, and what comes out of a pipe is there only once: an empty
    /// list denies nothing. So they are read afterwards.
    #[arg(skip)]
    denylists: Vec<Arc<Denylist>>,

    /// Send at most so many bytes a second: 500k, 5MiB.
    #[arg(long, value_name = "RATE", help_heading = LIMITS, value_parser = parse_rate)]
    limit_up: Option<u64>,

    /// Send any one machine at most so many bytes a second.
    #[arg(long, value_name = "RATE", help_heading = LIMITS, value_parser = parse_rate)]
    limit_up_per_peer: Option<u64>,

    /// Ask for at most so many bytes a second.
    #[arg(long, value_name = "RATE", help_heading = LIMITS, value_parser = parse_rate)]
    limit_down: Option<u64>,

    /// Ask any one machine for at most so many bytes a second.
    #[arg(long, value_name = "RATE", help_heading = LIMITS, value_parser = parse_rate)]
    limit_down_per_peer: Option<u64>,

    /// Have at most so many connections; beyond, the one of least use is closed. Default: 384, or fewer
    /// if the process may open few files.
    #[arg(long, value_name = "N", help_heading = LIMITS, value_parser = at_least_one())]
    max_connections: Option<u32>,

    /// Have at most so many connections with any one peer. Default: 4.
    #[arg(long, value_name = "N", help_heading = LIMITS, value_parser = at_least_one())]
    max_connections_per_peer: Option<u32>,

    /// Have at most so many connections with any one network (an IPv4 /24 or an IPv6 /56). Default: 192, or
    /// fewer.
    #[arg(long, value_name = "N", help_heading = LIMITS, value_parser = at_least_one())]
    max_connections_per_network: Option<u32>,

    /// Let at most so many machines connect at the same time; beyond, the one that takes longest is dropped.
    /// Default: 128, or fewer.
    #[arg(long, value_name = "N", help_heading = LIMITS, value_parser = at_least_one())]
    max_connecting: Option<u32>,

    /// Serve what is counted there, as OpenMetrics over HTTP, for as long as the command runs: 127.0.0.1:9464, and
    /// port 0 is any free one. Whoever can connect there can read it.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = metrics)]
    metrics: Option<SocketAddr>,
}

/// The groups of the help.
pub(crate) const ACCESS: &str = "Identity and access";
const LIMITS: &str = "Limits";

impl NodeArgs {
    /// Begins a node on a runtime.
    pub(crate) fn builder(
        &self,
        dht: &DhtArgs,
        runtime: &Arc<dyn Runtime>,
    ) -> Result<NodeBuilder, Failure> {
        if self.is_private() && dht.is_public() {
            return Err(Failure::PublicDht);
        }
        let engine = EngineConfig::default().with_rates(self.rates());
        let rules = self.rules();
        let mut builder = Node::builder(runtime.clone())
            .with_config(Config::default().with_engine(engine))
            .with_connection_limits(self.connection_limits())
            .with_access(move |peer, cid| rules.allows(peer, cid));
        for list in &self.denylists {
            builder = builder.with_denylist(list.clone());
        }
        if let Some(dht) = dht.settings() {
            builder = builder.with_dht(dht);
        }
        if let Some(key) = self.swarm_key {
            builder = builder.with_swarm_key(key);
        }
        if let Some(path) = &self.identity {
            builder = builder.with_identity_file(IdentityFile::open(path)?);
        }
        self.wss.give(builder)
    }

    /// Reads the lists of what is denied.
    pub(crate) async fn read_denylists(&mut self, say: &Say) -> Result<(), Failure> {
        for path in std::mem::take(&mut self.deny) {
            let failed = |reason| Failure::Denylist { path: path.clone(), reason };
            let list = input::awaited(path.clone(), say, denylist).await;
            let list = list.map_err(|error| failed(unreadable(&error)))?.map_err(failed)?;
            self.denylists.push(Arc::new(list));
        }
        Ok(())
    }

    /// Serves the counters of a node where the user wants them, until what is returned is dropped.
    pub(crate) async fn serve_metrics(
        &self,
        node: &Node,
        say: &Say,
    ) -> Result<Option<MetricsServer>, Failure> {
        let Some(address) = self.metrics else { return Ok(None) };
        let server = node.metrics().await?.serve(address).await?;
        let url = server.url();
        say.told(format_args!("metrics: {url}"), &json!({"event": "metrics", "url": url}));
        Ok(Some(server))
    }

    /// The same, as somebody new.
    pub(crate) fn without_identity(self) -> Self {
        Self { identity: None, ..self }
    }

    /// Whether it is part of a private network.
    pub(crate) const fn is_private(&self) -> bool {
        self.swarm_key.is_some()
    }

    /// Refuses what a denylist denies.
    pub(crate) fn must_not_be_denied(&self, what: &CidPath) -> Result<(), Failure> {
        let denied = self.denylists.iter().find_map(|list| list.denies(&what.cid, &what.path));
        denied.map_or(Ok(()), |line| Err(Failure::Denied { what: what.to_string(), line }))
    }

    const fn rates(&self) -> Rates {
        Rates {
            upload: self.limit_up,
            upload_per_peer: self.limit_up_per_peer,
            download: self.limit_down,
            download_per_peer: self.limit_down_per_peer,
        }
    }

    fn connection_limits(&self) -> ConnectionLimits {
        let mut limits = ConnectionLimits::of_process();
        for (given, set) in [
            (self.max_connections, ConnectionLimits::with_established as fn(_, _) -> _),
            (self.max_connections_per_peer, ConnectionLimits::with_per_peer),
            (self.max_connections_per_network, ConnectionLimits::with_per_block),
            (self.max_connecting, ConnectionLimits::with_being_set_up),
        ] {
            if let Some(given) = given {
                limits = set(limits, given);
            }
        }
        limits
    }

    fn rules(&self) -> AccessRules {
        let rules = AccessRules::default();
        let rules = self.allow_peer.iter().copied().fold(rules, AccessRules::with_allowed_peer);
        let rules = self.deny_peer.iter().copied().fold(rules, AccessRules::with_denied_peer);
        self.denylists.iter().cloned().fold(rules, AccessRules::with_denylist)
    }
}

impl Command {
    /// What its node is and may do, if it has one that speaks to others.
    pub(crate) const fn node(&mut self) -> Option<&mut NodeArgs> {
        Some(match self {
            Self::Share(share) => &mut share.node,
            Self::Get(get) => &mut get.sources.node,
            Self::Ls(ls) => &mut ls.sources.node,
            Self::Cat(cat) => &mut cat.sources.node,
            Self::Verify(verify) => &mut verify.sources.node,
            Self::Doctor(doctor) => &mut doctor.node,
            Self::Check(check) => &mut check.node,
            Self::Bench(bench) => &mut bench.node,
            Self::Publish(publish) => &mut publish.node,
            Self::Resolve(resolve) => &mut resolve.sources.node,
            Self::Demo(_) | Self::Add(_) | Self::Config(_) | Self::Store(_) | Self::Generate(_) => {
                return None;
            }
        })
    }
}

fn at_least_one() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..)
}

fn metrics(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "it is no address with a port, as 127.0.0.1:9464 or [::1]:9464".to_owned())
}

fn peer(text: &str) -> Result<PeerId, String> {
    let name = text.rsplit('/').next().unwrap_or(text);
    name.parse().map_err(|_| {
        "it is no identity of a peer, which looks like 12D3KooW… and is the last part of an address".to_owned()
    })
}

fn unreadable(error: &io::Error) -> String {
    format!("it cannot be read: {error}")
}

/// Many times what a `swarm.key` has.
const SWARM_KEY_MAX: u64 = 64 << 10;

/// Many times what the longest lists have that are published.
const DENYLIST_MAX: u64 = 256 << 20;

fn swarm_key(path: PathBuf) -> Result<SwarmKey, String> {
    let file = input::read(&path, Kind::File, SWARM_KEY_MAX).map_err(|error| unreadable(&error))?;
    SwarmKey::parse(&file).map_err(|error| error.to_string())
}

fn denylist(path: &Path) -> Result<Denylist, String> {
    let text = input::read_text(path, Kind::FileOrPipe, DENYLIST_MAX);
    let text = text.map_err(|error| unreadable(&error))?;
    text.parse().map_err(|error: bitswap_node::DenylistError| error.to_string())
}
