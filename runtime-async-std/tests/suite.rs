//! The suite of every runtime, on async-std.

use std::sync::Arc;

use bitswap_node::Runtime;
use bitswap_node::testing::unless_it_hangs;
use bitswap_runtime_async_std::AsyncStd;

fn run<F: Future<Output = ()>>(test: impl FnOnce(Arc<dyn Runtime>) -> F) {
    let runtime: Arc<dyn Runtime> = Arc::new(AsyncStd);
    async_std::task::block_on(unless_it_hangs(&runtime, test(runtime.clone())));
}

bitswap_node::suite!(run);
