//! Runs one input, says what it spells, or writes the first inputs of a target.

use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs, io};

use bitswap_fuzz::{engine_ops, seeds, target};

const USAGE: &str = "bitswap-fuzz TARGET FILE...    run these inputs
bitswap-fuzz describe FILE     print the operations of an input of engine_ops
bitswap-fuzz seeds TARGET DIR  write the first inputs of a target to a directory";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["describe", file] => {
            fs::read(file).map(|input| print!("{}", engine_ops::describe(&input)))
        }
        ["seeds", name, dir] if target(name).is_some() => write_seeds(name, dir.into()),
        [name, ref files @ ..] if !files.is_empty() && target(name).is_some() => run(name, files),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, files: &[&str]) -> io::Result<()> {
    for file in files {
        let input = fs::read(file)?;
        if let Some(target) = target(name) {
            target(&input);
        }
        println!("{file}: no rule broken");
    }
    Ok(())
}

fn write_seeds(name: &str, dir: PathBuf) -> io::Result<()> {
    fs::create_dir_all(&dir)?;
    for (at, input) in seeds::of(name).into_iter().enumerate() {
        fs::write(dir.join(format!("seed-{at:03}")), input)?;
    }
    Ok(())
}
