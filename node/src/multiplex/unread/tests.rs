//! What is counted, and what yamux is given, of what a socket brings.

use std::io;
use std::pin::Pin;

use futures::FutureExt as _;
use futures::io::{AsyncRead as _, AsyncReadExt as _, Cursor};

use super::super::account::UNREAD_MAX;
use super::super::frame::{DATA, FIN, HEADER, Header, RST, SYN, WINDOW_UPDATE};
use super::*;
use crate::multiplex::tests::Wakes;

fn header(tag: u8, flags: u16, id: u32, len: u32) -> Vec<u8> {
    let mut header = vec![0, tag];
    header.extend(flags.to_be_bytes());
    header.extend(id.to_be_bytes());
    header.extend(len.to_be_bytes());
    header
}

fn frame(flags: u16, id: u32, len: usize) -> Vec<u8> {
    let mut frame = header(DATA, flags, id, len as u32);
    frame.resize(HEADER + len, 7);
    frame
}

fn total(unread: &Unread) -> usize {
    unread.lock().account.unread()
}

/// Reads all that there is, in pieces, as far as it is let.
fn read_all(bytes: Vec<u8>, piece: usize, unread: &Unread) -> io::Result<usize> {
    let mut socket = Socket::new(Cursor::new(bytes), unread.clone());
    let (mut buffer, mut all) = (vec![0; piece], 0);
    loop {
        match socket.read(&mut buffer).now_or_never() {
            None | Some(Ok(0)) => return Ok(all),
            Some(Ok(read)) => all += read,
            Some(Err(error)) => return Err(error),
        }
    }
}

#[test]
fn what_arrives_on_open_streams_is_counted_until_it_is_read_or_dropped() {
    for piece in [1, 5, 12, 13, 1 << 20] {
        let unread = Unread::default();
        unread.opened(1);
        let mut wire = header(WINDOW_UPDATE, SYN, 2, 0);
        wire.extend(frame(0, 2, 100));
        wire.extend(header(2, SYN, 0, 77));
        wire.extend(header(WINDOW_UPDATE, 0, 1, 5000));
        wire.extend(frame(0, 1, 30));
        wire.extend(frame(0, 1, 0));
        wire.extend(frame(SYN, 4, 7));
        wire.extend(frame(0, 6, 500));
        wire.extend(frame(SYN | RST, 8, 500));
        // Of frames for streams that are not open their headers are given.
        let len = wire.len() - 2 * 500;
        assert_eq!(read_all(wire, piece, &unread).unwrap(), len);
        assert_eq!(total(&unread), 137 + 3 * PER_FRAME, "in pieces of {piece}");
        unread.read(2, 100);
        assert_eq!(total(&unread), 137 + 3 * PER_FRAME, "yamux keeps it until the next read");
        unread.read(2, 0);
        assert_eq!(total(&unread), 37 + 2 * PER_FRAME);
        unread.dropped(1);
        unread.dropped(4);
        assert_eq!((total(&unread), unread.lock().streams.len()), (0, 1));
    }
}

#[test]
fn a_frame_is_counted_whole_until_the_last_of_its_bytes_is_read() {
    let unread = Unread::default();
    unread.opened(1);
    let wire = [frame(0, 1, 1000), frame(0, 1, 10), frame(0, 1, 100)].concat();
    read_all(wire, 100, &unread).unwrap();
    let all = 1110 + 3 * PER_FRAME;
    for (read, left) in [
        (999, all),
        (1, all),
        (5, 110 + 2 * PER_FRAME),
        (6, 100 + PER_FRAME),
        (98, 100 + PER_FRAME),
        (1, 100 + PER_FRAME),
        (0, 0),
    ] {
        unread.read(1, read);
        assert_eq!(total(&unread), left, "after {read} more");
    }
}

