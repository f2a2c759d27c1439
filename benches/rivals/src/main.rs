//! Block throughput beside other implementations, in one run.
//!
//! Two nodes in one process move the same incompressible blocks over loopback (TCP, noise, yamux), from memory to
//! memory; whoever receives a block hashes it. Each measurement is a process of its own, so that CPU time and
//! memory are its own, and all take turns (A B C A B C): what disturbs the machine disturbs all.

mod contender;
mod measure;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use contender::Contender;
use measure::{Case, measure_in_child};

/// Measures block throughput beside other implementations.
#[derive(Debug, Parser)]
struct Args {
    /// Measurements of each contender and block size; medians are compared.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// A tenth of the blocks, one round: that everything runs.
    #[arg(long)]
    smoke: bool,
    /// Where the table goes, as Markdown; it is printed too.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Where the chart goes.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// One measurement, in this process, as JSON: a contender and a block size in bytes.
    #[arg(long, num_args = 2, value_names = ["CONTENDER", "BYTES"], hide = true)]
    one: Option<Vec<String>>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(one) = &args.one {
        return measure::print_one(&one[0], &one[1], args.smoke);
    }
    let rounds = if args.smoke { 1 } else { args.rounds.max(1) };
    let mut report = report::Report::default();
    for case in Case::ALL {
        for round in 1..=rounds {
            for contender in Contender::ALL {
                eprintln!(
                    "{} KiB, round {round} of {rounds}: {}",
                    case.bytes >> 10,
                    contender.name()
                );
                match measure_in_child(contender, case, args.smoke) {
                    Ok(figures) => report.add(case, contender, figures),
                    Err(error) => {
                        eprintln!("{}: {error}", contender.name());
                        return ExitCode::FAILURE;
                    }
                }
            }
        }
    }
    let markdown = report.markdown(rounds);
    println!("{markdown}");
    let written = [
        args.markdown.map(|path| std::fs::write(path, &markdown)),
        args.svg.map(|path| report.draw(&path)),
    ];
    for result in written.into_iter().flatten() {
        if let Err(error) = result {
            eprintln!("the report cannot be written: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
