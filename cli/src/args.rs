//! The command line.

mod bench;
mod choices;
mod config;
mod dht;
mod diagnose;
mod names;
mod node;
mod rate;
mod sources;
mod store;
mod values;
mod wss;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use bitswap_core::chunk::{Profile, Sha256Digest};
use cid::Cid;
use clap::{ArgAction, ArgGroup, CommandFactory as _, Parser, Subcommand, ValueEnum, ValueHint};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

use crate::address_text;
use crate::cid_text::{self, What};
use crate::version;
use values::{digest, patience, range, root};

pub(crate) use bench::{AtOnce, Bench, Role};
pub(crate) use choices::{CheckArg, IfExistsArg, OrderArg};
pub(crate) use config::{Config, ConfigCommand, Show};
pub(crate) use dht::DhtArgs;
pub(crate) use diagnose::{Check, Doctor, Verify};
pub(crate) use names::{Publish, Resolve};
pub(crate) use node::{ACCESS, NodeArgs};
pub(crate) use sources::Sources;
pub(crate) use store::{Store, StoreArgs, StoreCommand, StoreDir, StoreLimit};
pub(crate) use wss::{WssArgs, WssTrust};

/// Move files between machines by content address.
///
/// A file is named by its CID, a hash of what it holds. Whoever has a file shares it; whoever knows its
/// CID gets it, from any machine that has it, and every block is checked on arrival. It speaks Bitswap,
/// as other IPFS nodes do.
#[derive(Debug, Parser)]
#[command(name = "bitswap", version, long_version = version::long(), after_long_help = AFTER)]
pub(crate) struct Args {
    /// Print one JSON object per line on standard output instead of text; with `cat` and `get -o -`, whose
    /// standard output is the file, on standard error.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Print results and errors only: no notes, and not how far it is.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Log what the node does on standard error; -vv logs more, -vvv all. RUST_LOG chooses by module.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,

    /// The async runtime that the node runs on. async-std and smol have no QUIC.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "NAME",
        hide_short_help = true
    )]
    pub(crate) runtime: RuntimeArg,

    /// Read settings from this file, in TOML, whose keys are the names of options; `none`: from no file. Default:
    /// config.toml in the user's configuration directory, if it is there. See `bitswap config show`.
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath, hide_short_help = true)]
    pub(crate) config: Option<PathBuf>,

    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER: &str = "\
Examples:
  bitswap demo                                    two nodes on this machine, one file, and how fast it went
  bitswap share movie.mp4                         prints a ticket for it, serves until Ctrl-C
  bitswap get bitswap:v1/bafy...                  gets what a ticket is for, from the machine that it names
  bitswap get bafy... --from /ip4/.../p2p/...     gets it from that machine
  bitswap get bafy... -o movie.mp4                gets it from whoever on the local network has it
  bitswap add photos --store blocks               cuts it, keeps the blocks there, prints the CID; `--only-hash`
  bitswap share photos                            a folder, with everything in it
  bitswap ls bafy.../2026                         what is in a folder of it
  bitswap verify photos bafy...                   is this still what it was? which files are not?
  bitswap get bafy.../2026/summer.jpg             gets a file, or a folder, out of it
  bitswap doctor movie.mp4 --from /ip4/.../p2p/...  what keeps it from being fetched to here, from there?
  bitswap check bafy... /ip4/.../p2p/...          has that machine it, and how fast is it?
  bitswap bench serve                             how fast is it to this machine? prints what to run on the other
  bitswap store gc --store blocks --to 5GiB       removes what is not pinned, the oldest first; also ls, stat, verify
  bitswap publish bafy... --identity key --dht    lets the name of that key stand for it; `bitswap get /ipns/k51...`
  bitswap share --text 'Hello World'
  bitswap cat bafkreiffsgtnic7uebaeuaixgph3pmmq2ywglpylzwrswv5so7m23hyuny

Every option may be given in the environment instead: --limit-up as BITSWAP_LIMIT_UP. One on the command line goes
before it. A flag is on unless its variable is 0, no, off or false; a variable that is empty says nothing. Of an
option that may be given several times a variable may have several values, with commas between them. NO_COLOR turns
colours off.

