//! The suite of every runtime, on both kinds of tokio.

use bitswap_node::testing::within_a_minute;
use bitswap_runtime_tokio::Tokio;

fn run<F: Future<Output = ()>>(
    mut builder: tokio::runtime::Builder,
    test: impl FnOnce(Tokio) -> F,
) {
    let tokio = builder.enable_all().build().unwrap();
    tokio.block_on(async {
        let runtime = Tokio::current();
        within_a_minute(&runtime, test(runtime.clone())).await;
    });
}

mod current_thread {
    use super::Tokio;

    fn run<F: Future<Output = ()>>(test: impl FnOnce(Tokio) -> F) {
        super::run(tokio::runtime::Builder::new_current_thread(), test);
    }

    bitswap_node::suite!(run);
}

mod multi_thread {
    use super::Tokio;

    fn run<F: Future<Output = ()>>(test: impl FnOnce(Tokio) -> F) {
        super::run(tokio::runtime::Builder::new_multi_thread(), test);
    }

    bitswap_node::suite!(run);
}
