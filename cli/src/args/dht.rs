//! The part that a command takes in a DHT.

use bitswap_node::Dht;
use clap::ValueEnum;
use libp2p::Multiaddr;

use crate::address_text;

/// Where to find machines, and be found, beyond the local network.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct DhtArgs {
    /// Find machines, and be found by them, in a DHT: that of the public IPFS network, unless --bootstrap
    /// says otherwise. `--dht=server` also answers for the DHT: for machines that all others can reach.
    #[arg(long, value_enum, value_name = "ROLE", num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    dht: Option<DhtRole>,

    /// A machine of the DHT to begin with, instead of those of the public network; turns --dht on. `none`:
    /// begin with nobody, and wait for others. May be given several times.
    #[arg(long, value_name = "MULTIADDR", value_parser = bootstrap)]
    bootstrap: Vec<Bootstrap>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DhtRole {
    /// Ask only.
    Client,
    /// Answer too.
    Server,
}

#[derive(Clone, Debug)]
enum Bootstrap {
    None,
    Peer(Multiaddr),
}

fn bootstrap(text: &str) -> Result<Bootstrap, String> {
    if text == "none" {
        return Ok(Bootstrap::None);
    }
    address_text::parse(text).map(Bootstrap::Peer)
}

/// Peers that the public IPFS network is entered by.
const PUBLIC: [&str; 4] = [
    "/dnsaddr/bootstrap.libp2p.io/p2p/QmNnooDu7bfjPFoTZYxMNLWUQJyrVwtbZg5gBMjTezGAJN",
    "/dnsaddr/bootstrap.libp2p.io/p2p/QmQCU2EcMqAqQPR2i9bChDtGNJchTbq5TbXJJ16u19uLTa",
    "/dnsaddr/bootstrap.libp2p.io/p2p/QmbLHAnMoJPWSCR5Zhtx6BHJX9KiKNN6tpvbUcqanj75Nb",
    "/dnsaddr/bootstrap.libp2p.io/p2p/QmcZf59bWwK5XFi76CZX8cbJ4BhTzzA3gU1ZjYZcYW3dwt",
];

impl DhtArgs {
    /// Whether it is that of the public network.
    pub(crate) const fn is_public(&self) -> bool {
        self.dht.is_some() && self.bootstrap.is_empty()
    }

    /// The part that the node takes in a DHT, if any.
    pub(crate) fn settings(&self) -> Option<Dht> {
        let dht = match self.dht {
            None if self.bootstrap.is_empty() => return None,
            None | Some(DhtRole::Client) => Dht::client(),
            Some(DhtRole::Server) => Dht::server(),
        };
        Some(if self.bootstrap.is_empty() {
            PUBLIC.iter().filter_map(|address| address.parse().ok()).fold(dht, Dht::with_bootstrap)
        } else {
            let named = self.bootstrap.iter().filter_map(|bootstrap| match bootstrap {
                Bootstrap::None => None,
                Bootstrap::Peer(address) => Some(address.clone()),
            });
            named.fold(dht, Dht::with_bootstrap)
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use libp2p::multiaddr::Protocol;

    use super::*;
    use crate::args::{Args, Command};

    #[test]
    fn the_public_network_can_be_entered() {
        for address in PUBLIC {
            let address: Multiaddr = address.parse().unwrap();
            assert!(matches!(address.iter().last(), Some(Protocol::P2p(_))));
        }
    }

    #[test]
    fn a_dht_is_taken_part_in_only_when_asked_for() {
        let settings = |rest: &[&str]| {
            let arguments = ["bitswap", "share", "file"].iter().chain(rest);
            match Args::try_parse_from(arguments).unwrap().command {
                Command::Share(share) => format!("{:?}", share.dht.settings()),
                other => panic!("{other:?}"),
            }
        };
        let peer = PUBLIC[0].replace("bootstrap", "another");
        assert_eq!(settings(&[]), "None");
        assert!(settings(&["--dht"]).contains(PUBLIC[3]));
        let own = settings(&["--bootstrap", &peer]);
        assert!(own.contains(&peer) && own.contains("Client") && !own.contains(PUBLIC[0]));
        let alone = settings(&["--dht=server", "--bootstrap", "none"]);
        assert!(alone.contains("Server") && alone.contains("bootstrap: []"));
    }
}
