//! What is and what is not a file to the command, and what memory a file takes.

use std::path::Path;
use std::process::{Output, Stdio};

use super::process::{Program, lines};
use super::sharing::Sharing;
use super::{HELLO, bitswap, path, run};

fn fifo(directory: &Path) -> std::path::PathBuf {
    let fifo = directory.join("fifo");
    assert!(Program::new("mkfifo").args([&fifo]).output().unwrap().status.success());
    fifo
}

/// It ended with the exit code of file errors and said why.
fn assert_file_error(output: &Output, why: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(8), "{error}");
    assert!(error.contains(why), "{error}");
    assert!(output.stdout.is_empty());
}

#[test]
fn what_is_not_a_file_is_not_shared() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = fifo(directory.path());
    let share = |path: &Path, stdin: Stdio| {
        bitswap().args(["share", "--no-mdns"]).args([path]).stdin(stdin).output().unwrap()
    };
    let refused = share(&fifo, Stdio::null());
    assert_file_error(&refused, "is a pipe (FIFO); only regular files can be shared");
    assert_file_error(&share(Path::new("/dev/stdin"), Stdio::piped()), "is a pipe (FIFO)");
    assert_file_error(&share(Path::new("/dev/zero"), Stdio::null()), "is a device");
    // Nor is a folder that has such a thing in it.
    assert_file_error(&share(directory.path(), Stdio::null()), "fifo is a pipe (FIFO)");
    // What a shell makes of <(echo hi).
    let output = Program::new("bash")
        .args(["-c", "\"$0\" share --no-mdns <(echo hi)", env!("CARGO_BIN_EXE_bitswap")])
        .output()
        .unwrap();
    assert_file_error(&output, "is a pipe (FIFO)");
}

#[test]
fn a_place_where_nothing_can_be_put_is_named_before_anybody_is_asked() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("file"), "mine").unwrap();
    for (target, folder, why) in [
        ("missing/target", "missing", "it does not exist; make it first"),
        ("file/target", "file", "it is no folder"),
        ("file/in/target", "file/in", &format!("{} is no folder", path(&at("file")))),
    ] {
        // Nobody is there, which would be another error.
        let gone = ["--from", "/ip4/127.0.0.1/tcp/1"];
        let output = run(&["get", HELLO, gone[0], gone[1], "-o", path(&at(target))]);
        let why = format!("error: nothing can be put in {}: {why}", path(&at(folder)));
        assert_file_error(&output, &why);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_in_which_no_file_can_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), "text").unwrap();
    let text = Sharing::start(&["--text", "Hello World"]);
    let folder = Sharing::start(&[path(directory.path())]);
    for sharing in [text, folder] {
        // Nobody makes a file there, not even the superuser.
        let from = ["--from", sharing.address.as_str(), "-o", "/proc/target"];
        let output = run(&[&["get", &sharing.cid], &from[..]].concat());
        assert_file_error(&output, "error: nothing can be put in /proc: ");
    }
}

#[test]
fn an_option_that_names_no_file_of_its_kind_is_refused_at_once_and_costs_no_memory() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = fifo(directory.path());
    let zero = Path::new("/dev/zero");
    let endless = "it has more than 64.0 MiB; is it the right one?";
    for (option, file, code, why) in [
        ("--input", zero, 8, endless),
        ("--deny", zero, 2, "it is neither a regular file nor a pipe"),
        ("--deny", directory.path(), 2, "it is a folder"),
        ("--swarm-key", zero, 2, "it is no regular file"),
        ("--swarm-key", &fifo, 2, "it is no regular file"),
        ("--config", zero, 8, "it is no regular file"),
        ("--config", &fifo, 8, "it is no regular file"),
        ("--config", directory.path(), 8, "it is a folder"),
        ("--identity", zero, 8, "it is a device"),
        ("--identity", &fifo, 8, "it is a pipe (FIFO)"),
    ] {
        // A hundred times what any of these files has, beside what the program itself takes.
        let limited = "ulimit -v 4000000; exec \"$0\" \"$@\"";
        let output = Program::new("bash")
            .with_data_of_its_own()
            .args(["-c", limited, env!("CARGO_BIN_EXE_bitswap"), "get", HELLO])
            .args(["--from", "/ip4/127.0.0.1/tcp/1", option, path(file)])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{option} {file:?}: {said}");
        assert!(said.contains(why), "{option} {file:?}: {said}");
    }
}

