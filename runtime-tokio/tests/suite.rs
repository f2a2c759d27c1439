//! The suite of every runtime, on both kinds of tokio.

use std::sync::Arc;

use bitswap_node::Runtime;
use bitswap_node::testing::unless_it_hangs;
use bitswap_runtime_tokio::Tokio;

fn run<F: Future<Output = ()>>(
    mut builder: tokio::runtime::Builder,
    test: impl FnOnce(Arc<dyn Runtime>) -> F,
) {
    let tokio = builder.enable_all().build().unwrap();
    tokio.block_on(async {
        let runtime: Arc<dyn Runtime> = Arc::new(Tokio::current());
        unless_it_hangs(&runtime, test(runtime.clone())).await;
    });
}

mod current_thread {
    use std::sync::Arc;

    use bitswap_node::Runtime;

    fn run<F: Future<Output = ()>>(test: impl FnOnce(Arc<dyn Runtime>) -> F) {
        super::run(tokio::runtime::Builder::new_current_thread(), test);
    }

    bitswap_node::suite!(run);
}

mod multi_thread {
    use std::sync::Arc;

    use bitswap_node::Runtime;

    fn run<F: Future<Output = ()>>(test: impl FnOnce(Arc<dyn Runtime>) -> F) {
        super::run(tokio::runtime::Builder::new_multi_thread(), test);
    }

    bitswap_node::suite!(run);
}
