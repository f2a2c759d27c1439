//! Where a command gets things from.

use std::net::SocketAddr;
use std::time::Duration;

use libp2p::Multiaddr;

use super::values::seconds;
use super::{DhtArgs, NodeArgs, StoreArgs};
use crate::address_text;
use crate::cid_text::CidPath;

/// Whom to ask, and how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Sources {
    /// A machine to get it from, beside that of a ticket. May be given several times. Without any, machines on the
    /// local network are asked (mDNS).
    #[arg(long, value_name = "MULTIADDR", value_parser = address_text::parse)]
    from: Vec<Multiaddr>,

    /// The machines of tickets, each by all its addresses.
    #[arg(skip)]
    of_tickets: Vec<Vec<Multiaddr>>,

    /// Wait also when every machine given with --from says that it lacks a block: one may get it later.
    #[arg(long)]
    pub(crate) wait: bool,

    /// Give up when nothing has come for so many seconds, counted from the last byte of a block, or when nobody
    /// has said for as long what a name stands for. Time in which the process was stopped does not count. Default:
    /// wait, and say what for.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,

    /// When the connection to a machine given with --from is lost, connect again for so many seconds
    /// before giving up.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) reconnect_for: Duration,

    /// Ask this DNS server what a domain stands for, instead of those of the system: 192.0.2.1:53.
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) dns_server: Option<SocketAddr>,

    #[command(flatten)]
    pub(crate) store: StoreArgs,

    #[command(flatten)]
    pub(crate) node: NodeArgs,

    #[command(flatten)]
    pub(crate) dht: DhtArgs,
}

impl Sources {
    /// Asks also where tickets say that these are.
    pub(crate) fn ask_where<'a>(&mut self, what: impl IntoIterator<Item = &'a CidPath>) {
        for from in what.into_iter().map(|what| &what.from).filter(|from| !from.is_empty()) {
            if !self.of_tickets.contains(from) {
                self.of_tickets.push(from.clone());
            }
        }
    }

    /// The machines that the user named, each by its addresses.
    pub(crate) fn named(&self) -> Vec<Vec<Multiaddr>> {
        let alone = self.from.iter().map(|address| vec![address.clone()]);
        alone.chain(self.of_tickets.iter().cloned()).collect()
    }

    /// Whether the user named any.
    pub(crate) const fn is_named(&self) -> bool {
        !self.from.is_empty() || !self.of_tickets.is_empty()
    }
}
