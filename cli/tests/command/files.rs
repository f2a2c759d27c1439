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
    let share = |before: &str| {
        // As `nohup` starts what is to go on.
        let line = format!(
            "{before} exec {} share - --json --no-mdns --listen /ip4/127.0.0.1/tcp/0",
            env!("CARGO_BIN_EXE_bitswap")
        );
        let mut share = Program::new("sh").with_data_of_its_own();
        share.env("TMPDIR", &temporary).args(["-c", &line]);
        let mut share = share.stdin(std::fs::File::open(&input).unwrap()).spawn().unwrap();
        let shared = lines(&mut share).find(|line| line["event"] == "shared").unwrap();
        (share, shared["addresses"][0].as_str().unwrap().to_owned())
    };
    let (mut ended, _) = share("");
    assert_eq!(super::names(&temporary).len(), 1);
    ended.signal("HUP");
    let expected = if cfg!(target_os = "linux") { Some(0) } else { None };
    assert_eq!(ended.wait().unwrap().code(), expected);
    if cfg!(target_os = "linux") {
        assert_eq!(super::names(&temporary), [""; 0]);
    }
    let (mut goes_on, address) = share("trap '' HUP;");
    goes_on.signal("HUP");
    assert_eq!(run(&["cat", HELLO, "--from", &address]).stdout, b"Hello World");
    goes_on.interrupt();
    assert_eq!(goes_on.wait().unwrap().code(), Some(0));
}
