//! Command line of the simulator.

mod attackers;
mod scenarios;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bitswap_sim::crowd::{self, Crowd, Setting};
use bitswap_sim::floors::{Floor, HEAD, floors};
use bitswap_sim::reference::cases::Links;
use bitswap_sim::reference::{self, CASES, Case, Summary};
use bitswap_sim::told::{self, Asking, Holders};
use bitswap_sim::{FAULTS, Sweep, sweep};

const USAGE: &str = "\
bitswap-sim sweep [--seeds N] [--seed S] [--prefer] [--without FAULT,FAULT...] [--trace]
    Random worlds with random faults that heal: everything must end, and no engine may break its
    contract. Each seed is a world of its own. Of a failing one the faults that it does not need are
    left out, and the command that replays the rest is printed. With --prefer half of the sessions ask
    peers of their own first.
bitswap-sim attackers [--seeds N] [--seed S] [--without PLACE,PLACE...] [--trace] [CONDUCT]
    Every kind of attacker alone beside an honest pair, then random combinations of up to all but one
    of the peers: the honest transfer must end in time, and what attackers make an engine hold must stay
    within its bound and be gone when they are. With CONDUCT only those alone whose name contains it.
    Of a failing combination the attackers that it does not need are left out, by their place.
bitswap-sim scenarios [DIRECTORY]
    A few scenarios as tables, beside the least time that each could take where that can be said, and as
    pictures into the directory if one is given.
bitswap-sim reference [--seeds N] [--seed S] [--trace] [--watched] [--baseline] [CASE]
    The reference implementation's benchmark cases in virtual time. CASE: those whose name contains
    it. --trace prints every message of one run of the first such case. --baseline runs baseline nodes
    instead of engines, --watched runs them under the contract's checker. Fails when a goal is missed,
    but for that of the floor, the least time in which any client could have the blocks: how many times as
    long each case takes is shown beside the most that it should.
bitswap-sim floors [--seeds N] [--seed S] [TRANSFER]
    Transfers beside the least time that they could take, a round trip for each round of wants, one more
    where a holder must be found, and all bytes at the speed of all links: the median and the worst of all
    seeds, bytes that came twice, and want-blocks, want-haves and cancels sent. A median above 1.1 times the
    floor, or 1.25 times where a holder must be found, is marked. TRANSFER: those whose name contains it.
bitswap-sim crowd [--seeds N] [--seed S] [--stagger MS] [DIRECTORY]
    Many that fetch the same file from one seeder: all from the same instant on, and each 200 ms after the one
    before it, or with --stagger so many ms. Beside the least time for all, when the last one had it; beside the
    least time for one alone, the longest that one took from its own start; beside the time of a lone leech, that
    of the last one to begin; copies that the seeder sent, bytes that came twice, and want-blocks, want-haves and
    cancels for each block: medians. First far apart, where everybody sends 10 MB/s at most, then in one network,
    where only the seeder has a limit. Then a grid of seeders and leeches, also as a picture into the directory.
bitswap-sim told [--seeds N] [--seed S] [DIRECTORY]
    How many wants a node tells 1 to 1,000 peers of which none, one or all have a block, or a file of 100
    blocks, on links of 20 ms: want-haves, want-blocks and cancels for each block, wants for each peer and
    for each block after the first one, and the time until all is there. As a picture into the directory if
    one is given.
";

/// Cases in which baseline nodes must match the reference for the model to be trusted.
const MODEL_CASES_MIN: usize = 4;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if words.iter().any(|word| matches!(*word, "-h" | "--help" | "help")) {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let done = match words.split_first() {
        Some((&"reference", rest)) => Options::parse(rest).map(|options| benchmark(&options)),
        Some((&"attackers", rest)) => attackers::Options::parse(rest).map(|options| options.run()),
        Some((&"sweep", rest)) => Options::parse(rest).map(|options| sweep_seeds(&options)),
        Some((&"floors", rest)) => Options::parse(rest).map(|options| show_floors(&options)),
        Some((&"crowd", rest)) => Options::parse(rest).and_then(|options| show_crowds(&options)),
        Some((&"told", rest)) => Options::parse(rest).and_then(|options| show_told(&options)),
        Some((&"scenarios", rest)) => scenarios::run(rest),
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
    baseline: bool,
    watched: bool,
    prefers: bool,
    /// Milliseconds between one start of a crowd and the next.
    stagger: Option<u64>,
    /// Kinds of faults that are left out.
    without: Vec<String>,
    name: String,
}

impl Options {
    fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Self {
            seeds: 20,
            seed: 1,
            trace: false,
            baseline: false,
            watched: false,
            prefers: false,
            stagger: None,
            without: Vec::new(),
            name: String::new(),
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            let number = |value: &str| {
                value.parse().map_err(|_| format!("{word} needs a number, not {value}"))
            };
            match *word {
                "--seeds" => options.seeds = number(value()?)?,
                "--seed" => options.seed = number(value()?)?,
                "--stagger" => options.stagger = Some(number(value()?)?),
                "--without" => options.without = faults(value()?)?,
                "--watched" => options.watched = true,
                "--prefer" => options.prefers = true,
                "--baseline" => options.baseline = true,
                "--trace" => options.trace = true,
                other if other.starts_with('-') => return Err(format!("unknown option {other}")),
                name => options.name = name.into(),
            }
        }
        if options.seeds == 0 {
            return Err("--seeds must be at least 1".into());
        }
        if options.stagger.is_some_and(|ms| ms > 60_000) {
            return Err("--stagger must be at most 60000".into());
        }
        Ok(options)
    }
}