#[test]
fn a_frame_for_which_there_is_no_room_is_not_begun_and_one_that_is_alone_always_is() {
    let unread = Unread::default();
    unread.opened(1);
    // As much as there is room for, then more, and a change of a window between them.
    let first = [frame(0, 1, FRAME_BYTES_MAX), frame(0, 1, FRAME_BYTES_MAX)].concat().repeat(2);
    let second = [header(WINDOW_UPDATE, 0, 1, 9), frame(0, 1, 20 << 10)].concat();
    let mut socket = Socket::new(Cursor::new([&first[..], &second].concat()), unread.clone());
    let mut buffer = vec![0; 2 * FRAME_BYTES_MAX];
    let mut given = 0;
    while let Some(read) = socket.read(&mut buffer).now_or_never() {
        let read = read.unwrap();
        assert!(read > 0, "all of it was given");
        given += read;
    }
    assert_eq!(given, first.len() + HEADER, "the window is known, and nothing of the frame");
    assert_eq!(total(&unread), 4 * (FRAME_BYTES_MAX + PER_FRAME));
    unread.read(1, FRAME_BYTES_MAX);
    assert!(socket.read(&mut buffer).now_or_never().is_none());
    unread.read(1, 0);
    let mut rest = vec![0; second.len() - HEADER];
    socket.read_exact(&mut rest).now_or_never().unwrap().unwrap();
    assert_eq!(rest, second[HEADER..]);
}

#[test]
fn a_connection_that_ends_gives_back_what_was_unread_and_the_frame_that_arrived() {
    let account = Account::default();
    let unread = Unread::new(account.clone());
    unread.opened(1);
    let wire = [frame(0, 1, 1000), frame(0, 1, 500)[..HEADER + 1].to_vec()].concat();
    assert!(read_all(wire, 100, &unread).is_ok());
    assert_eq!(account.unread(), 1500 + 2 * PER_FRAME);
    drop(unread);
    assert_eq!(account.unread(), 0);
}

#[test]
fn a_frame_that_is_cut_off_is_an_error_and_an_end_between_frames_is_none() {
    for (cut, ends) in [(0, true), (1, false), (HEADER - 1, false)] {
        let end = read_all(frame(0, 1, 5)[..cut].to_vec(), 100, &Unread::default());
        assert_eq!(end.is_ok(), ends, "after {cut}");
    }
}

#[test]
fn tiny_frames_count_with_what_keeping_them_takes() {
    let unread = Unread::default();
    unread.opened(1);
    let wire = frame(0, 1, 1).repeat(10_000);
    let taken = read_all(wire, 4096, &unread).unwrap() / (HEADER + 1);
    assert!(total(&unread) <= UNREAD_MAX, "{taken} frames taken");
    assert!(taken < 3300, "{taken} frames taken");
}

#[test]
fn a_socket_is_not_read_while_too_much_is_unread_and_its_task_is_woken_after() {
    let unread = Unread::default();
    unread.opened(1);
    unread.opened(2);
    let small = UNREAD_MAX - 4 * (FRAME_BYTES_MAX + PER_FRAME) - PER_FRAME;
    let second = [frame(0, 2, 3 * FRAME_BYTES_MAX), frame(0, 2, small)].concat();
    read_all([frame(0, 1, FRAME_BYTES_MAX), second].concat(), 1000, &unread).unwrap();
    assert_eq!(total(&unread), UNREAD_MAX);
    let mut socket = Socket::new(Cursor::new(frame(0, 1, 1)), unread.clone());
    let (wakes, task) = Wakes::new();
    let mut buffer = [0; 100];
    let mut poll =
        || Pin::new(&mut socket).poll_read(&mut Context::from_waker(&task), &mut buffer).is_ready();
    assert!(!poll());
    unread.read(1, FRAME_BYTES_MAX);
    assert_eq!(wakes.count(), 0, "yamux keeps it until the next read");
    unread.dropped(2);
    assert_eq!(wakes.count(), 1);
    unread.dropped(1);
    assert_eq!(wakes.count(), 1, "nobody waits");
    assert!(poll());
}

