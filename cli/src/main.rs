//! `bitswap`: move files between machines by content address.

mod args;
mod cat;
mod demo;
mod exit;
mod get;
mod peers;
mod progress;
mod say;
mod share;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Args, Command};
use exit::Failure;
use say::Say;

fn main() -> ExitCode {
    let args = Args::parse();
    let say = Say::new(args.json);
    match run(args.command, &say) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say.failure(&failure);
            failure.code().into()
        }
    }
}

fn run(command: Command, say: &Say) -> Result<(), Failure> {
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let tokio = tokio.map_err(|source| Failure::Runtime { source })?;
    let result = tokio.block_on(async {
        match command {
            Command::Demo(demo) => demo::run(demo, say).await,
            Command::Share(share) => share::run(share, say).await,
            Command::Get(get) => get::run(get, say).await,
            Command::Cat(cat) => cat::run(cat, say).await,
        }
    });
    // A read of the terminal, or a lookup of a name, may still block a thread: it is not waited for.
    tokio.shutdown_background();
    result
}
