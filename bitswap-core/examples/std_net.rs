//! Two engines over plain sockets and threads of the standard library: no runtime, no libp2p.
//!
//! A node is three threads: one reads frames, one writes them, and one owns the [`Engine`] and waits
//! for an input or the engine's timer. A real node would put encryption below the frames.
//!
//! Run it: `cargo run -p bitswap-core --example std_net`.
#![expect(clippy::disallowed_types, reason = "a host has a clock")]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bitswap_core::message::{Decoded, Frame, FrameDecoder, PayloadFilter, decode};
use bitswap_core::{
    Config, Engine, Event, Message, Output, Prefix, SendId, SessionOptions, Timestamp, Version,
    Want,
};
use bytes::Bytes;
use cid::Cid;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;
type Blocks = BTreeMap<Cid, Bytes>;

/// What the threads around the engine have to tell it.
enum Input {
    Message(Message),
    Sent(SendId),
    Closed,
}

/// The other end; a node of this program has just one.
const PEER: u8 = 0;

/// Cuts the stream into frames, and hashes their blocks where they were asked for.
fn read(
    mut socket: TcpStream,
    filter: &Mutex<PayloadFilter>,
    to: &SyncSender<Input>,
) -> Result<()> {
    let mut decoder = FrameDecoder::default();
    loop {
        while let Some(frame) = decoder.next_frame()? {
            let Decoded { mut message, payloads, .. } = decode(&frame)?;
            for payload in payloads {
                if filter.lock().unwrap().admit(&payload.prefix) {
                    message.blocks.extend(payload.verify());
                }
            }
            to.send(Input::Message(message))?;
        }
        match socket.read(decoder.buffer_mut())? {
            0 => return Ok(decoder.finish()?),
            received => decoder.advance(received),
        }
    }
}

/// Runs a node until it has all it wants; one that wants nothing, until the other end closes.
fn node(socket: TcpStream, seed: u8, mut store: Blocks, wanted: &[Cid]) -> Result<Blocks> {
    let (tell, inputs) = sync_channel(16);
    let (frames, queue) = sync_channel::<(SendId, Frame)>(8);
    let filter = Arc::new(Mutex::new(PayloadFilter::new()));
    let (mut writing, sent) = (socket.try_clone()?, tell.clone());
    // The engine has at most four messages on their way in each stream: this queue is never full.
    thread::spawn(move || -> Result<()> {
        for (id, frame) in queue {
            frame.segments().iter().try_for_each(|segment| writing.write_all(segment))?;
            sent.send(Input::Sent(id))?;
        }
        Ok(())
    });
    let (reading, admit) = (socket.try_clone()?, filter.clone());
    thread::spawn(move || {
        read(reading, &admit, &tell).inspect_err(|error| eprintln!("reading: {error}")).ok();
        tell.send(Input::Closed)
    });
    let start = Instant::now();
    let now = || Timestamp::from_micros(start.elapsed().as_micros() as u64);
    let mut engine = Engine::new(Config::default(), [seed; 32], now());
    engine.handle_connected(PEER, None, now());
    let options = SessionOptions { find_providers: false, ..SessionOptions::default() };
    let session = engine.open_session(options, now())?;
    engine.want(session, wanted.iter().copied().map(Want::from), now())?;
    loop {
        while let Some(output) = engine.poll_output() {
            match output {
                // Both streams share the socket: a frame is a whole message.
                Output::Open { stream, .. } => {
                    engine.handle_open(PEER, stream, Ok(Version::V1_2), now());
                }
                Output::Send(send) => {
                    filter.lock().unwrap().sent(&send.message);
                    frames.send((send.id, send.message.encode(send.version)))?;
                }
                Output::Load(load) => {
                    let answers = load.answers(|cid| store.get(cid).cloned());
                    engine.handle_load(load.id, answers, now());
                }
                Output::Event(Event::Block { session, block, .. }) => {
                    let (cid, data) = block.into_parts();
                    engine.release_capacity(session, data.len() as u64, now());
                    store.insert(cid, data);
                }
                _ => {}
            }
        }
        let done = wanted.iter().all(|cid| store.contains_key(cid));
        if done && !wanted.is_empty() {
            socket.shutdown(Shutdown::Both)?;
            return Ok(store);
        }
        let left = engine.poll_timeout().map_or(Duration::MAX, |at| at.since(now()));
        match inputs.recv_timeout(left) {
            Ok(Input::Message(message)) => engine.handle_message(PEER, message, now()),
            Ok(Input::Sent(id)) => engine.handle_sent(id, Ok(()), now()),
            Err(RecvTimeoutError::Timeout) => engine.handle_timeout(now()),
            _ if done => return Ok(store),
            _ => return Err("the other end closed too early".into()),
        }
    }
}

fn main() -> Result<()> {
    let block = |n: u8| Ok(Prefix::V0.block(vec![n; 256 << 10].into())?.into_parts());
    let shared = (0..64).map(block).collect::<Result<Blocks>>()?;
    let wanted: Vec<Cid> = shared.keys().copied().collect();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (address, store) = (listener.local_addr()?, shared.clone());
    let server = thread::spawn(move || node(listener.accept()?.0, 1, store, &[]));
    let start = Instant::now();
    let fetched = node(TcpStream::connect(address)?, 2, Blocks::new(), &wanted)?;
    println!("{} blocks of 256 KiB over {address} in {:?}", fetched.len(), start.elapsed());
    server.join().map_err(|_| "the server panicked")??;
    if fetched == shared { Ok(()) } else { Err("these are not the blocks that were shared".into()) }
}

#[test]
fn the_example_runs() {
    main().unwrap();
}
