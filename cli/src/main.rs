//! `bitswap`: move files between machines by content address.
//!
//! # Features
//!
//! * `default`: all of them.
//! * `quic`: QUIC beside TCP. It builds a second cryptographic library, in C, and so does `tls`.
//! * `tls`: TLS beside noise, for machines that have nothing else.
//! * `websocket`: WebSocket beside TCP.

mod add;
mod address_text;
mod args;
mod arrivals;
mod bare_stream;
mod bench;
mod cat;
mod check;
mod cid_text;
mod demo;
mod doctor;
mod exit;
mod failure;
mod figures;
mod generate;
mod get;
mod identity;
mod import;
mod input;
mod interrupt;
mod log;
mod ls;
mod memory;
mod names;
mod patience;
mod peers;
mod place;
mod plain;
mod progress;
mod resolve;
mod say;
mod settings;
mod share;
mod stall;
mod store;
mod strangers;
mod usage;
mod verify;
mod version;

use std::process::ExitCode;
use std::sync::Arc;
use std::thread::available_parallelism;

use bitswap_node::Runtime;
use bitswap_runtime_async_std::AsyncStd;
use bitswap_runtime_smol::Smol;
use bitswap_runtime_tokio::Tokio;
use clap::FromArgMatches as _;

use args::{Args, Command, RuntimeArg};
use failure::Failure;
use interrupt::unless_interrupted;
use say::{Broken, Objects, Say};

/// The stack of the thread that does everything. The first thread has what the system gives it, and the mebibyte of
/// Windows is too little for a build that is not optimised.
const STACK: usize = 8 << 20;

/// Threads that may wait for a disk or for standard input, beside one for each core that hashes. Each thread that has had
/// blocks in hand keeps memory for the next ones, so that hundreds, as tokio allows, take more than all that is transferred.
const WAITING_THREADS: usize = 4;

fn main() -> ExitCode {
    let thread = std::thread::Builder::new().name("command".to_owned()).stack_size(STACK);
    match thread.spawn(begin) {
        Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        // Where there is no other thread this one may do.
        Err(_) => begin(),
    }
}

fn begin() -> ExitCode {
    memory::keep_large_blocks();
    let found = match settings::parse(std::env::args_os().collect()) {
        Ok(found) => found,
        Err(wrong) => return usage::tell(wrong),
    };
    let args = match Args::from_arg_matches(&found) {
        Ok(args) => args,
        Err(error) => return usage::tell(error.into()),
    };
    let objects = match &args.command {
        Command::Cat(_) => Objects::ToErrors,
        Command::Get(get) if get.is_to_output() => Objects::ToErrors,
        _ => Objects::ToOutput,
    };
    let (log, wrong_filter) = log::start(args.verbose);
    let (say, mut broken) = Say::new(args.json.then_some(objects), args.quiet);
    let say = say.with_notes(log.lines());
    if let Some(wrong) = wrong_filter {
        say.note(wrong);
    }
    if let Command::Config(args::Config { command: args::ConfigCommand::Show(show) }) =
        &args.command
    {
        let shown = settings::show(show, &found, &say).map_err(Failure::from);
        return end(shown, &say, &mut broken);
    }
    interrupt::enforce(say.writes());
    let result = run(args, &say, &mut broken);
    log.finish();
    end(result, &say, &mut broken)
}

/// Tells how a command has ended. What could not be printed is no success.
fn end(result: Result<(), Failure>, say: &Say, broken: &mut Broken) -> ExitCode {
    let result = result.and_then(|()| broken.failure().map_or(Ok(()), Err));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say.failure(&failure);
            failure.code().into()
        }
    }
}

/// The command itself runs on tokio, whatever the node runs on: signals, the terminal, its own files.
fn run(mut args: Args, say: &Say, broken: &mut Broken) -> Result<(), Failure> {
    if let Command::Share(share) = &mut args.command
        && share.listen.is_empty()
    {
        share.listen_if_possible = args.runtime.listen(share.node.is_private());
    }
    if let Command::Doctor(doctor) = &mut args.command
        && doctor.listen.is_empty()
    {
        doctor.listen = args.runtime.listen(doctor.node.is_private());
    }
    let cores = available_parallelism().map_or(1, usize::from);
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(cores + WAITING_THREADS)
        .build();
    let tokio = tokio.map_err(|source| Failure::Runtime { source })?;
    let result = tokio.block_on(async {
        let runtime: Arc<dyn Runtime> = match args.runtime {
            RuntimeArg::Tokio => Arc::new(Tokio::current()),
            RuntimeArg::AsyncStd => Arc::new(AsyncStd),
            RuntimeArg::Smol => Arc::new(Smol),
        };
        let prepared = async {
            if let Some(node) = args.command.node() {
                unless_interrupted(node.read_denylists(say)).await?;
            }
            command(args.command, &runtime, say).await
        };
        tokio::select! {
            biased;
            failure = broken.failed() => Err(failure),
            result = prepared => result,
        }
    });
    // A read of the terminal, or a lookup of a name, may still block a thread: it is not waited for.
    tokio.shutdown_background();
    result
}

async fn command(command: Command, runtime: &Arc<dyn Runtime>, say: &Say) -> Result<(), Failure> {
    // These have something to do yet when they are told to end.
    let ends_by_itself = match &command {
        Command::Share(_) | Command::Get(_) => true,
        Command::Bench(bench) => bench.serves(),
        Command::Publish(publish) => publish.renew,
        _ => false,
    };
    let done = async {
        match command {
            Command::Demo(demo) => demo::run(demo, runtime, say).await,
            Command::Add(add) => add::run(add, runtime, say).await,
            Command::Share(share) => share::run(share, runtime, say).await,
            Command::Get(get) => get::run(get, runtime, say).await,
            Command::Ls(ls) => ls::run(ls, runtime, say).await,
            Command::Verify(verify) => verify::run(verify, runtime, say).await,
            Command::Cat(cat) => cat::run(cat, runtime, say).await,
            Command::Doctor(doctor) => doctor::run(doctor, runtime, say).await,
            Command::Check(check) => check::run(check, runtime, say).await,
            Command::Bench(bench) => bench::run(bench, runtime, say).await,
            Command::Publish(publish) => names::publish(publish, runtime, say).await,
            Command::Resolve(resolve) => names::resolve(resolve, runtime, say).await,
            Command::Store(store) => store::run(store, runtime, say).await,
            Command::Generate(generate) => generate::run(&generate),
            Command::Config(_) => unreachable!("it needs no runtime, and has run"),
        }
    };
    if ends_by_itself { done.await } else { unless_interrupted(done).await }
}
