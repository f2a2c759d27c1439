//! What `--json` prints is what the schema in the docs says.

use std::collections::BTreeSet;
use std::path::Path;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;

use super::process::{Program, lines};
use super::{HELLO, NOWHERE, bitswap, path, sample};

/// The schema, and which of its events were seen.
struct Checked {
    schemas: Schemas,
    schema: SchemaIndex,
    seen: BTreeSet<String>,
}

impl Checked {
    fn new() -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/events.schema.json");
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        let schema = compiler.compile(path(&file), &mut schemas).unwrap();
        Self { schemas, schema, seen: BTreeSet::new() }
    }

    fn check(&mut self, object: &Value) {
        if let Err(error) = self.schemas.validate(object, self.schema) {
            panic!("{object}: {error:#}");
        }
        self.seen.insert(object["event"].as_str().unwrap().to_owned());
    }

    /// Checks all that a command prints, on either output.
    fn run(&mut self, command: &mut Program, code: i32) {
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let objects = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        let objects: Vec<&str> = objects.iter().flat_map(|text| text.lines()).collect();
        assert!(!objects.is_empty());
        for line in objects.into_iter().filter(|line| line.starts_with('{')) {
            self.check(&serde_json::from_str(line).expect(line));
        }
    }
}

#[test]
fn every_object_that_a_command_prints_is_as_the_schema_says() {
    let mut checked = Checked::new();
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    sample(&folder, 3 << 20);
    let file = folder.join("source");
    let command = |arguments: &[&str]| {
        let mut command = bitswap();
        command.args(["--json"]).args(arguments);
        command
    };
    let mut share = command(&[
        "share",
        "--no-mdns",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
        "--metrics",
        "127.0.0.1:0",
        path(&folder),
    ]);
    let mut share = share.spawn().unwrap();
    let mut lines = lines(&mut share);
    let shared = loop {
        let object = lines.next().unwrap();
        checked.check(&object);
        if object["event"] == "shared" {
            break object;
        }
    };
    let (cid, from) = (shared["cid"].as_str().unwrap(), shared["addresses"][0].as_str().unwrap());
    let target = directory.path().join("target");
    let to = ["--from", from, "-o", path(&target)];
    checked.run(command(&["get", cid]).args(to), 0);
    let file_target = directory.path().join("file");
    let one = format!("{cid}/source");
    checked.run(&mut command(&["get", &one, "--from", from, "-o", path(&file_target)]), 0);
    checked.run(&mut command(&["get", &one, "--from", from, "-o", path(&file_target)]), 0);
    let timeout = ["--wait", "--timeout", "4"];
    checked.run(command(&["get", NOWHERE]).args(to).args(timeout), 3);
    checked.run(&mut command(&["ls", cid, "--from", from]), 0);
    checked.run(command(&["cat", &one, "--range", "0-9", "--from", from]).stdout(quiet()), 0);
    std::fs::write(target.join("extra"), "more").unwrap();
    std::fs::write(target.join("source"), "less").unwrap();
    checked.run(&mut command(&["verify", path(&target), cid, "--from", from]), 10);
    checked.run(&mut command(&["verify", path(&file), &one, "--from", from]), 0);
    checked.run(&mut command(&["check", cid, from]), 0);
    // Twice what it serves is looked at, once after it was got.
    let serving = lines.find(|object| object["event"] == "serving" && object["bytes"] != 0);
    checked.check(&serving.unwrap());
    std::fs::write(&file, "other").unwrap();
    checked.check(&lines.find(|object| object["event"] == "changed").unwrap());
    drop(lines);
    if share.interrupt() {
        let output = share.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        checked.check(&serde_json::from_str(text.lines().last().unwrap()).unwrap());
        assert!(checked.seen.contains("served"), "{text}");
    }

    let blocks = directory.path().join("blocks");
    let to = ["--store", path(&blocks)];
    checked.run(command(&["add", path(&file)]).args(to), 0);
    let shared_text = "one of the store's own";
    std::fs::write(&file, shared_text).unwrap();
    let added = command(&["add", "--no-pin", path(&file)]).args(to).output().unwrap();
    let added = String::from_utf8(added.stdout).unwrap();
    let added: Value = serde_json::from_str(added.lines().last().unwrap()).unwrap();
    let loose = added["cid"].as_str().unwrap();
    for (what, code) in [
        (&["ls"][..], 0),
        (&["stat"], 0),
        (&["pin", loose], 0),
        (&["ls", "--pins"], 0),
        (&["unpin", loose], 0),
        (&["rm", loose], 0),
        (&["gc"], 0),
    ] {
        checked.run(command(&["store"]).args(what).args(to), code);
    }
    damage(&blocks);
    checked.run(command(&["store", "verify"]).args(to), 10);
    checked.run(&mut command(&["doctor", path(&folder), "--listen", "/ip4/127.0.0.1/tcp/0"]), 0);
    checked.run(&mut command(&["demo", "--size", "1", "--rounds", "1"]), 0);
    let any_port = ["--listen", "/ip4/127.0.0.1/tcp/0"];
    let mut serving = command(&["bench", "serve", "--size", "2"]).args(any_port).spawn().unwrap();
    let at = super::process::lines(&mut serving).find(|object| object["event"] != "note").unwrap();
    checked.check(&at);
    let [node, bare] = ["address", "bare"].map(|name| at[name].as_str().unwrap());
    let all = ["bench", node, "--bare", bare, "--size", "2", "--rounds", "1", "--at-once", "all"];
    checked.run(&mut command(&all), 0);
    checked.run(command(&["config", "show"]).env("BITSWAP_LIMIT_UP", "5MiB"), 0);
    checked.run(&mut command(&["config", "show", "get"]), 0);
    checked.run(&mut command(&["--version"]), 0);
    checked.run(&mut command(&["get", "--help"]), 0);
    checked.run(&mut command(&["get", "nonsense"]), 2);
    checked.run(&mut command(&["cat", HELLO, "--from", "/ip4/127.0.0.1/tcp/1"]), 7);

    // The rest needs other machines, and is printed by tests of their own.
    let text = std::fs::read_to_string("../docs/events.schema.json").unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    let known: BTreeSet<&str> =
        schema["$defs"].as_object().unwrap().keys().map(String::as_str).collect();
    let elsewhere = [
        "announced",
        "link_skipped",
        "no_bitswap",
        "published",
        "resolved",
        "served",
        "stall_ended",
        "stalled",
    ];
    let is_unseen = |name: &&&str| !checked.seen.contains(**name) && !elsewhere.contains(name);
    let unseen: Vec<&&str> = known.iter().filter(is_unseen).collect();
    assert!(unseen.is_empty(), "no command printed {unseen:?}");
}

/// Changes the first byte of every block in a store.
fn damage(store: &Path) {
    for shard in std::fs::read_dir(store.join("blocks")).unwrap() {
        for block in std::fs::read_dir(shard.unwrap().path()).unwrap() {
            let at = block.unwrap().path();
            let mut bytes = std::fs::read(&at).unwrap();
            bytes[0] ^= 1;
            std::fs::write(&at, bytes).unwrap();
        }
    }
}

/// Nowhere.
fn quiet() -> std::process::Stdio {
    std::process::Stdio::null()
}
