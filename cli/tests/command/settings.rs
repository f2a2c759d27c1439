//! Settings from the command line, the environment and a file.

use super::process::Program;
use super::sharing::Sharing;
use super::{HELLO, bitswap, path};

fn said(command: &mut Program, code: i32) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if code == 0 { text(output.stdout) } else { text(output.stderr) }
}

#[test]
fn the_command_line_goes_before_the_environment_and_that_before_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    let sharing = Sharing::start(&["--text", "Hello World"]);
    let (good, bad) = (sharing.address.as_str(), "/ip4/127.0.0.1/tcp/1");
    let config = ["--config", path(&file)];
    let cat = |from_file: &str, from_environment: Option<&str>, line: &[&str], code: i32| {
        std::fs::write(&file, format!("[cat]\nfrom = \"{from_file}\"\n")).unwrap();
        let mut cat = bitswap();
        from_environment.map(|from| cat.env("BITSWAP_FROM", from));
        said(cat.args(config).args(["cat", HELLO]).args(line), code)
    };
    assert_eq!(cat(good, None, &[], 0), "Hello World");
    assert!(cat(bad, None, &[], 7).contains("no machine could be connected to"));
    assert_eq!(cat(bad, Some(good), &[], 0), "Hello World");
    assert!(cat(good, Some(bad), &[], 7).contains("no machine"));
    assert_eq!(cat(bad, Some(bad), &["--from", good], 0), "Hello World");
    // A variable has as many values as it says; the first machine is not there.
    assert_eq!(cat(bad, Some(&format!("{bad}, {good}")), &[], 0), "Hello World");
}

#[test]
fn what_goes_before_another_place_also_excludes_what_is_said_there() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let (file, source, store) = (at("config.toml"), at("source"), at("store"));
    let other = at("other");
    std::fs::write(&source, "Hello World").unwrap();
    let sharing = Sharing::start(&["--text", "Hello World"]);
    let run = |text: &str, variables: &[(&str, &str)], line: &[&str], code: i32| {
        std::fs::write(&file, text).unwrap();
        let mut command = bitswap();
        for (name, value) in variables {
            command.env(name, value);
        }
        said(command.args(["--config", path(&file)]).args(line), code)
    };
    let hash = ["add", path(&source), "--only-hash"];
    let add = &hash[..2];
    let cat = ["cat", HELLO, "--from", sharing.address.as_str()];
    let verbose = [&cat[..], &["-v"]].concat();
    let quiet = [&cat[..], &["-q"]].concat();
    let kept = ["BITSWAP_STORE", path(&store)];
    let kept = (kept[0], kept[1]);
    let cid = format!("{HELLO}\n");
    // The command line before the file, whichever of the two says that it excludes the other.
    assert_eq!(run(&format!("[add]\nstore = {:?}\n", path(&store)), &[], &hash, 0), cid);
    assert!(!store.exists());
    assert_eq!(run("quiet = true\n", &[], &verbose, 0), "Hello World");
    assert_eq!(run("verbose = 1\n", &[], &quiet, 0), "Hello World");
    // Before the environment, and that before the file.
    assert_eq!(run("", &[kept], &hash, 0), cid);
    assert_eq!(run("", &[("BITSWAP_QUIET", "1")], &verbose, 0), "Hello World");
    assert_eq!(run("quiet = true\n", &[("BITSWAP_VERBOSE", "2")], &cat, 0), "Hello World");
    let both = [("BITSWAP_QUIET", "1"), ("BITSWAP_VERBOSE", "1")];
    assert!(run("", &both, &cat, 2).contains("cannot be used with"));
    // A table of a command before what is for all.
    assert_eq!(run("quiet = true\n[cat]\nverbose = 1\n", &[], &cat, 0), "Hello World");
    // What is off excludes nothing, and is not there for what needs it.
    assert_eq!(run("", &[("BITSWAP_QUIET", "0")], &verbose, 0), "Hello World");
    assert!(run("", &[("BITSWAP_ONLY_HASH", "0")], add, 2).contains("--store"));
    assert_eq!(run("", &[("BITSWAP_ONLY_HASH", "0"), kept], add, 0), cid);
    assert!(store.exists());
    // A limit is one of a store: without one it is left out, unless it is on the command line.
    assert_eq!(run("store-limit = \"5MiB\"\n", &[], &cat, 0), "Hello World");
    assert_eq!(run("", &[("BITSWAP_STORE_LIMIT", "5MiB")], &cat, 0), "Hello World");
    let limited = ["add", path(&source), "--store", path(&other)];
    assert!(run("store-limit = 1\n", &[], &limited, 4).contains("store"));
    // One that lasts, and one that does not.
    let key = at("key");
    let text = format!("[share]\nidentity = {:?}\n", path(&key));
    std::fs::write(&file, text).unwrap();
    let mut share = bitswap();
    share.args(["--config", path(&file), "share", "--text", "x", "--ephemeral", "--no-mdns"]);
    let share = share.args(["--listen", "/ip4/127.0.0.1/tcp/0"]).spawn().unwrap();
    share.until("Serving until Ctrl-C.");
    assert!(!key.exists());
}

