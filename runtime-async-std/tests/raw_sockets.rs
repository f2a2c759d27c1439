//! Attackers on raw sockets against a node on async-std. A process of its own, whose memory is counted.

use std::alloc::System;
use std::sync::Arc;

use bitswap_node::Runtime;
use bitswap_runtime_async_std::AsyncStd;
use cap::Cap;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

fn allocated() -> usize {
    ALLOCATOR.allocated()
}

fn run<F: Future<Output = ()>>(test: impl FnOnce(Arc<dyn Runtime>) -> F) {
    async_std::task::block_on(test(Arc::new(AsyncStd)));
}

bitswap_node::raw_suite!(run, allocated);