#[test]
fn a_list_that_comes_out_of_a_pipe_is_waited_for_and_read_once() {
    let directory = tempfile::tempdir().unwrap();
    let sharing = Sharing::start(&["--text", "Hello World"]);
    let from = ["--from", sharing.address.as_str()];
    // Nobody writes to these yet.
    let fifo = fifo(directory.path());
    let (reader, _writer) = std::io::pipe().unwrap();
    let arguments = [&["get", "--input"], &[path(&fifo)][..], &from].concat();
    let silent = bitswap().args(arguments).spawn().unwrap();
    let arguments = [&["cat", HELLO, "--deny"], &[path(&fifo)][..], &from].concat();
    let denied = bitswap().args(arguments).spawn().unwrap();
    let stdin = bitswap().args(["get", "-i", "-"]).args(from).stdin(reader).spawn().unwrap();
    let waiting = format!("waiting: {} has not ended yet", path(&fifo));
    silent.until_error(&waiting);
    denied.until_error(&waiting);
    stdin.until_error("waiting: standard input has not ended yet");
    drop((silent, denied, stdin));

    // What a shell makes of <(...); a list that is empty would deny nothing.
    let shell = |command: &str, list: &str| {
        let mut program = Program::new("bash").with_data_of_its_own();
        let target = directory.path().join("target");
        program
            .args(["-c", command, env!("CARGO_BIN_EXE_bitswap"), HELLO, list, path(&target)])
            .args(from);
        let output = program.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let cat = "\"$0\" cat \"$1\" \"$4\" \"$5\" --deny <(echo \"$2\")";
    let (code, said) = shell(cat, &format!("/ipfs/{HELLO}"));
    assert_eq!(code, Some(12), "{said}");
    let (code, said) = shell(cat, "/ipns/example.test");
    assert!(code == Some(2) && said.contains("given with --deny: line 1: "), "{said}");
    let get = "\"$0\" get -i <(echo \"$2\") -o \"$3\" \"$4\" \"$5\"";
    assert_eq!(shell(get, HELLO).0, Some(0));
}

#[test]
fn what_a_stranger_has_called_a_file_is_read_and_moves_no_cursor() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("a\x1b[2J\nerror: b\r\u{9b}m"), "text").unwrap();
    let sharing = Sharing::start(&[path(&folder)]);
    let target = directory.path().join("target");
    let get = ["get", &sharing.cid, "--from", &sharing.address, "-o", path(&target)];
    let output = run(&get);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert!(said.contains(r"a\u{1b}[2J\nerror: b\r\u{9b}m: "), "{said}");
    assert!(said.contains("the character U+001B cannot be in a file name"), "{said}");
    assert!(said.chars().all(|c| c == '\n' || !c.is_control()), "{said:?}");
    let (_, error) = said.split_once("error: ").unwrap();
    let lines: Vec<&str> = error.lines().collect();
    assert!(lines.len() == 2 && lines[1].starts_with("With `--native-names`"), "{said}");
    // Programs are told the name itself.
    let output = run(&[&get[..], &["--json"]].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert!(last["message"].as_str().unwrap().contains("a\x1b[2J\nerror: b\r\u{9b}m"), "{last}");
}

#[test]
fn what_is_not_a_file_is_no_target_and_is_never_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = fifo(directory.path());
    let device = directory.path().join("device");
    let made = Program::new("mknod").args([path(&device), "c", "1", "5"]).output().unwrap();
    // Only the superuser makes devices, and a link leads to one as well.
    if !made.status.success() {
        std::os::unix::fs::symlink("/dev/zero", &device).unwrap();
    }
    let sharing = Sharing::start(&["--text", "Hello World"]);
    for (target, what) in [(&fifo, "is a pipe (FIFO)"), (&device, "is a device")] {
        for if_exists in ["refuse", "replace", "unique"] {
            let get = ["get", HELLO, "--from", &sharing.address, "--if-exists", if_exists];
            let output = run(&[&get[..], &["--timeout", "5", "-o", path(target)]].concat());
            assert_file_error(&output, what);
        }
        assert!(!std::fs::metadata(target).unwrap().is_file());
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2, "nothing is left");
}

