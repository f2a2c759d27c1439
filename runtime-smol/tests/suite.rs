//! The suite of every runtime, on smol.

use std::sync::Arc;

use bitswap_node::Runtime;
use bitswap_node::testing::unless_it_hangs;
use bitswap_runtime_smol::Smol;

fn run<F: Future<Output = ()>>(test: impl FnOnce(Arc<dyn Runtime>) -> F) {
    let runtime: Arc<dyn Runtime> = Arc::new(Smol);
    smol::block_on(unless_it_hangs(&runtime, test(runtime.clone())));
}

bitswap_node::suite!(run);