Settings may also be in a file, config.toml in the user's configuration directory or --config FILE:
  limit-up = \"5MiB\"                               for every command that has such an option
  [get]
  if-exists = \"unique\"                            for one command
The command line goes before the environment, that before the file, and that before the defaults. Of options that
exclude each other those that go before hold.

Exit codes:
    0  done
    1  something else went wrong
    2  the command line is wrong
    3  nobody has it, or nobody delivered it in time
    4  the disk or the quota is full, also that of a standard output
    5  the target exists and is another file
    6  the CID does not name a valid file
    7  the network: no address could be listened on or connected to, or a connection was lost for good
    8  a file could not be read or written
    9  another process is at the same target, has the store, holds the finished file, or runs with the same
        identity: try again
   10  what is on disk is not what the CID names
   11  the file is what its CID says, and has not the digest that was given
   12  a list given with --deny denies it
   13  `bitswap doctor` found something that is wrong, or the machine that was checked has only a part
   14  the block is pinned, or a part of what is
  130  interrupted; what was fetched is kept, and the same command goes on from there. A second Ctrl-C ends it at once
  141  whoever read standard output wants no more of it";

/// An async runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum RuntimeArg {
    /// Recommended.
    #[default]
    Tokio,
    /// Discontinued: here for programs that have not moved yet, and for comparison.
    AsyncStd,
    /// What async-std is built on.
    Smol,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run two nodes in this process that share nothing, send a file from one to the other over TCP, and
    /// compare the speed with a bare stream that moves the same bytes, and with one that is hashed beside.
    Demo(Demo),
    /// Share files, folders or a text until interrupted. Files are served from where they lie, without a copy.
    Share(Share),
    /// Cut files and folders into blocks, keep those in a store, and print the CID. Nothing is served;
    /// `bitswap share --store DIR --root CID` does that later.
    Add(Add),
    /// Get a file or a folder by its CID. Interrupted, it goes on where it was when run again.
    Get(Get),
    /// List a folder: what is in it, and how large that is.
    Ls(Ls),
    /// Print a file, a block or a shared text to standard output.
    Cat(Cat),
    /// Compare a file or folder on disk with a CID, and say what differs. Nobody is asked if it has the CID when
    /// it is cut as usual; otherwise the nodes above leaves are fetched, and no contents.
    Verify(Verify),
    /// Show which settings hold, and where each is from.
    Config(Config),
    /// Look for what may be wrong: with this machine, with the place that something is to be fetched to, with the
    /// machines that it is to come from. Ends with exit code 13 when something is.
    Doctor(Doctor),
    /// Ask one machine, and nobody else, for what a CID names, and measure how fast it comes. Nothing is kept.
    Check(Check),
    /// Measure how fast blocks of each size go between two machines, beside a bare stream: `bitswap bench serve` on
    /// the one prints what to run on the other.
    Bench(Bench),
    /// Let a name stand for a CID, in a DHT. The name belongs to a key, and can stand for something else later.
    Publish(Publish),
    /// Say what a name stands for.
    Resolve(Resolve),
    /// Look after a store of blocks: what is in it, what must stay, what can go.
    Store(Store),
    /// Write shell completions and manual pages, for packagers.
    #[command(hide = true)]
    Generate(Generate),
}

/// `bitswap generate`
#[derive(Debug, clap::Args)]
pub(crate) struct Generate {
    /// The folder that the files go into; it is made if need be.
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) directory: PathBuf,
}

/// `bitswap demo`
#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// The size of the file, in MiB.
    #[arg(long, default_value_t = 256, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=65536))]
    pub(crate) size: u64,

    /// Where the two nodes keep their files, twice the size in all. It is removed afterwards.
    /// Default: the system's directory for temporary files.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,

    /// How many times the file is sent. The median speed counts: what the machine does for the first time
    /// is slower, and so is what it does beside something else.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub(crate) rounds: u32,

    /// Seeds the contents of the file: the same seed and size give the same CID.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,

    #[command(flatten)]
    pub(crate) cut: Cut,
}

