//! The suite of every runtime, on async-std.

use bitswap_node::testing::within_a_minute;
use bitswap_runtime_async_std::AsyncStd;

fn run<F: Future<Output = ()>>(test: impl FnOnce(AsyncStd) -> F) {
    async_std::task::block_on(within_a_minute(&AsyncStd, test(AsyncStd)));
}

bitswap_node::suite!(run);
