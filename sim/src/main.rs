//! Command line of the simulator.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bitswap_sim::reference::cases::Links;
use bitswap_sim::reference::{self, CASES, Case, Summary};

const USAGE: &str = "\
bitswap-sim reference [--seeds N] [--seed S] [--trace] [--watched] [--naive] [CASE]
    The reference implementation's benchmark cases in virtual time. CASE: those whose name contains
    it. --trace prints every message of one run of the first such case. --naive runs naive nodes
    instead of engines, --watched runs them under the contract's checker. Fails when a goal is missed.
";

/// Cases in which naive nodes must match the reference for the model to be trusted.
const MODEL_CASES_MIN: usize = 4;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.split_first() {
        Some((&"reference", rest)) => Options::parse(rest).map(|options| benchmark(&options)),
        _ => Err(String::from("say what to run")),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

struct Options {
    seeds: u64,
    seed: u64,
    trace: bool,
    naive: bool,
    watched: bool,
    name: String,
}

impl Options {
    fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Self {
            seeds: 20,
            seed: 1,
            trace: false,
            naive: false,
            watched: false,
            name: String::new(),
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut number = || {
                let value = words.next().ok_or(format!("{word} needs a number"))?;
                value.parse().map_err(|_| format!("{word} needs a number, not {value}"))
            };
            match *word {
                "--seeds" => options.seeds = number()?,
                "--seed" => options.seed = number()?,
                "--watched" => options.watched = true,
                "--naive" => options.naive = true,
                "--trace" => options.trace = true,
                other if other.starts_with('-') => return Err(format!("unknown option {other}")),
                name => options.name = name.into(),
            }
        }
        if options.seeds == 0 {
            return Err("--seeds must be at least 1".into());
        }
        Ok(options)
    }
}

/// True when all goals are reached.
fn benchmark(options: &Options) -> bool {
    let wanted: Vec<Case> =
        CASES.into_iter().filter(|case| case.name.contains(&options.name)).collect();
    if options.trace {
        for case in wanted.iter().take(1) {
            let (outcome, lines) = if options.naive {
                reference::run_naive(case, &case.universe(), options.seed)
            } else {
                reference::trace(case, &case.universe(), options.seed)
            };
            println!("{}, seed {}", case.name, options.seed);
            for line in lines {
                println!("{line}");
            }
            println!("{outcome:?}");
        }
        return true;
    }
    if options.naive {
        let summaries = naive(options, &wanted);
        print!("{}", reference::table(&summaries));
        return report_model(&summaries);
    }
    let run = if options.watched { reference::run_watched } else { reference::run };
    let summaries = in_parallel(&wanted, |case| {
        let universe = case.universe();
        let seeds = options.seed..options.seed + options.seeds;
        let outcomes = seeds.map(|seed| run(case, &universe, seed)).collect();
        Summary::new(*case, outcomes)
    });
    print!("{}", reference::table(&summaries));
    let missed = summaries.iter().filter(|summary| !summary.passes()).count();
    println!(
        "{} of {} cases reach their goals ({} seeds each; a goal holds for the median)",
        summaries.len() - missed,
        summaries.len(),
        options.seeds,
    );
    // The model is checked with the whole table only, and on the quick cases.
    let quick: Vec<Case> =
        CASES.into_iter().filter(|case| case.links == Links::Fixed && case.seeds < 100).collect();
    let sound = !options.name.is_empty() || report_model(&naive(options, &quick));
    missed == 0 && !summaries.is_empty() && sound
}

/// Runs naive nodes.
fn naive(options: &Options, cases: &[Case]) -> Vec<Summary> {
    in_parallel(cases, |case| {
        let universe = case.universe();
        let seeds = options.seed..options.seed + options.seeds;
        let outcomes = seeds.map(|seed| reference::run_naive(case, &universe, seed).0).collect();
        Summary::new(*case, outcomes)
    })
}

/// Tells in which cases naive nodes come close to what the reference implementation was measured
/// at. True when they are enough to trust the model.
fn report_model(naive: &[Summary]) -> bool {
    let near: Vec<&str> = naive
        .iter()
        .filter(|summary| summary.is_near_measured())
        .map(|summary| summary.case.name)
        .collect();
    println!(
        "model check: naive nodes with the reference's batching come within 15 % of its messages \
         sent, received and blocks in {} cases: {}",
        near.len(),
        near.join(", "),
    );
    near.len() >= MODEL_CASES_MIN
}

/// Runs `work` for each item on all cores; the results keep the order of the items.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers.min(items.len()) {
            scope.spawn(|| {
                loop {
                    // The last cases are the longest, so they go first.
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(at) = items.len().checked_sub(place + 1) else {
                        return;
                    };
                    let result = work(&items[at]);
                    if let Ok(mut results) = results.lock() {
                        results.push((at, result));
                    }
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_default();
    results.sort_by_key(|(place, _)| *place);
    results.into_iter().map(|(_, result)| result).collect()
}
