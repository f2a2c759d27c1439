//! One measurement: in a process of its own.

use std::io;
use std::process::{Command, ExitCode};
use std::time::Duration;

use bitswap_benches::blocks::blocks;
use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};

use crate::contender::Contender;

/// What is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// The length of each block.
    pub bytes: usize,
    /// How many there are: a second's worth or more for the fastest.
    count: usize,
}

impl Case {
    pub const ALL: [Self; 4] = [
        Self { bytes: 1 << 10, count: 200_000 },
        Self { bytes: 16 << 10, count: 40_000 },
        Self { bytes: 256 << 10, count: 2_000 },
        Self { bytes: 1 << 20, count: 500 },
    ];

    fn of(bytes: usize) -> Option<Self> {
        Self::ALL.into_iter().find(|case| case.bytes == bytes)
    }
}

/// What one measurement saw.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Figures {
    pub blocks: u64,
    pub bytes: u64,
    /// From the first request to the last block.
    pub seconds: f64,
    /// CPU time of both ends meanwhile, user and system.
    pub cpu_seconds: f64,
    /// The most memory the process had, above what the blocks themselves take before the start (MiB).
    pub memory_mib: f64,
}

impl Figures {
    pub fn blocks_per_second(&self) -> f64 {
        self.blocks as f64 / self.seconds
    }

    pub fn mib_per_second(&self) -> f64 {
        self.bytes as f64 / f64::from(1 << 20) / self.seconds
    }

    pub fn cpu_seconds_per_gib(&self) -> f64 {
        self.cpu_seconds / (self.bytes as f64 / f64::from(1 << 30))
    }
}

/// Runs one measurement in a process of its own.
pub fn measure_in_child(contender: Contender, case: Case, smoke: bool) -> io::Result<Figures> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--one", contender.name(), &case.bytes.to_string()]);
    if smoke {
        command.arg("--smoke");
    }
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("the measurement ended with {}", output.status)));
    }
    serde_json::from_slice(&output.stdout).map_err(io::Error::other)
}

/// One measurement in this process, as JSON.
pub fn print_one(contender: &str, bytes: &str, smoke: bool) -> ExitCode {
    let contender = Contender::ALL.into_iter().find(|known| known.name() == contender);
    let case = bytes.parse().ok().and_then(Case::of);
    let (Some(contender), Some(case)) = (contender, case) else {
        eprintln!("no such contender or size");
        return ExitCode::from(2);
    };
    let blocks = blocks(if smoke { case.count / 10 } else { case.count }, case.bytes);
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let tokio = match tokio {
        Ok(tokio) => tokio,
        Err(error) => {
            eprintln!("no async runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (before, memory) = (cpu(), peak_memory_mib());
    let time = tokio.block_on(contender.run(&blocks));
    let figures = Figures {
        blocks: blocks.len() as u64,
        bytes: blocks.iter().map(|block| block.data().len() as u64).sum(),
        seconds: time.as_secs_f64(),
        cpu_seconds: cpu().saturating_sub(before).as_secs_f64(),
        memory_mib: peak_memory_mib() - memory,
    };
    match serde_json::to_string(&figures) {
        Ok(json) => println!("{json}"),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// CPU time of this process so far, user and system.
fn cpu() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return Duration::ZERO };
    [usage.user_time(), usage.system_time()]
        .iter()
        .map(|time| Duration::from_micros((time.tv_sec() * 1_000_000 + time.tv_usec()) as u64))
        .sum()
}

fn peak_memory_mib() -> f64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0.0, |usage| usage.max_rss() as f64 / 1024.0)
}