/// Names of kinds of faults with commas between them.
fn faults(words: &str) -> Result<Vec<String>, String> {
    let name = |word: &str| match FAULTS.contains(&word) {
        true => Ok(word.to_owned()),
        false => Err(format!("there is no fault {word}; there are {}", FAULTS.join(", "))),
    };
    words.split(',').map(name).collect()
}

fn tell(line: &str) {
    println!("{line}");
}

/// True when no seed fails.
fn sweep_seeds(options: &Options) -> bool {
    let (prefers, without) = (options.prefers, &options.without);
    let run = |seed| Sweep { seed, prefers, without: without.clone(), tell: None };
    if options.trace {
        println!("{:?}", sweep(&Sweep { tell: Some(tell), ..run(options.seed) }));
        return true;
    }
    let seeds: Vec<u64> = (0..options.seeds).rev().map(|n| options.seed.wrapping_add(n)).collect();
    let began = Instant::now();
    let busy = Mutex::new(Duration::ZERO);
    let results = in_parallel(&seeds, |seed| {
        let began = Instant::now();
        let result = std::panic::catch_unwind(|| sweep(&run(*seed)));
        if result.is_err() {
            report_failure(run(*seed));
        }
        if let Ok(mut busy) = busy.lock() {
            *busy += began.elapsed();
        }
        result.ok()
    });
    let failed = results.iter().filter(|result| result.is_none()).count();
    let steps: u64 = results.iter().flatten().map(|swept| swept.steps).sum();
    let blocks: u64 = results.iter().flatten().map(|swept| swept.blocks).sum();
    let busy = busy.into_inner().unwrap_or_default().as_secs_f64();
    println!(
        "{} seeds in {:.1} s: {failed} failed, {steps} events, {blocks} blocks, {:.0} events/s/core",
        seeds.len(),
        began.elapsed().as_secs_f64(),
        steps as f64 / busy.max(1e-9),
    );
    failed == 0
}

/// Finds the fewest faults with which the seed fails, and prints the line that replays it.
fn report_failure(run: Sweep) {
    let run = run.shrink();
    let left: Vec<&str> =
        FAULTS.iter().copied().filter(|kind| !run.without.iter().any(|off| off == kind)).collect();
    let prefer = if run.prefers { " --prefer" } else { "" };
    let without = match run.without.as_slice() {
        [] => String::new(),
        kinds => format!(" --without {}", kinds.join(",")),
    };
    eprintln!("fails with these faults: {}", left.join(", "));
    eprintln!(
        "replay: cargo run --release -p bitswap-sim -- sweep --seed {} --seeds 1{prefer}{without}",
        run.seed
    );
}

