//! The command line.

mod bench;
mod choices;
mod config;
mod dht;
mod diagnose;
mod get;
mod names;
mod node;
mod rate;
mod runtime;
mod share;
mod sources;
mod store;
mod values;
mod wss;

use std::path::PathBuf;

use clap::{ArgAction, CommandFactory as _, Parser, Subcommand, ValueHint};

use crate::version;

pub(crate) use bench::{AtOnce, Bench, Role};
pub(crate) use choices::{CheckArg, IfExistsArg, OrderArg};
pub(crate) use config::{Config, ConfigCommand, Show};
pub(crate) use dht::DhtArgs;
pub(crate) use diagnose::{Check, Doctor, Verify};
pub(crate) use get::{Cat, Get, Ls};
pub(crate) use names::{Publish, Resolve};
pub(crate) use node::{ACCESS, NodeArgs};
pub(crate) use runtime::RuntimeArg;
pub(crate) use share::{Add, Cut, Folders, Share};
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

/// The parser of the command line.
pub(crate) fn parser() -> clap::Command {
    Args::command()
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
}
