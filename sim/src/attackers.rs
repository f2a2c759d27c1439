//! The command that runs attackers.

use std::time::Instant;

use bitswap_sim::{Attack, Attacked, PeerBehavior, Speed, Victim};

use super::{in_parallel, tell};

/// What to run.
#[derive(Debug)]
pub(super) struct Options {
    seeds: u64,
    seed: Option<u64>,
    /// Places of attackers that are left out.
    without: Vec<usize>,
    trace: bool,
    /// Part of the name of the only behaviors to run.
    name: Option<String>,
}

impl Options {
    pub(super) fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options =
            Self { seeds: 200, seed: None, without: Vec::new(), trace: false, name: None };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            let wrong = |value: &str| format!("{word} needs a number, not {value}");
            match *word {
                "--seeds" => {
                    let value = value()?;
                    options.seeds = value.parse().map_err(|_| wrong(value))?;
                }
                "--seed" => {
                    let value = value()?;
                    options.seed = Some(value.parse().map_err(|_| wrong(value))?);
                }
                "--without" => {
                    let places = value()?.split(',');
                    let places = places.map(|place| place.parse().map_err(|_| wrong(place)));
                    options.without = places.collect::<Result<_, _>>()?;
                }
                "--trace" => options.trace = true,
                other if other.starts_with('-') => return Err(format!("unknown option {other}")),
                name => options.name = Some(name.into()),
            }
        }
        let known = |name: &str| {
            PeerBehavior::ATTACKS.iter().any(|behavior| behavior.name().contains(name))
        };
        match &options.name {
            Some(name) if !known(name) => {
                let all: Vec<String> = PeerBehavior::ATTACKS.iter().map(|it| it.name()).collect();
                Err(format!("there is no behavior {name}; there are {}", all.join(", ")))
            }
            _ => Ok(options),
        }
    }

    /// True when every promise was kept.
    pub(super) fn run(&self) -> bool {
        let began = Instant::now();
        let mut failed = 0;
        // A seed names one combination to be looked at, so the others are not in its way.
        if self.seed.is_none() || self.name.is_some() {
            failed += self.alone();
        }
        let mut combinations = 0;
        if self.name.is_none() {
            let first = self.seed.unwrap_or(1);
            let count = if self.trace { 1 } else { self.seeds };
            let seeds: Vec<u64> = (0..count).map(|n| first.wrapping_add(n)).collect();
            combinations = seeds.len();
            failed += in_parallel(&seeds, |seed| self.combination(*seed))
                .into_iter()
                .filter(|kept| !kept)
                .count();
        }
        let took = began.elapsed().as_secs_f64();
        println!("{combinations} seeds of combinations in {took:.1} s: {failed} failed");
        failed == 0
    }

    /// How many behaviors fail alone.
    fn alone(&self) -> usize {
        let wanted = |behavior: &PeerBehavior| {
            self.name.as_ref().is_none_or(|name| behavior.name().contains(name))
        };
        let mut attacks = Vec::new();
        for behavior in PeerBehavior::ATTACKS.into_iter().filter(wanted) {
            for victim in [Victim::Fetcher, Victim::Seeders] {
                for speed in [Speed::Fast, Speed::Slow] {
                    let tell = self.trace.then_some(tell as fn(&str));
                    attacks.push(Attack { tell, ..Attack::of(behavior, victim, speed) });
                }
            }
        }
        let results = in_parallel(&attacks, run);
        let mut failed = 0;
        for (attack, result) in attacks.iter().zip(results) {
            let Attack { speed, attackers, .. } = attack;
            let what = format!("{:?}", attackers[0].behavior);
            let victim = attackers[0].victim;
            match result {
                Ok(outcome) => println!("{what:<26} {victim:?} {speed:?}: {outcome}"),
                Err(why) => {
                    failed += 1;
                    println!("{what:<26} {victim:?} {speed:?}: FAILED: {why}");
                }
            }
        }
        failed
    }

    /// Whether the combination of a seed does no harm; if it does, tells the fewest that do.
    fn combination(&self, seed: u64) -> bool {
        let attack = |without: &[usize]| Attack::draw(seed).without(without);
        let mut without = self.without.clone();
        if self.trace {
            let traced = Attack { tell: Some(tell), ..attack(&without) };
            println!("{traced:#?}");
            let result = run(&traced);
            println!("{result:?}");
            return result.is_ok();
        }
        if run(&attack(&without)).is_ok() {
            return true;
        }
        for place in 0..Attack::draw(seed).attackers.len() {
            if without.contains(&place) {
                continue;
            }
            without.push(place);
            if run(&attack(&without)).is_ok() {
                without.pop();
            }
        }
        let least = attack(&without);
        let why = run(&least).err().unwrap_or_default();
        let left_out: Vec<String> = without.iter().map(ToString::to_string).collect();
        let option = match left_out.as_slice() {
            [] => String::new(),
            places => format!(" --without {}", places.join(",")),
        };
        eprintln!(
            "seed {seed}: {why}\n{least:?}\nreplay: cargo run --release -p bitswap-sim -- attackers \
             --seed {seed} --seeds 1{option}"
        );
        false
    }
}

/// A broken contract is a failure like any other.
fn run(attack: &Attack) -> Result<Attacked, String> {
    let result = std::panic::catch_unwind(|| attack.run());
    result.unwrap_or_else(|_| Err("an engine broke its contract, as told above".into()))
}
