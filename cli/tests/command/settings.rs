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
    // What is excluded by the command line does not hold.
    std::fs::write(&file, "quiet = true\n").unwrap();
    let line = ["-v", "cat", HELLO, "--from", good];
    assert_eq!(said(bitswap().args(config).args(line), 0), "Hello World");
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