/// `bitswap share`
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("what").required(true).args(["paths", "text", "root"]))]
pub(crate) struct Share {
    /// Files and folders. Several are wrapped in a folder, under their names. `-`: what comes on standard
    /// input, up to its end.
    #[arg(value_name = "PATH", num_args = 1..)]
    pub(crate) paths: Vec<PathBuf>,

    /// A short text instead of a file: shared as one raw block.
    #[arg(long)]
    pub(crate) text: Option<String>,

    /// Serve something that is in the store already, as `bitswap add` put it there.
    #[arg(long, value_name = "CID", value_parser = root, requires = "store")]
    pub(crate) root: Option<Cid>,

    /// The store of `bitswap add`: all blocks in it are served too, and what needs a place is kept there.
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) limit: StoreLimit,

    /// Where to listen. Port 0 is any free port: that which the identity had before, if it is free. May be
    /// given several times. Default: on all interfaces.
    #[arg(long, value_name = "MULTIADDR", value_parser = address_text::parse)]
    pub(crate) listen: Vec<Multiaddr>,

    /// Where it listens without being told. Not every machine has all of it.
    #[arg(skip)]
    pub(crate) listen_if_possible: Vec<Multiaddr>,

    #[command(flatten)]
    pub(crate) wss: WssArgs,

    /// Do not announce this machine on the local network.
    #[arg(long)]
    pub(crate) no_mdns: bool,

    /// Use a new peer identity: addresses and tickets that are printed hold until this ends.
    #[arg(long, conflicts_with = "identity", help_heading = ACCESS)]
    pub(crate) ephemeral: bool,

    #[command(flatten)]
    pub(crate) node: NodeArgs,

    #[command(flatten)]
    pub(crate) dht: DhtArgs,

    #[command(flatten)]
    pub(crate) folders: Folders,

    #[command(flatten)]
    pub(crate) cut: Cut,
}

/// What of folders is taken.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Folders {
    /// Of folders: leave out everything whose name begins with a dot.
    #[arg(long)]
    pub(crate) skip_hidden: bool,

    /// Of folders: take permissions and times of change too. They are part of the CID then.
    #[arg(long)]
    pub(crate) metadata: bool,
}

/// `bitswap add`
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// Files and folders. Several are wrapped in a folder, under their names. `-`: what comes on standard
    /// input, up to its end.
    #[arg(value_name = "PATH", num_args = 1.., required = true)]
    pub(crate) paths: Vec<PathBuf>,

    /// Where to keep the blocks: a folder, which is made if need be. It takes as much space as the files.
    #[arg(long, value_name = "DIR", required_unless_present = "only_hash")]
    pub(crate) store: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) limit: StoreLimit,

    /// Do not pin it: the blocks go with the next `bitswap store gc`, or when room is needed.
    #[arg(long, conflicts_with = "only_hash")]
    pub(crate) no_pin: bool,

    /// Print the CID and keep nothing.
    #[arg(long, conflicts_with = "store")]
    pub(crate) only_hash: bool,

    #[command(flatten)]
    pub(crate) folders: Folders,

    #[command(flatten)]
    pub(crate) cut: Cut,
}

/// The parser of the command line.
pub(crate) fn parser() -> clap::Command {
    Args::command()
}

impl RuntimeArg {
    /// Where a node on this runtime listens unless told: wherever it can be reached, over IPv4 and IPv6. One in a
    /// private network has no QUIC.
    pub(crate) fn listen(self, is_private: bool) -> Vec<Multiaddr> {
        let any = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        let any = any.map(|ip| Multiaddr::empty().with(ip.into()));
        let mut addresses = any.clone().map(|any| any.with(Protocol::Tcp(0))).to_vec();
        if cfg!(feature = "quic") && self == Self::Tokio && !is_private {
            addresses.extend(any.map(|any| any.with(Protocol::Udp(0)).with(Protocol::QuicV1)));
        }
        addresses
    }
}

/// How files are cut.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Cut {
    /// How files are cut into blocks: the same profile gives the same CID everywhere.
    #[arg(long, value_enum, default_value_t)]
    profile: ProfileArg,
}

