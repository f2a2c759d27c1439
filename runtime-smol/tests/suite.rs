//! The suite of every runtime, on smol.

use bitswap_node::testing::within_a_minute;
use bitswap_runtime_smol::Smol;

fn run<F: Future<Output = ()>>(test: impl FnOnce(Smol) -> F) {
    smol::block_on(within_a_minute(&Smol, test(Smol)));
}

bitswap_node::suite!(run);
