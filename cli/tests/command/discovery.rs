//! Two machines that find each other: two network namespaces, joined by a cable that exists only in
//! the kernel. Nothing leaves this machine.

use super::process::{Program, lines};

/// Two namespaces with a cable between them.
struct Machines {
    names: [String; 2],
}

impl Machines {
    /// `None` where namespaces may not be made.
    fn new() -> Option<Self> {
        let names = ["a", "b"].map(|side| format!("bitswap-{}-{side}", std::process::id()));
        let machines = Self { names };
        let [a, b] = &machines.names;
        for name in [a, b] {
            ip(&["netns", "add", name])?;
        }
        ip(&[
            "link", "add", "cable", "netns", a, "type", "veth", "peer", "name", "cable", "netns", b,
        ])?;
        for (name, address) in [(a, "10.20.30.1/24"), (b, "10.20.30.2/24")] {
            ip(&["-n", name, "address", "add", address, "dev", "cable"])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
            ip(&["-n", name, "link", "set", "cable", "up", "multicast", "on"])?;
            ip(&["-n", name, "route", "add", "224.0.0.0/4", "dev", "cable"])?;
        }
        Some(machines)
    }

    fn bitswap(&self, machine: usize, arguments: &[&str]) -> Program {
        let mut command = Program::new("ip");
        let binary = env!("CARGO_BIN_EXE_bitswap");
        command.args(["netns", "exec", &self.names[machine], binary]).args(arguments);
        command
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        for name in &self.names {
            // It may never have been made.
            let _ = ip(&["netns", "del", name]);
        }
    }
}

fn ip(arguments: &[&str]) -> Option<()> {
    let output = Program::new("ip").args(arguments).output();
    output.is_ok_and(|output| output.status.success()).then_some(())
}

#[test]
fn a_file_is_found_on_the_local_network_by_its_cid_alone() {
    let Some(machines) = Machines::new() else {
        eprintln!("skipped: making network namespaces needs root and `ip`");
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n / 251) as u8).collect();
    let source = directory.path().join("source");
    std::fs::write(&source, &bytes).unwrap();

    // Discovery on tokio is libp2p's; on the others it is ours, and the two must understand each other.
    for [from, to] in
        [["tokio", "tokio"], ["tokio", "async-std"], ["async-std", "tokio"], ["smol", "async-std"]]
    {
        let share = ["share", "--json", source.to_str().unwrap(), "--runtime", from];
        let mut share = machines.bitswap(0, &share).spawn().unwrap();
        let shared = lines(&mut share).find(|line| line["event"] == "shared").unwrap();

        let target = directory.path().join(to);
        let cid = shared["cid"].as_str().unwrap();
        let get = ["get", cid, "--timeout", "30", "-o", target.to_str().unwrap(), "--runtime", to];
        let output = machines.bitswap(1, &get).output().unwrap();
        assert!(output.status.success(), "{from} to {to}: {output:?}");
        assert!(std::fs::read(&target).unwrap() == bytes);
        std::fs::remove_file(&target).unwrap();
    }
}