impl Cut {
    /// The profile.
    pub(crate) const fn profile(self) -> Profile {
        match self.profile {
            ProfileArg::UnixfsV1_2025 => Profile::UnixfsV1_2025,
            ProfileArg::UnixfsV0_2015 => Profile::UnixfsV0_2015,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum ProfileArg {
    /// 1 MiB raw leaves, CIDv1: as Helia and recent tools.
    #[default]
    #[value(name = "unixfs-v1-2025")]
    UnixfsV1_2025,
    /// 256 KiB wrapped leaves, CIDv0 (`Qm...`): as `ipfs add` does by default.
    #[value(name = "unixfs-v0-2015")]
    UnixfsV0_2015,
}

/// `bitswap get`
#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// What to get: the ticket that `bitswap share` prints, or the CID of a file or folder, with the path of what
    /// is wanted in it if that is not all: CID/path, /ipfs/CID/path, ipfs://CID/path, or the URL of a gateway. Or a name
    /// that stands for one: /ipns/k51..., /ipns/example.org/path; names of keys need --dht or --bootstrap. Several are got one after the other.
    #[arg(value_name = "CID", required_unless_present = "input", value_parser = cid_text::parse_what)]
    pub(crate) what: Vec<What>,

    /// Get also what this file names: a CID, URL or ticket on each line, as on the command line. Empty lines and
    /// those that begin with # are left out. `-`: standard input.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) input: Option<PathBuf>,

    /// Where to put it. A file goes into a folder that exists, under its name; a folder is put together
    /// with it. Default: here, under its name if that is known, otherwise under its CID. Several go into a folder.
    /// `-`: to standard output, as `bitswap cat` does.
    #[arg(short, long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) output: Option<PathBuf>,

    /// Get the block itself, whatever it is: also one of dag-cbor or dag-json, or a node of a file.
    #[arg(long)]
    pub(crate) raw: bool,

    /// Of a file: get these bytes alone, both ends included, and nothing of the others; `100-` is all from 100 on.
    #[arg(long, value_name = "FROM-TO", value_parser = range)]
    pub(crate) range: Option<Range<u64>>,

    /// Of a file: its SHA-256, in hexadecimal. A file that has another one does not get its name, and what was
    /// fetched is kept. With --range it is that of those bytes.
    #[arg(long, value_name = "HEX", value_parser = digest)]
    pub(crate) sha256: Option<Sha256Digest>,

    /// Of a file: the root of the Merkle tree of SHA-256 over its leaves, in hexadecimal, as with --sha256.
    #[arg(long, value_name = "HEX", value_parser = digest, conflicts_with = "range")]
    pub(crate) merkle_root: Option<Sha256Digest>,

    /// Of a file, and of the large files of a folder: in which order blocks are asked for.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) order: OrderArg,

    /// Leave zeros out where nothing was written before: they are holes of the file then, and take no space
    /// where the file system has such.
    #[arg(long)]
    pub(crate) sparse: bool,

    /// Of a folder: leave out symbolic links.
    #[arg(long)]
    pub(crate) no_symlinks: bool,

    /// Of a folder: take every name that this system takes. Without it a name must be one on Unix and on
    /// Windows, and no two in a folder may differ in case, or in the encoding of accents, only.
    #[arg(long)]
    pub(crate) native_names: bool,

    /// Of a folder: do not set the permissions and times that it has.
    #[arg(long)]
    pub(crate) no_metadata: bool,

    /// What to do when another file is there already. It holds for each file of a folder.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) if_exists: IfExistsArg,

    /// How much of what an interrupted get left is hashed again before the file gets its name. What is wrong
    /// is fetched again.
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub(crate) check: CheckArg,

    /// When the disk or the quota is full, wait for space for so many seconds, or without a number for as
    /// long as it takes. Default: end with exit code 4. What was fetched is kept either way.
    #[arg(long, value_name = "SECONDS", value_parser = patience, num_args = 0..=1, require_equals = true, default_missing_value = "forever")]
    pub(crate) wait_for_space: Option<Duration>,

    #[command(flatten)]
    pub(crate) sources: Sources,
}

impl Get {
    /// Whether it goes to standard output.
    pub(crate) fn is_to_output(&self) -> bool {
        self.output.as_ref().is_some_and(|path| path.as_os_str() == "-")
    }
}

/// `bitswap ls`
#[derive(Debug, clap::Args)]
pub(crate) struct Ls {
    /// The CID of a folder, and perhaps a path in it, or a ticket, as with `get`.
    #[arg(value_name = "CID", value_parser = cid_text::parse_what)]
    pub(crate) what: What,

    #[command(flatten)]
    pub(crate) sources: Sources,
}

/// `bitswap cat`
#[derive(Debug, clap::Args)]
pub(crate) struct Cat {
    /// The CID, and perhaps a path, or a ticket, as with `get`.
    #[arg(value_name = "CID", value_parser = cid_text::parse_what)]
    pub(crate) what: What,

    /// Print these bytes alone, both ends included; `100-` is all from 100 on.
    #[arg(long, value_name = "FROM-TO", value_parser = range)]
    pub(crate) range: Option<Range<u64>>,

    /// Print the block itself, whatever it is: for `get --raw`.
    #[arg(skip)]
    pub(crate) raw: bool,

    #[command(flatten)]
    pub(crate) sources: Sources,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        parser().debug_assert();
    }

    #[test]
    fn every_option_has_a_long_name_and_the_short_help_has_no_runtime() {
        fn look(command: &clap::Command, seen: &mut usize) {
            for arg in command.get_arguments().filter(|arg| !arg.is_positional()) {
                // Its variable, and its key in the file, are called after it.
                assert!(arg.get_long().is_some(), "{arg}");
                *seen += 1;
            }
            command.get_subcommands().for_each(|command| look(command, seen));
        }
        let mut seen = 0;
        look(&parser(), &mut seen);
        assert!(seen > 50, "{seen}");
        let mut get = parser().find_subcommand("get").unwrap().clone();
        let short = get.render_help().to_string();
        for group in ["Limits:", "Identity and access:", "Options:"] {
            assert!(short.contains(group), "{group}: {short}");
        }
        let mut all = parser();
        assert!(!all.render_help().to_string().contains("--runtime"));
        assert!(all.render_long_help().to_string().contains("--runtime"));
    }

    #[test]
    fn space_is_waited_for_only_when_asked_for() {
        let wait = |rest: &[&str]| {
            let cid = "bafkreiffsgtnic7uebaeuaixgph3pmmq2ywglpylzwrswv5so7m23hyuny";
            let arguments = ["bitswap", "get", cid].into_iter().chain(rest.iter().copied());
            match Args::try_parse_from(arguments).unwrap().command {
                Command::Get(get) => get.wait_for_space,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(wait(&[]), None);
        assert_eq!(wait(&["--wait-for-space"]), Some(Duration::MAX));
        assert_eq!(wait(&["--wait-for-space=90"]), Some(Duration::from_secs(90)));
    }

    #[test]
    fn a_share_is_of_a_file_or_a_text_and_not_of_both() {
        let share =
            |rest: &[&str]| Args::try_parse_from(["bitswap", "share"].iter().chain(rest)).is_ok();
        assert!(share(&["file"]) && share(&["--text", "hello"]));
        assert!(!share(&[]) && !share(&["file", "--text", "hello"]));
        let root = "bafkreiffsgtnic7uebaeuaixgph3pmmq2ywglpylzwrswv5so7m23hyuny";
        assert!(share(&["--root", root, "--store", "blocks"]) && !share(&["--root", root]));
    }

    #[test]
    fn blocks_that_are_added_are_kept_in_a_store_or_not_at_all() {
        let add =
            |rest: &[&str]| Args::try_parse_from(["bitswap", "add"].iter().chain(rest)).is_ok();
        assert!(add(&["file", "--store", "blocks"]) && add(&["file", "--only-hash"]));
        assert!(!add(&["file"]) && !add(&["--only-hash"]));
        assert!(!add(&["file", "--store", "blocks", "--only-hash"]));
    }
}
