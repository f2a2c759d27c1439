//! Two ends of a connection, ours and one of plain yamux, with a path of which each byte is late.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use futures::FutureExt as _;
use futures::future::poll_fn;
use futures::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::account::Account;
use super::*;

/// One direction: what is on its way, and what has arrived.
#[derive(Clone, Debug, Default)]
struct Line(Arc<Mutex<(VecDeque<u8>, VecDeque<u8>)>>);

impl Line {
    /// All that is on its way arrives. Whether that is anything.
    fn deliver(&self) -> bool {
        let (on_its_way, arrived) = &mut *self.0.lock().unwrap();
        let any = !on_its_way.is_empty();
        arrived.append(on_its_way);
        any
    }
}

/// An end: it reads one line and writes the other, which holds so much that was not read.
#[derive(Debug)]
struct End(Line, Line, usize);

impl AsyncRead for End {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let (_, arrived) = &mut *self.0.0.lock().unwrap();
        match arrived.len().min(buffer.len()) {
            0 => Poll::Pending,
            len => {
                arrived.drain(..len).zip(buffer).for_each(|(byte, to)| *to = byte);
                Poll::Ready(Ok(len))
            }
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let (on_its_way, arrived) = &mut *self.1.0.lock().unwrap();
        let unread = on_its_way.len() + arrived.len();
        let room = self.2.saturating_sub(unread).min(bytes.len());
        on_its_way.extend(&bytes[..room]);
        if room == 0 { Poll::Pending } else { Poll::Ready(Ok(room)) }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A peer, with the streams that it opens, and what it still has to write on each.
struct Peer {
    connection: yamux::Connection<End>,
    streams: Vec<(yamux::Stream, usize)>,
}

impl Peer {
    /// Opens a stream on which it writes so many bytes. Its number.
    fn open(&mut self, bytes: usize) -> u32 {
        let stream = poll_fn(|cx| self.connection.poll_new_outbound(cx)).now_or_never();
        let stream = stream.unwrap().unwrap();
        let id = stream.id().val();
        self.streams.push((stream, bytes));
        id
    }

    /// Writes what may be written now.
    fn turn(&mut self) {
        for _ in 0..100 {
            for (stream, left) in &mut self.streams {
                let bytes = vec![7; (*left).min(16 << 10)];
                if !bytes.is_empty()
                    && let Some(written) = stream.write(&bytes).now_or_never()
                {
                    *left -= written.unwrap_or(*left);
                }
            }
            let next = poll_fn(|cx| self.connection.poll_next_inbound(cx)).now_or_never();
            assert!(next.is_none(), "the connection has ended: {next:?}");
        }
    }
}

/// Both ends and the lines between them, each of which holds so much.
fn connected(holds: usize) -> (Muxer<End>, Peer, [Line; 2]) {
    let lines = [Line::default(), Line::default()];
    let [there, back] = lines.clone();
    let muxer = Multiplex(Account::default())
        .over(End(there.clone(), back.clone(), holds), yamux::Mode::Server);
    let end = End(back, there, holds);
    let connection = yamux::Connection::new(end, yamux::Config::default(), yamux::Mode::Client);
    (muxer, Peer { connection, streams: Vec::new() }, lines)
}

/// The next stream that the peer has opened, or nothing, having read what has come.
fn next_stream(muxer: &mut Muxer<End>) -> Option<Stream> {
    let next = poll_fn(|cx| Pin::new(&mut *muxer).poll_inbound(cx)).now_or_never();
    next.map(|next| next.expect("the connection goes on"))
}

#[test]
fn a_block_of_a_mebibyte_on_a_stream_of_its_own_takes_two_round_trips() {
    const BYTES: usize = (1 << 20) + 100;
    let (mut muxer, mut peer, [there, back]) = connected(usize::MAX);
    peer.open(BYTES);
    let (mut stream, mut read, mut flights) = (None, 0, 0);
    while read < BYTES {
        peer.turn();
        flights += u32::from(there.deliver());
        for _ in 0..1000 {
            stream = stream.or_else(|| next_stream(&mut muxer));
            let Some(stream) = &mut stream else { continue };
            if read == 0 {
                // What the protocol is agreed upon with.
                assert!(stream.write(b"yes").now_or_never().is_some());
            }
            let mut buffer = vec![0; 16 << 10];
            read += stream.read(&mut buffer).now_or_never().map_or(0, Result::unwrap);
            assert!(next_stream(&mut muxer).is_none());
        }
        back.deliver();
        assert!(flights < 10, "{read} bytes were read");
    }
    assert_eq!(flights, 2, "the first window, and then the rest");
}

/// Whatever streams are opened, read, answered on and dropped, and however little the lines hold: yamux is never given
/// what it would not take, and what is not dropped arrives.
#[test]
fn no_stream_is_given_more_than_yamux_takes_and_none_waits_for_ever() {
    const STREAMS: usize = 12;
    for seed in 1..=20u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut draw = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        let holds = [usize::MAX, 2 << 20, 100 << 10, 5000][draw(4)];
        let (mut muxer, mut peer, [there, back]) = connected(holds);
        // Where the way back is shut for most of the time, what yamux grants is not written.
        let returns_each = [1, 1, 40][draw(3)];
        let mut streams: Vec<(Stream, usize)> = Vec::new();
        let (mut sent, mut ended, mut idle) = (HashMap::new(), 0, 0);
        for turn in 0.. {
            if sent.len() < STREAMS && draw(3) == 0 {
                let bytes = 1 + draw(3 << 20);
                sent.insert(peer.open(bytes), bytes);
            }
            peer.turn();
            let mut moves = there.deliver();
            for _ in 0..20 + draw(400) {
                if let Some(mut stream) = next_stream(&mut muxer) {
                    let _ = stream.write(b"yes").now_or_never();
                    streams.push((stream, 0));
                }
                if streams.is_empty() {
                    break;
                }
                let at = draw(streams.len());
                let (stream, read) = &mut streams[at];
                match draw(1000) {
                    0..3 => {
                        drop(streams.swap_remove(at));
                        ended += 1;
                    }
                    3..30 => drop(stream.write(&vec![1; 1 + draw(9000)]).now_or_never()),
                    _ => {
                        let mut buffer = vec![0; 1 + draw(100 << 10)];
                        let some = stream.read(&mut buffer).now_or_never();
                        let some = some.map_or(0, Result::unwrap);
                        *read += some;
                        moves |= some > 0;
                    }
                }
            }
            moves |= turn % returns_each == 0 && back.deliver();
            idle = if moves { 0 } else { idle + 1 };
            if sent.len() == STREAMS && idle > 100 {
                break;
            }
        }
        assert_eq!(streams.len() + ended, STREAMS, "seed {seed}: of all streams one end is here");
        for (stream, read) in &streams {
            assert_eq!(read, &sent[&stream.id], "seed {seed}: stream {}", stream.id);
        }
    }
}

/// Two peers that send to each other as much as they may, over lines that hold less than a frame: what each holds back keeps
/// neither from writing.
#[test]
fn two_peers_that_both_send_as_much_as_they_may_both_get_it() {
    const STREAMS: usize = 4;
    const BYTES: usize = 2 << 20;
    let [there, back] = [Line::default(), Line::default()];
    let sides = [(&there, &back, yamux::Mode::Server), (&back, &there, yamux::Mode::Client)];
    let mut ends = sides.map(|(reads, writes, mode)| {
        let end = End(reads.clone(), writes.clone(), 5000);
        (Multiplex(Account::default()).over(end, mode), Vec::new(), Vec::new(), 0)
    });
    // Yamux reads nothing while it cannot answer a ping: that comes first.
    for _ in 0..4 {
        assert!(ends.iter_mut().all(|(muxer, ..)| next_stream(muxer).is_none()));
        let _ = there.deliver() | back.deliver();
    }
    for (muxer, outbound, ..) in &mut ends {
        for _ in 0..STREAMS {
            let stream = poll_fn(|cx| Pin::new(&mut *muxer).poll_outbound(cx)).now_or_never();
            outbound.push((stream.unwrap().unwrap(), BYTES));
        }
    }
    let mut idle = 0;
    while idle < 10 {
        for (muxer, outbound, inbound, read) in &mut ends {
            for (stream, left) in outbound {
                let bytes = vec![7; (*left).min(16 << 10)];
                if !bytes.is_empty()
                    && let Some(written) = stream.write(&bytes).now_or_never()
                {
                    *left -= written.unwrap();
                }
            }
            if let Some(mut stream) = next_stream(muxer) {
                assert!(stream.write(b"yes").now_or_never().is_some());
                inbound.push(stream);
            }
            for stream in inbound {
                let some = stream.read(&mut vec![0; 64 << 10]).now_or_never();
                *read += some.map_or(0, Result::unwrap);
            }
        }
        let moves = there.deliver() | back.deliver();
        idle = if moves { 0 } else { idle + 1 };
    }
    assert_eq!(ends.map(|(.., read)| read), [STREAMS * BYTES; 2]);
}
