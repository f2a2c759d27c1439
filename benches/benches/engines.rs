//! Two engines in memory that move blocks, beside the bare hash of the same bytes.

use std::hint::black_box;

use bitswap_benches::blocks::blocks;
use bitswap_benches::engines::{Carrier, Pair};
use cid::Cid;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use multihash_codetable::{Code, MultihashDigest};

fn bench(criterion: &mut Criterion) {
    for (len, count) in [(1 << 10, 4096), (256 << 10, 128)] {
        let blocks = blocks(count, len);
        let cids: Vec<Cid> = blocks.iter().map(|block| *block.cid()).collect();
        let mut group = criterion.benchmark_group(format!("engines {} KiB", len >> 10));
        group.sample_size(10).throughput(Throughput::Bytes((len * count) as u64));
        group.bench_function("bare hash", |bencher| {
            bencher.iter(|| {
                blocks.iter().for_each(|block| _ = black_box(Code::Sha2_256.digest(block.data())));
            });
        });
        for carrier in [Carrier::Values, Carrier::Wire] {
            let name = BenchmarkId::from_parameter(format!("{carrier:?}").to_lowercase());
            group.bench_function(name, |bencher| {
                let pair = || Pair::new(&blocks, carrier);
                bencher.iter_batched_ref(pair, |pair| pair.fetch(&cids), BatchSize::LargeInput);
            });
        }
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