#[test]
fn a_dangling_link_at_the_target_is_found_before_anything_is_fetched() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    std::os::unix::fs::symlink("nowhere", &target).unwrap();
    // Nobody has the file, so a command that asks for it would say that.
    let sharing = Sharing::start(&["--text", "Hello World"]);
    let output = run(&["get", super::NOWHERE, "--from", &sharing.address, "-o", path(&target)]);
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert!(std::fs::symlink_metadata(&target).unwrap().is_symlink());
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_of_proc_is_shared_with_its_true_bytes() {
    let sharing = Sharing::start(&["/proc/version"]);
    let output = run(&["cat", &sharing.cid, "--from", &sharing.address]);
    assert_eq!(output.stdout, std::fs::read("/proc/version").unwrap());
    assert_ne!(output.stdout, b"");
}

/// The most memory that a process has had in RAM, in bytes.
#[cfg(target_os = "linux")]
fn peak(running: &super::process::Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_is_printed_takes_the_memory_of_its_window() {
    use std::io::Read as _;
    use std::sync::mpsc;
    use std::time::Duration;

    const MIB: u64 = 1 << 20;
    let directory = tempfile::tempdir().unwrap();
    let len = 128 << 20;
    let expected = super::sample(directory.path(), len);
    let sharing = Sharing::start(&[path(&directory.path().join("source"))]);
    let (mut stdout, writer) = std::io::pipe().unwrap();
    let mut cat = bitswap()
        .args(["cat", &sharing.cid, "--from", &sharing.address])
        .stdout(writer)
        .spawn()
        .unwrap();
    let (done, read) = mpsc::sync_channel(1);
    let reader = std::thread::spawn(move || {
        // The last MiB stays where it is, more than a pipe holds: so the process is still there.
        let mut bytes = vec![0; expected.len() - MIB as usize];
        let result = stdout.read_exact(&mut bytes);
        done.send(result.is_ok() && bytes == expected[..bytes.len()]).unwrap();
        stdout
    });
    let equal = read.recv_timeout(Duration::from_secs(120));
    let peak = peak(&cat);
    cat.kill().unwrap();
    cat.wait().unwrap();
    reader.join().unwrap();
    assert_eq!(equal, Ok(true));
    // Sixteen blocks of a MiB are the window.
    assert!(peak < (64 + 16) * MIB, "{} MiB", peak / MIB);
}

#[test]
fn a_terminal_that_is_closed_ends_a_share_which_leaves_nothing_unless_it_is_to_outlive_it() {
    let directory = tempfile::tempdir().unwrap();
    let (input, temporary) = (directory.path().join("input"), directory.path().join("temporary"));
    std::fs::write(&input, "Hello World").unwrap();
    std::fs::create_dir(&temporary).unwrap();
    // `nohup` starts what is to go on with the signal ignored, and may have started these tests so too.
    let share = |hangup: &str| {
        let start = format!("$SIG{{HUP}} = '{hangup}'; exec @ARGV or die");
        let mut share = Program::new("perl").with_data_of_its_own();
        share
            .env("TMPDIR", &temporary)
            .args(["-e", &start, env!("CARGO_BIN_EXE_bitswap"), "share", "-", "--json"])
            .args(["--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"]);
        let mut share = share.stdin(std::fs::File::open(&input).unwrap()).spawn().unwrap();
        let shared = lines(&mut share).find(|line| line["event"] == "shared").unwrap();
        (share, shared["addresses"][0].as_str().unwrap().to_owned())
    };
    let (mut ended, _) = share("DEFAULT");
    assert_eq!(super::names(&temporary).len(), 1);
    ended.signal("HUP");
    let expected = if cfg!(target_os = "linux") { Some(0) } else { None };
    assert_eq!(ended.wait().unwrap().code(), expected);
    if cfg!(target_os = "linux") {
        assert_eq!(super::names(&temporary), [""; 0]);
    }
    let (mut goes_on, address) = share("IGNORE");
    goes_on.signal("HUP");
    assert_eq!(run(&["cat", HELLO, "--from", &address]).stdout, b"Hello World");
    goes_on.interrupt();
    assert_eq!(goes_on.wait().unwrap().code(), Some(0));
}