#[test]
fn a_variable_that_is_empty_says_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    let sharing = Sharing::start(&["--text", "Hello World"]);
    std::fs::write(&file, format!("from = {:?}\n", sharing.address)).unwrap();
    for name in ["FROM", "BOOTSTRAP", "LISTEN", "STORE", "LIMIT_DOWN", "VERBOSE", "DHT", "RUNTIME"]
    {
        let mut cat = bitswap();
        cat.env(format!("BITSWAP_{name}"), "").args(["--config", path(&file), "cat", HELLO]);
        assert_eq!(said(&mut cat, 0), "Hello World", "{name}");
    }
    let mut cat = bitswap();
    cat.env("BITSWAP_CONFIG", "").args(["cat", HELLO, "--from", &sharing.address]);
    assert_eq!(said(&mut cat, 0), "Hello World");
    let mut cat = bitswap();
    cat.env("BITSWAP_CONFIG", &file).env("BITSWAP_VERBOSE", "true").args(["cat", HELLO]);
    assert_eq!(said(&mut cat, 0), "Hello World");
    let error = said(bitswap().args(["cat", HELLO, "--from", ""]), 2);
    assert!(error.contains("it is no multiaddress"), "{error}");
}

#[test]
fn the_file_holds_for_the_commands_of_a_store_too() {
    let directory = tempfile::tempdir().unwrap();
    let (file, store) = (directory.path().join("config.toml"), directory.path().join("store"));
    std::fs::write(&file, format!("json = true\nstore = {:?}\n", path(&store))).unwrap();
    let run = |line: &[&str]| {
        let text = said(bitswap().args(["--config", path(&file)]).args(line), 0);
        serde_json::from_str::<serde_json::Value>(text.lines().last().unwrap()).unwrap()
    };
    assert_eq!(run(&["add", path(&file)])["kept"], true);
    assert_eq!(run(&["store", "stat"])["pins"], 1);
    assert_eq!(run(&["config", "show"])["event"], "setting");
    let mut collect = bitswap();
    collect.env("BITSWAP_TO", "1GiB").args(["--config", path(&file), "store", "gc"]);
    assert!(said(&mut collect, 0).contains("\"left_blocks\":1"));
}

#[test]
fn a_file_that_is_wrong_says_where_and_what_may_have_been_meant() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    for (text, expected) in [
        ("limit-upp = \"5MiB\"", "limit-upp is no setting; did you mean limit-up ?"),
        ("limit-up = \"5 apples\"", "\"apples\" is no unit"),
        ("[get]\nif-exists = \"perhaps\"", "invalid value 'perhaps' for '--if-exists"),
        ("json = 1", "json is on or off: true or false"),
        ("limit-up = ", "line 1"),
    ] {
        std::fs::write(&file, text).unwrap();
        for line in [&["get", HELLO, "--from", "/ip4/127.0.0.1/tcp/1"][..], &["config", "show"]] {
            let error = said(bitswap().args(["--config", path(&file)]).args(line), 2);
            let names = error.contains(&format!("the configuration file {}: ", file.display()));
            assert!(names && error.contains(expected), "{line:?}: {error}");
            assert!(!error.contains("Usage:"), "{error}");
        }
    }
    let missing = directory.path().join("missing.toml");
    let error = said(bitswap().args(["--config", path(&missing), "config", "show"]), 8);
    assert!(error.contains("cannot be read"), "{error}");
    // Objects are printed as the file says, also when something else is wrong with the line.
    std::fs::write(&file, "json = true\n").unwrap();
    let output = bitswap().args(["--config", path(&file), "get", "nonsense"]).output().unwrap();
    assert!(output.stdout.starts_with(b"{\"code\":2"), "{output:?}");
}

#[test]
fn what_holds_is_shown_with_where_it_is_from() {
    const FROM: &str = "/ip4/127.0.0.1/tcp/1, /ip4/127.0.0.1/tcp/2";
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("bitswap");
    std::fs::create_dir(&home).unwrap();
    let text = "limit-up = \"5MiB\"\ntimeout = 60\n[get]\ntimeout = 90\norder = \"random\"\n";
    std::fs::write(home.join("config.toml"), text).unwrap();
    let show = |rest: &[&str]| {
        let mut show = bitswap();
        for name in ["XDG_CONFIG_HOME", "APPDATA"] {
            show.env(name, directory.path());
        }
        show.env("BITSWAP_ORDER", "deadline").env("BITSWAP_FROM", FROM);
        said(show.args(["config", "show"]).args(rest), 0)
    };
    let get = show(&["get"]);
    for line in [
        "limit-up = \"5MiB\"  # configuration file",
        "timeout = 90  # configuration file",
        "order = \"deadline\"  # environment: BITSWAP_ORDER",
        "from = [\"/ip4/127.0.0.1/tcp/1\", \"/ip4/127.0.0.1/tcp/2\"]  # environment: BITSWAP_FROM",
        "if-exists = \"refuse\"  # default",
    ] {
        assert!(get.lines().any(|other| other == line), "{line}: {get}");
    }
    assert!(get.starts_with(&format!("# {}\n", home.join("config.toml").display())), "{get}");
    let all = show(&[]);
    assert!(all.contains("\n[cat]\n") && all.contains("timeout = 60"), "{all}");
    assert!(!all.contains("# default"), "{all}");
    let none = show(&["--config", "none"]);
    assert!(!none.contains("configuration file"), "{none}");
    // What is wrong in the environment is not the file's fault.
    let mut wrong = bitswap();
    wrong.env("BITSWAP_LIMIT_UP", "fast").args(["config", "show", "get"]);
    let error = said(&mut wrong, 2);
    assert!(error.contains("invalid value 'fast' for '--limit-up"), "{error}");
}
