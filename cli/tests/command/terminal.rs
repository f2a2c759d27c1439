//! What people see who watch: the command in a pseudo-terminal.

use std::fs::File;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::process::Pipe;
use super::promises::promises_a_file;
use super::{bitswap, path, sample};

/// To the first column, and the rest of the line is blank.
const CLEAR: &str = "\r\u{1b}[K";

/// A terminal of so many columns: what is drawn on it, and the end that a program draws on.
fn terminal(columns: u16) -> (Pipe, File) {
    let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&screen).unwrap();
    unlockpt(&screen).unwrap();
    let name = ptsname(&screen, Vec::new()).unwrap();
    let program = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&program, size).unwrap();
    (Pipe::of(File::from(screen)), program)
}

#[test]
fn a_share_and_a_get_show_one_line_that_fits_and_a_sum_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    sample(directory.path(), 24 << 20);
    let source = directory.path().join("source");
    for columns in [40, 80, 200] {
        let (sender, program) = terminal(columns);
        let mut share = bitswap()
            .args(["share", "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0", path(&source)])
            .stderr(program)
            .spawn()
            .unwrap();
        // The ticket names the address on loopback, as there is no other.
        let announced = share.until("Serving until Ctrl-C");
        let ticket = announced.split("bitswap get ").nth(1).unwrap().lines().next().unwrap();
        let target = directory.path().join(columns.to_string());
        let (receiver, program) = terminal(columns);
        let get = bitswap().args(["get", ticket, "-o", path(&target)]).stderr(program).output();
        let get = get.unwrap();
        assert!(get.status.success(), "{get:?}");
        let sum = String::from_utf8(get.stdout).unwrap();
        assert!(
            sum.contains("24.0 MiB, verified, ") && sum.ends_with(" s from one peer\n"),
            "{sum}"
        );
        let received = receiver.until("Connected to 1/1 seeders");
        let sent = sender.until(" sent");
        share.interrupt();
        share.wait().unwrap();
        let served = sender.until("to 1 peer in");
        for drawn in [&received, &sent, &served] {
            for line in
                drawn.split(CLEAR).filter(|line| line.contains(" %") || line.contains("connected,"))
            {
                let width = line.chars().count();
                assert!(width < usize::from(columns), "{columns}: {line:?} has {width}");
            }
        }
    }
}

#[test]
fn the_line_fits_the_terminal_and_is_gone_when_the_command_is_interrupted() {
    let (_runtime, cid, address) = promises_a_file();
    let directory = tempfile::tempdir().unwrap();
    for columns in [20, 40, 80, 200] {
        let target = directory.path().join(columns.to_string());
        let (screen, program) = terminal(columns);
        let mut get = bitswap()
            .args(["get", &cid, "--from", &address, "-o", path(&target)])
            .stderr(program)
            .spawn()
            .unwrap();
        screen.until("  0 %");
        get.interrupt();
        let status = get.output().unwrap().status;
        assert_eq!(status.code(), Some(130), "{columns}");
        let drawn = screen.until("goes on from there");
        let (lines, last) = drawn.rsplit_once(CLEAR).unwrap();
        assert!(last.starts_with("error: interrupted"), "{columns}: {drawn:?}");
        for line in lines.split(CLEAR).filter(|line| line.contains(" %")) {
            let width = line.chars().count();
            assert!(width < usize::from(columns), "{columns}: {line:?} has {width}");
            assert!(!line.contains(['\r', '\n']), "{columns}: {line:?}");
        }
    }
}