#[test]
fn a_frame_that_yamux_would_not_take_is_held_back_until_the_stream_is_read_or_dropped() {
    const MAX: usize = FRAME_BYTES_MAX;
    for is_dropped in [false, true] {
        let unread = Unread::default();
        let wire = [frame(SYN, 1, MAX), frame(0, 1, MAX).repeat(3), frame(FIN, 1, 9)].concat();
        let mut socket = Socket::new(Cursor::new(wire), unread.clone());
        let (wakes, task) = Wakes::new();
        let mut buffer = vec![0; 1 << 20];
        let mut given = |wakes: u32| {
            let mut all = Vec::new();
            let cx = &mut Context::from_waker(&task);
            while let Poll::Ready(read) = Pin::new(&mut socket).poll_read(cx, &mut buffer) {
                match read.unwrap() {
                    0 => break,
                    read => all.extend_from_slice(&buffer[..read]),
                }
            }
            (all.len(), all.last_chunk().map(|last| Header::parse(*last)), wakes)
        };
        // The window of a stream that was just opened.
        assert_eq!(given(0).0, 4 * (HEADER + MAX));
        if is_dropped {
            unread.dropped(1);
            assert_eq!(wakes.count(), 1);
            let ends = Header { tag: DATA, flags: FIN, id: 1, len: 0 };
            assert_eq!(given(1), (HEADER, Some(ends), 1), "that it ends, and no more");
        } else {
            unread.read(1, 2 * MAX);
            assert_eq!(wakes.count(), 1);
            assert_eq!(given(1).0, 0, "what was read is looked at with the next read");
            unread.read(1, 0);
            assert_eq!((wakes.count(), given(2).0), (2, 0), "that is half of the window");
            unread.read(1, 2 * MAX);
            unread.read(1, 0);
            assert_eq!((wakes.count(), given(3).0), (3, HEADER + 9));
        }
    }
}

/// Headers and bytes as yamux is given them; what it is given is read at once.
fn given(wire: Vec<u8>, piece: usize) -> Vec<(u16, usize)> {
    let unread = Unread::default();
    unread.opened(1);
    let mut socket = Socket::new(Cursor::new(wire), unread.clone());
    let (mut all, mut buffer) = (Vec::new(), vec![0; piece]);
    while let Some(Ok(read @ 1..)) = socket.read(&mut buffer).now_or_never() {
        all.extend_from_slice(&buffer[..read]);
        unread.read(1, FRAME_BYTES_MAX);
        unread.read(1, 0);
    }
    let (mut frames, mut next) = (Vec::new(), 0);
    while let Some(header) = all.get(next..next + HEADER) {
        let len = u32::from_be_bytes(header[8..].try_into().unwrap()) as usize;
        frames.push((u16::from_be_bytes([header[2], header[3]]), len));
        next += HEADER + len;
        assert!(next <= all.len(), "the last frame is whole");
    }
    frames
}

#[test]
fn a_long_frame_is_handed_on_as_several_of_which_the_first_opens_and_the_last_ends_its_stream() {
    const MAX: usize = FRAME_BYTES_MAX;
    for piece in [1, 12, 4096, 1 << 20] {
        assert_eq!(given(frame(SYN | FIN, 1, MAX), piece), [(SYN | FIN, MAX)]);
        let two = [(SYN, MAX), (FIN, 1)];
        assert_eq!(given(frame(SYN | FIN, 1, MAX + 1), piece), two);
        let wire = [frame(0, 1, 3 * MAX), frame(FIN, 1, 5)].concat();
        assert_eq!(given(wire, piece), [(0, MAX), (0, MAX), (0, MAX), (FIN, 5)]);
    }
}

#[test]
fn of_a_frame_as_long_as_frames_get_no_more_is_held_than_there_is_room_for() {
    let unread = Unread::default();
    unread.opened(1);
    let wire = frame(0, 1, 3 << 20);
    let given = read_all(wire, 1 << 20, &unread).unwrap();
    assert_eq!(given, 4 * (HEADER + FRAME_BYTES_MAX));
    assert_eq!(total(&unread), 4 * (FRAME_BYTES_MAX + PER_FRAME));
}
