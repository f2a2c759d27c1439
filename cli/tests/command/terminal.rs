//! What people see who watch: the command in a pseudo-terminal.

use std::fs::File;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::process::Pipe;
use super::promises::promises_a_file;
use super::{bitswap, path};

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
