//! Attackers on raw sockets against a node on smol. A process of its own, whose memory is counted.

use std::alloc::System;
use std::sync::Arc;

use bitswap_node::Runtime;
use bitswap_runtime_smol::Smol;
use cap::Cap;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

fn allocated() -> usize {
    ALLOCATOR.allocated()
}

fn run<F: Future<Output = ()>>(test: impl FnOnce(Arc<dyn Runtime>) -> F) {
    smol::block_on(test(Arc::new(Smol)));
}

bitswap_node::raw_suite!(run, allocated);
