//! A `bitswap share` that runs beside a test.

use super::bitswap;
use super::process::{Running, lines};

/// A running `bitswap share`, that is ended with the test.
pub(crate) struct Sharing {
    running: Running,
    pub cid: String,
    /// Where it can be dialled.
    pub address: String,
}

impl Sharing {
    /// Starts it on loopback and waits until it serves.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_at("/ip4/127.0.0.1/tcp/0", arguments)
    }

    /// Starts it at an address.
    pub(crate) fn start_at(address: &str, arguments: &[&str]) -> Self {
        let mut running = bitswap()
            .args(["share", "--json", "--no-mdns", "--listen", address])
            .args(arguments)
            .spawn()
            .unwrap();
        let shared = lines(&mut running).find(|line| line["event"] == "shared").unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        Self { running, cid: text(&shared["cid"]), address: text(&shared["addresses"][0]) }
    }

    /// Interrupts it, as Ctrl-C does, and gives its exit code.
    pub(crate) fn stop(mut self) -> i32 {
        let is_told = self.running.interrupt();
        let code = self.running.wait().unwrap().code().unwrap_or(0);
        if is_told { code } else { 0 }
    }
}
