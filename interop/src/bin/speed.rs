//! One file between Kubo, Helia and our node, in all directions, in one run: `interop/run --speed`.
//! With `--rtt MS` the same, `ipfs get` left out, over a path that delivers each byte half of that time late. With
//! `--only NAME` the rows whose name contains that, as in `--only "Helia → ours"`.
//!
//! Repositories, input and output are in the temporary directory. What is measured begins with the peers
//! connected and ends with the whole file at the client; importing it is left out. Each direction has fresh
//! peers. What earlier transfers wrote is on the disk before the next begins; of several rounds the median
//! counts.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use bitswap_interop::{
    AddOptions, Helia, HeliaOptions, Kubo, KuboOptions, Profile, content,
    us::{self, UsOptions},
};
use bitswap_node::Node;
use bitswap_node::testing::DelayedPath;
use bitswap_runtime_tokio::Tokio;
use cid::Cid;
use multiaddr::Multiaddr;

type Failed = Box<dyn std::error::Error>;

const MIB: usize = 1 << 20;
const ROUNDS: usize = 3;

/// How a client takes the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    /// `ipfs get`: ten leaves asked for at a time, and the file written.
    KuboGet,
    /// `ipfs pin add`: 32 blocks asked for at a time, into the repository.
    KuboPin,
    /// Into memory, and the file written.
    Helia,
    /// The file written.
    Us,
}

impl Client {
    fn name(self) -> &'static str {
        match self {
            Self::KuboGet => "Kubo (get)",
            Self::KuboPin => "Kubo (pin)",
            Self::Helia => "Helia",
            Self::Us => "ours",
        }
    }
}

/// A peer that has the file.
enum Server {
    Kubo(Kubo),
    Helia(Helia),
    Us(Node),
}

impl Server {
    const ALL: [&'static str; 3] = ["Kubo", "Helia", "ours"];

    async fn start(name: &str, input: &Path, profile: Profile) -> Result<(Self, Cid), Failed> {
        let options = AddOptions::profile(profile);
        Ok(match name {
            "Kubo" => {
                let kubo = Kubo::start(KuboOptions::default()).await?;
                let root = kubo.add(input, &options).await?;
                (Self::Kubo(kubo), root)
            }
            "Helia" => {
                let helia = Helia::start(HeliaOptions::default()).await?;
                let root = helia.add(input, &options).await?;
                (Self::Helia(helia), root)
            }
            _ => {
                let us = our_node().await;
                let profile = match profile {
                    Profile::UnixfsV0_2015 => bitswap_core::chunk::Profile::UnixfsV0_2015,
                    Profile::UnixfsV1_2025 => bitswap_core::chunk::Profile::UnixfsV1_2025,
                };
                let root = us.share_file(input, profile).await?.root.cid;
                (Self::Us(us), root)
            }
        })
    }

    async fn addr(&self) -> Multiaddr {
        match self {
            Self::Kubo(kubo) => kubo.addrs()[0].clone(),
            Self::Helia(helia) => helia.addrs()[0].clone(),
            Self::Us(us) => us::address(us).await,
        }
    }
}

async fn our_node() -> Node {
    us::start(Tokio::current(), UsOptions::default()).await
}

async fn transfer(
    server: &str,
    client: Client,
    profile: Profile,
    round_trip: Option<Duration>,
    folder: &Path,
) -> Result<Duration, Failed> {
    let (input, output) = (folder.join("in"), folder.join("out"));
    let (server, root) = Server::start(server, &input, profile).await?;
    let addr = server.addr().await;
    let addr = match round_trip {
        Some(round_trip) => DelayedPath::to(&addr, round_trip).address().clone(),
        None => addr,
    };
    Command::new("sync").status()?;
    let taken = match client {
        Client::KuboGet | Client::KuboPin => {
            let kubo = Kubo::start(KuboOptions::default()).await?;
            kubo.connect(&addr).await?;
            let start = Instant::now();
            if client == Client::KuboPin {
                kubo.pin_add(&root).await?;
            } else {
                kubo.get(&root, &output).await?;
            }
            let taken = start.elapsed();
            if client == Client::KuboPin {
                kubo.get(&root, &output).await?;
            }
            taken
        }
        Client::Helia => {
            let helia = Helia::start(HeliaOptions::default()).await?;
            helia.connect(&addr).await?;
            let start = Instant::now();
            helia.get(&root, &output).await?;
            start.elapsed()
        }
        Client::Us => {
            let us = our_node().await;
            us.connect(addr).await?;
            let start = Instant::now();
            us::fetch(&us, root, &output).await?;
            start.elapsed()
        }
    };
    if content::sha256_of_file(&input)? != content::sha256_of_file(&output)? {
        return Err("the file differs".into());
    }
    fs::remove_file(output)?;
    Ok(taken)
}

/// What is asked for on the command line.
struct Arguments {
    mib: usize,
    round_trip: Option<Duration>,
    only: String,
}

impl Arguments {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, Failed> {
        let (mut mib, mut round_trip, mut only) = (None, None, String::new());
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--rtt" => {
                    let millis = arguments.next().ok_or("--rtt takes milliseconds")?.parse()?;
                    round_trip = Some(Duration::from_millis(millis));
                }
                "--only" => only = arguments.next().ok_or("--only takes a part of a name")?,
                number => mib = Some(number.parse()?),
            }
        }
        let default = if round_trip.is_some() { 20 } else { 256 };
        Ok(Self { mib: mib.unwrap_or(default), round_trip, only })
    }
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let Arguments { mib, round_trip, only } = Arguments::parse(std::env::args().skip(1))?;
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("in"), content::bytes(1, mib * MIB))?;
    let (servers, clients): (&[&str], &[Client]) = if round_trip.is_some() {
        (&Server::ALL, &[Client::KuboPin, Client::Helia, Client::Us])
    } else {
        (&Server::ALL, &[Client::KuboGet, Client::KuboPin, Client::Helia, Client::Us])
    };
    println!("| server → client | 256 KiB chunks, CIDv0 | 1 MiB chunks, CIDv1 |");
    println!("| --- | --- | --- |");
    for server in servers {
        for client in clients {
            let name = format!("{server} → {}", client.name());
            if !name.contains(&only) {
                continue;
            }
            let mut row = format!("| {name} |");
            for profile in [Profile::UnixfsV0_2015, Profile::UnixfsV1_2025] {
                let mut rounds = Vec::new();
                for _ in 0..ROUNDS {
                    let taken =
                        transfer(server, *client, profile, round_trip, folder.path()).await?;
                    rounds.push(taken);
                }
                rounds.sort();
                let taken = rounds[ROUNDS / 2].as_secs_f64();
                row += &format!(" {taken:.2} s, {:.0} MiB/s |", mib as f64 / taken);
            }
            println!("{row}");
        }
    }
    Ok(())
}
