//! Frames and messages: decoding and encoding, want lists and blocks.

use bitswap_benches::blocks::{answers, wants, wire};
use bitswap_core::Version;
use bitswap_core::message::{FrameDecoder, Message, decode};
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

fn messages() -> Vec<(&'static str, Message)> {
    vec![
        ("1 want", wants(1)),
        ("1000 wants", wants(1000)),
        ("100 blocks of 1 KiB", answers(100, 1 << 10)),
        ("1 block of 256 KiB", answers(1, 256 << 10)),
    ]
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for (name, message) in messages() {
        let wire = wire(&message);
        let body = wire.slice(wire.len() - message.encoded_len(Version::V1_2)..);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), &body, |bencher, body| {
            bencher.iter(|| decode(black_box(body)));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("encode");
    for (name, message) in messages() {
        group.throughput(Throughput::Bytes(message.encoded_len(Version::V1_2) as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), &message, |bencher, message| {
            bencher.iter(|| black_box(message).encode(Version::V1_2));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("frame");
    for (name, message) in messages() {
        let wire = wire(&message);
        group.throughput(Throughput::Bytes(wire.len() as u64));
        group.bench_with_input(BenchmarkId::new("decoder", name), &wire, |bencher, wire| {
            let mut decoder = FrameDecoder::default();
            bencher.iter(|| read(&mut decoder, black_box(wire)));
        });
        // What no decoder does without: the bytes get memory of their own.
        group.bench_with_input(BenchmarkId::new("bare copy", name), &wire, |bencher, wire| {
            bencher.iter(|| Bytes::copy_from_slice(black_box(wire)));
        });
    }
    group.finish();
}

fn read(decoder: &mut FrameDecoder, mut wire: &[u8]) -> Bytes {
    loop {
        if let Some(frame) = decoder.next_frame().expect("a frame") {
            return frame;
        }
        let buffer = decoder.buffer_mut();
        let (read, rest) = wire.split_at(wire.len().min(buffer.len()));
        buffer[..read.len()].copy_from_slice(read);
        decoder.advance(read.len());
        wire = rest;
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
