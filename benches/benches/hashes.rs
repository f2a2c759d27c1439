//! Verifying a block beside the bare hash of its bytes, for each hash that is in use.

use std::hint::black_box;

use bitswap_benches::blocks::{blocks, prefix};
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use multihash_codetable::{Code, MultihashDigest};

fn bench(criterion: &mut Criterion) {
    for len in [1 << 10, 256 << 10] {
        let data = blocks(1, len).remove(0).into_parts().1;
        let mut group = criterion.benchmark_group(format!("hash {} KiB", len >> 10));
        group.throughput(Throughput::Bytes(len as u64));
        for (name, code, digest) in [
            ("sha2-256", Code::Sha2_256, 32),
            ("sha2-512", Code::Sha2_512, 64),
            ("blake2b-256", Code::Blake2b256, 32),
            ("blake3", Code::Blake3_256, 32),
            ("sha3-256", Code::Sha3_256, 32),
        ] {
            let prefix = prefix(code, digest);
            group.bench_with_input(BenchmarkId::new("verify", name), &data, |bencher, data| {
                bencher.iter(|| black_box(prefix).block(Bytes::clone(data)));
            });
            group.bench_with_input(BenchmarkId::new("bare", name), &data, |bencher, data| {
                bencher.iter(|| code.digest(black_box(data)));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
