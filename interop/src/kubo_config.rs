//! How a Kubo daemon is configured before it starts.

use std::{fs, path::Path, time::Duration};

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use serde_json::{Value, json};

use crate::PeerError;

/// The transports that a node listens on, always on loopback and a free port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listen {
    /// TCP with noise and yamux, unless it is told otherwise.
    #[default]
    Tcp,
    /// QUIC version 1.
    Quic,
    /// WebSocket over TCP.
    WebSocket,
    /// TCP and QUIC. Kubo then prefers QUIC to a peer that it once met over QUIC.
    TcpAndQuic,
}

impl Listen {
    pub(crate) fn addrs(self) -> &'static [&'static str] {
        const TCP: &str = "/ip4/127.0.0.1/tcp/0";
        const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";
        const WEBSOCKET: &str = "/ip4/127.0.0.1/tcp/0/ws";
        match self {
            Self::WebSocket => &[WEBSOCKET],
            Self::Tcp => &[TCP],
            Self::Quic => &[QUIC],
            Self::TcpAndQuic => &[TCP, QUIC],
        }
    }
}

/// How a Kubo node is started.
#[derive(Clone, Debug)]
pub struct KuboOptions {
    /// Where it listens.
    pub listen: Listen,
    /// Kubo's configuration profiles, applied after its `test` profile.
    pub profiles: Vec<&'static str>,
    /// Configuration keys, such as `Bitswap.ServerEnabled`, set before the start.
    pub config: Vec<(&'static str, Value)>,
    /// The key of the private network that it is part of, as a `swarm.key` has it.
    pub swarm_key: Option<String>,
    /// An authority's certificate, as PEM: it and no other authority is believed.
    pub authority: Option<String>,
    /// The longest that one command may take.
    pub deadline: Duration,
}

impl Default for KuboOptions {
    fn default() -> Self {
        Self {
            listen: Listen::Tcp,
            profiles: Vec::new(),
            config: Vec::new(),
            swarm_key: None,
            authority: None,
            deadline: Duration::from_secs(120),
        }
    }
}

/// Writes what the `test` profile leaves open into a repository's configuration.
pub(crate) fn configure(path: &Path, options: &KuboOptions) -> Result<(), PeerError> {
    let quiet = [
        ("Routing.Type", json!("none")),
        ("Provide.Enabled", json!(false)),
        ("HTTPRetrieval.Enabled", json!(false)),
        ("Addresses.Swarm", json!(options.listen.addrs())),
    ];
    edit(path, quiet.into_iter().chain(options.config.iter().cloned()))
}

/// Holds a repository to the addresses that its node had.
pub(crate) fn listen_again(
    path: &Path,
    addrs: &[Multiaddr],
    peer: &PeerId,
) -> Result<(), PeerError> {
    let identity = format!("/p2p/{peer}");
    let addrs = addrs.iter().map(|addr| addr.to_string().replace(&identity, "")).collect();
    edit(path, [("Addresses.Swarm", addrs)])
}

fn edit<'a>(
    path: &Path,
    keys: impl IntoIterator<Item = (&'a str, Value)>,
) -> Result<(), PeerError> {
    let text =
        fs::read_to_string(path).map_err(PeerError::io(format!("read {}", path.display())))?;
    let mut config: Value =
        serde_json::from_str(&text).map_err(PeerError::answer("ipfs config", text))?;
    for (key, value) in keys {
        set_key(&mut config, key, value);
    }
    fs::write(path, config.to_string()).map_err(PeerError::io(format!("write {}", path.display())))
}

/// Sets `config["A"]["B"]` for the key `A.B`, making what is missing on the way.
fn set_key(config: &mut Value, key: &str, value: Value) {
    *key.split('.').fold(config, |at, name| &mut at[name]) = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dotted_key_is_set_and_its_parents_are_made() {
        let mut config = json!({"A": {"B": 1, "C": 2}});
        set_key(&mut config, "A.B", json!(false));
        set_key(&mut config, "D.E.F", json!("x"));
        assert_eq!(config, json!({"A": {"B": false, "C": 2}, "D": {"E": {"F": "x"}}}));
    }
}
