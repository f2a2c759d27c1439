//! Attackers on raw sockets against a node on tokio. A process of its own, whose memory is counted.

use std::alloc::System;
use std::sync::Arc;

use bitswap_node::Runtime;
use bitswap_runtime_tokio::Tokio;
use cap::Cap;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

fn allocated() -> usize {
    ALLOCATOR.allocated()
}

fn run<F: Future<Output = ()>>(test: impl FnOnce(Arc<dyn Runtime>) -> F) {
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    tokio.block_on(async { test(Arc::new(Tokio::current())).await });
}

bitswap_node::raw_suite!(run, allocated);