/// True when all goals are reached.
fn benchmark(options: &Options) -> bool {
    let wanted: Vec<Case> =
        CASES.into_iter().filter(|case| case.name.contains(&options.name)).collect();
    if options.trace {
        for case in wanted.iter().take(1) {
            let (block_set, seed) = (case.block_set(), options.seed);
            println!("{}, seed {seed}", case.name);
            let outcome = if options.baseline {
                reference::run_baseline(case, &block_set, seed, Some(tell))
            } else {
                reference::run_verbose(case, &block_set, seed, tell)
            };
            println!("{outcome:?}");
        }
        return true;
    }
    if options.baseline {
        let summaries = baseline(options, &wanted);
        print!("{}", reference::table(&summaries));
        return report_model(&summaries);
    }
    let run = if options.watched { reference::run_watched } else { reference::run };
    let summaries = in_parallel(&wanted, |case| {
        let block_set = case.block_set();
        let seeds = options.seed..options.seed + options.seeds;
        let outcomes = seeds.map(|seed| run(case, &block_set, seed)).collect();
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
    println!("{}", reference::beside_floors(&summaries));
    // The model is checked with the whole table only, and on the quick cases.
    let quick: Vec<Case> =
        CASES.into_iter().filter(|case| case.links == Links::Fixed && case.seeds < 100).collect();
    let sound = !options.name.is_empty() || report_model(&baseline(options, &quick));
    missed == 0 && !summaries.is_empty() && sound
}

/// Runs transfers beside the least time that they could take. True when all runs ended.
fn show_floors(options: &Options) -> bool {
    // Scenarios are made where they are run: what they hold does not go from thread to thread.
    let names: Vec<&str> = floors().iter().map(Floor::name).collect();
    let names: Vec<&str> = names.into_iter().filter(|name| name.contains(&options.name)).collect();
    let measured = in_parallel(&names, |name| {
        let seeds = options.seed..options.seed.saturating_add(options.seeds);
        let floor = floors().into_iter().find(|floor| floor.name() == *name);
        floor.map(|floor| floor.run(seeds))
    });
    println!("{HEAD}");
    measured.iter().flatten().for_each(|measured| println!("{measured}"));
    let near = measured.iter().flatten().filter(|measured| measured.is_near_floor()).count();
    println!(
        "{near} of {} medians come as close to their floor as their goal says",
        measured.len()
    );
    !measured.is_empty() && measured.iter().flatten().all(|measured| measured.worst.is_some())
}

/// Runs crowds of growing size, and a grid of seeders and leeches, which goes as a picture into the directory if one is
/// named: for each way in which they begin. True when all ended.
fn show_crowds(options: &Options) -> Result<bool, String> {
    let run = |crowds: &[Crowd]| {
        in_parallel(crowds, |crowd| {
            crowd.run(options.seed..options.seed.saturating_add(options.seeds))
        })
    };
    let mut grids = Vec::new();
    let mut ended = true;
    for ms in options.stagger.map_or_else(|| vec![0, 200], |ms| vec![ms]) {
        let stagger = Duration::from_millis(ms);
        let title = match ms {
            0 => "All begin in the same instant".to_owned(),
            _ => format!("Each begins {ms} ms after the one before it"),
        };
        println!("{title}");
        for (network, crowds) in [
            ("far apart, everybody sends 10 MB/s at most", crowd::crowds(stagger)),
            (
                "one network, the line of the seeder takes 10 MiB/s",
                crowd::near(stagger, Setting::NEAR),
            ),
            (
                "one network, the seeder limits itself to 10 MiB/s",
                crowd::near(stagger, Setting::NEAR_TOLD),
            ),
        ] {
            println!("\n{network}\n{}", crowd::HEAD);
            let measured = run(&crowds);
            measured.iter().for_each(|measured| println!("{measured}"));
            ended &= measured.iter().all(|measured| measured.took.is_some());
        }
        let grid = run(&crowd::grid(stagger));
        println!(
            "\nthe slowest from its own start, beside the floor of one alone\n{}\n",
            crowd::table(&grid)
        );
        ended &= grid.iter().all(|measured| measured.took.is_some());
        grids.push((title, grid));
    }
    if !options.name.is_empty() {
        write_picture(&options.name, "crowd.svg", &crowd::svg(&grids))?;
    }
    Ok(ended)
}

/// Counts the wants that a node tells its peers. True when all ended that could.
fn show_told(options: &Options) -> Result<bool, String> {
    let all = in_parallel(&Asking::all(), |asking| {
        asking.run(options.seed..options.seed.saturating_add(options.seeds))
    });
    println!("{}", told::HEAD);
    all.iter().for_each(|measured| println!("{measured}"));
    println!("\n{}", told::goals(&all));
    if !options.name.is_empty() {
        write_picture(&options.name, "told.svg", &told::svg(&all))?;
    }
    let could = all.iter().filter(|measured| measured.asking.holders != Holders::Nobody);
    Ok(could.into_iter().all(|measured| measured.worst.is_some()))
}

/// Writes a picture into a directory, which is made if it is not there, and says where it is.
fn write_picture(directory: &str, name: &str, svg: &str) -> Result<(), String> {
    let path = std::path::Path::new(directory).join(name);
    std::fs::create_dir_all(directory)
        .and_then(|()| std::fs::write(&path, svg))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    println!("\n  {}\n", path.display());
    Ok(())
}

/// Runs baseline nodes.
fn baseline(options: &Options, cases: &[Case]) -> Vec<Summary> {
    in_parallel(cases, |case| {
        let block_set = case.block_set();
        let seeds = options.seed..options.seed + options.seeds;
        let outcomes =
            seeds.map(|seed| reference::run_baseline(case, &block_set, seed, None)).collect();
        Summary::new(*case, outcomes)
    })
}

/// Tells in which cases baseline nodes come close to what the reference implementation was measured
/// at. True when they are enough to trust the model.
fn report_model(baseline: &[Summary]) -> bool {
    let near: Vec<&str> = baseline
        .iter()
        .filter(|summary| summary.is_near_measured())
        .map(|summary| summary.case.name)
        .collect();
    println!(
        "model check: baseline nodes with the reference's batching come within 15 % of its messages \
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
