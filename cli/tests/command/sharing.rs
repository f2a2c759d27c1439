//! A `bitswap share` that runs beside a test.

use std::process::{Child, Stdio};

use super::{bitswap, lines};

/// A running `bitswap share`, that is ended with the test.
pub(crate) struct Sharing {
    child: Child,
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
        let mut child = bitswap()
            .args(["share", "--json", "--no-mdns", "--listen", address])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let shared = lines(&mut child).find(|line| line["event"] == "shared").unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        Self { child, cid: text(&shared["cid"]), address: text(&shared["addresses"][0]) }
    }

    /// Interrupts it, as Ctrl-C does, and gives its exit code.
    pub(crate) fn stop(mut self) -> i32 {
        interrupt(&self.child);
        self.child.wait().unwrap().code().unwrap_or(0)
    }
}

impl Drop for Sharing {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends what Ctrl-C sends; elsewhere than on Unix there is no such thing for one process.
pub(crate) fn interrupt(child: &Child) {
    #[cfg(unix)]
    {
        let sent =
            std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }
    #[cfg(not(unix))]
    let _ = child;
}
