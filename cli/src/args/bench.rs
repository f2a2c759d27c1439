//! How fast blocks go between two machines.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use libp2p::Multiaddr;

use super::NodeArgs;
use super::values::seconds;
use crate::address_text;

/// `bitswap bench`
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// `serve` on the one machine, which prints what to run on the other: the address of its node.
    #[arg(value_name = "serve|MULTIADDR", value_parser = role)]
    pub(crate) role: Role,

    /// The address of the bare stream that the blocks are compared with, which `serve` prints too.
    #[arg(long, value_name = "MULTIADDR", value_parser = address_text::parse)]
    pub(crate) bare: Option<Multiaddr>,

    /// How many MiB there are of each size of block: both sides make them from the same seed, and keep them in
    /// memory.
    #[arg(long, default_value_t = 64, value_name = "MIB", value_parser = clap::value_parser!(u32).range(2..=1024))]
    pub(crate) size: u32,

    /// With `serve`: where to listen, once for blocks and once, on any other port, for the bare stream. May be given
    /// several times. Default: on all IPv4 interfaces.
    #[arg(long, value_name = "MULTIADDR", value_parser = address_text::parse)]
    pub(crate) listen: Vec<Multiaddr>,

    /// How long each measurement goes on, in seconds, unless all blocks have come before.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(crate) seconds: Duration,

    /// How often everything is measured. The median counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub(crate) rounds: u32,

    /// How many blocks are asked for at once: a number, or `all`. May be given several times.
    #[arg(long, value_name = "N|all", default_values = ["1", "64", "all"])]
    pub(crate) at_once: Vec<AtOnce>,

    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

impl Bench {
    /// Whether it goes on until it is interrupted.
    pub(crate) const fn serves(&self) -> bool {
        matches!(self.role, Role::Serve)
    }
}

/// Which of the two machines this is.
#[derive(Clone, Debug)]
pub(crate) enum Role {
    /// The one that has the blocks.
    Serve,
    /// The one that gets them, from a node at this address.
    Get(Multiaddr),
}

fn role(text: &str) -> Result<Role, String> {
    if text == "serve" { Ok(Role::Serve) } else { address_text::parse(text).map(Role::Get) }
}

/// How many blocks are asked for at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtOnce {
    /// As many gets of one block.
    Gets(usize),
    /// One get of all blocks.
    All,
}

impl FromStr for AtOnce {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(count @ 1..=65_536) => Ok(Self::Gets(count)),
            _ if text == "all" => Ok(Self::All),
            _ => Err("it is neither a number from 1 to 65536 nor `all`".to_owned()),
        }
    }
}

impl fmt::Display for AtOnce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gets(count) => write!(f, "{count} at once"),
            Self::All => f.write_str("all at once"),
        }
    }
}
