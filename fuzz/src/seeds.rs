//! First inputs: messages of real peers, and operations drawn by a seed.

use std::fs;
use std::path::{Path, PathBuf};

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};

/// The longest message that is a seed: those of whole blocks would only slow the fuzzer down.
const MESSAGE_MAX: usize = 1500;

/// Where the inputs of a target are.
#[must_use]
pub fn corpus_dir(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// The first inputs of a target.
///
/// # Panics
///
/// When the recorded messages cannot be read.
#[must_use]
pub fn of(target: &str) -> Vec<Vec<u8>> {
    let messages = messages();
    match target {
        "message" => messages,
        "frame" => {
            let stream = |messages: &[Vec<u8>]| messages.iter().flat_map(|m| framed(m)).collect();
            let streams: Vec<Vec<u8>> = messages.chunks(5).map(stream).collect();
            let cut = |stream| [&[0, 2, 7, 0, 100, 0][..], stream].concat();
            streams.iter().map(|stream| cut(stream)).collect()
        }
        "hostile_frames" => {
            let steps = drawn(target, 20, 2 + 16);
            let streams = messages.chunks(8).zip(steps);
            let input = |(messages, mut steps): (&[Vec<u8>], Vec<u8>)| {
                steps[1] = 8;
                steps.extend(messages.iter().flat_map(|message| framed(message)));
                steps
            };
            streams.map(input).collect()
        }
        "prefix_cid" => messages.iter().flat_map(|message| parts(message)).collect(),
        "dagpb_unixfs" => files(),
        "journal" => crate::journal::seeds(),
        "engine_ops" => drawn(target, 60, 4 + 4 * 60),
        "two_engines" => drawn(target, 60, 2 + 3 * 100),
        _ => drawn(target, 60, 120),
    }
}

/// The recorded messages of other implementations.
fn messages() -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bitswap-core/tests/vectors");
    let files = fs::read_dir(dir).expect("the recorded messages");
    let mut files: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "hex"));
    files.sort();
    let texts = files.iter().map(|file| fs::read_to_string(file).expect("text"));
    let lines: Vec<String> =
        texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let mut messages: Vec<Vec<u8>> = lines.iter().map(|line| unhex(line)).collect();
    messages.retain(|message| message.len() <= MESSAGE_MAX);
    messages.sort();
    messages.dedup();
    messages
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(digits).collect()
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&crate::dagpb_unixfs::varint(message.len() as u64)[..], message].concat()
}

/// CIDs and prefixes in a message, with its end as data.
fn parts(message: &[u8]) -> Vec<Vec<u8>> {
    let starts: [&[u8]; 4] = [&[0x0a, 36], &[0x0a, 34], &[0x0a, 4], &[0x0a, 6]];
    let windows = message.windows(2).enumerate();
    let found = windows.filter(|(_, window)| starts.contains(window)).map(|(at, _)| at);
    let part = |at: usize| {
        let len = usize::from(message[at + 1]);
        let end = message.len().min(at + 2 + len);
        let data = &message[message.len().saturating_sub(20)..];
        [&message[at + 1..end], data].concat()
    };
    found.map(part).take(2).collect()
}

/// Files as the importer writes them.
fn files() -> Vec<Vec<u8>> {
    use bitswap_core::chunk::{Importer, LeafForm, Profile};

    let mut inputs = Vec::new();
    for (profile, len) in [(Profile::UnixfsV0_2015, 600_000), (Profile::UnixfsV1_2025, 3_000_000)] {
        let mut importer = Importer::new(profile);
        importer.write(vec![7; len]);
        importer.finish();
        while let Some(imported) = importer.poll_block() {
            if imported.block.data().len() < 1000 {
                inputs.push([&[0][..], imported.block.data()].concat());
            }
        }
    }
    for form in [LeafForm::WrappedFile, LeafForm::WrappedRaw] {
        inputs.push([&[0][..], &form.block(&b"a piece of a file"[..].into())].concat());
    }
    inputs
}

fn drawn(label: &str, count: usize, len: usize) -> Vec<Vec<u8>> {
    let mut seed = [1; 32];
    seed.iter_mut().zip(label.bytes()).for_each(|(to, from)| *to = from);
    let mut rng = Xoshiro256PlusPlus::from_seed(seed);
    let mut input = || {
        let mut bytes = vec![0; len];
        rng.fill_bytes(&mut bytes);
        bytes
    };
    (0..count).map(|_| input()).collect()
}
