//! The machine that has the blocks.

use std::net::Ipv4Addr;
use std::sync::Arc;

use bitswap_node::{Blockstore as _, MemoryStore, PutError, Runtime, RuntimeExt as _};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use serde_json::json;

use super::bare;
use super::content::{Content, SIZES};
use crate::args::{self, DhtArgs};
use crate::failure::Failure;
use crate::interrupt::{interrupted, unless_interrupted};
use crate::say::Say;

pub(crate) async fn run(
    args: &args::Bench,
    runtime: &Arc<dyn Runtime>,
    say: &Say,
) -> Result<(), Failure> {
    // What is served goes with what this gives.
    let _serving = unless_interrupted(serve(args, runtime, say)).await?;
    interrupted().await;
    Ok(())
}

/// Begins to serve, and prints what to run on the other machine.
async fn serve(
    args: &args::Bench,
    runtime: &Arc<dyn Runtime>,
    say: &Say,
) -> Result<impl Sized, Failure> {
    say.note(format_args!("hashing {} MiB in blocks of each size", args.size));
    let size = args.size;
    let made = runtime.run_blocking(move || {
        let content = Content::new(size);
        let blocks = SIZES.map(|size| content.blocks(size).collect::<Vec<_>>());
        (content, blocks)
    });
    let (content, blocks) = made.await.map_err(|source| Failure::Runtime { source })?;
    let store = Arc::new(MemoryStore::new());
    for blocks in blocks {
        store.put(blocks).await.map_err(|error| Failure::Put(PutError::Store(error)))?;
    }
    let builder = args.node.builder(&DhtArgs::default(), runtime)?.with_blocks(store);
    let node = builder.start().await?;
    let metrics = args.node.serve_metrics(&node, say).await?;
    let anywhere = Multiaddr::empty().with(Ipv4Addr::UNSPECIFIED.into()).with(Protocol::Tcp(0));
    let listen = if args.listen.is_empty() { vec![anywhere] } else { args.listen.clone() };
    let mut bare_streams = Vec::new();
    for address in listen {
        node.listen(address.clone()).await?;
        bare_streams.push(bare::serve(runtime, with_any_port(address), &content).await?);
    }
    for address in node.addresses().await? {
        // The bare stream listens on the same interfaces.
        let bare = bare_streams.iter().find_map(|(bare, _)| at_port_of(&address, bare));
        let option = bare.as_ref().map(|bare| format!(" --bare {bare}")).unwrap_or_default();
        let of_size = if size == 64 { String::new() } else { format!(" --size {size}") };
        say.result(
            format_args!("bitswap bench {address}{option}{of_size}"),
            &json!({
                "event": "bench_serving", "address": address.to_string(),
                "bare": bare.map(|bare| bare.to_string()), "size": u64::from(size) << 20,
            }),
        );
    }
    Ok((node, metrics, bare_streams))
}

fn with_any_port(address: Multiaddr) -> Multiaddr {
    let any = |protocol| match protocol {
        Protocol::Tcp(_) => Protocol::Tcp(0),
        Protocol::Udp(_) => Protocol::Udp(0),
        other => other,
    };
    address.iter().map(any).collect()
}

/// The address of the bare stream at the host of an address of the node; `None` if they are on different
/// transports.
fn at_port_of(address: &Multiaddr, bare: &Multiaddr) -> Option<Multiaddr> {
    let (host, rest) = (address.iter().next()?, bare.iter().skip(1));
    let names =
        |address: &Multiaddr| address.iter().map(|protocol| protocol.tag()).collect::<Vec<_>>();
    (names(address) == names(bare)).then(|| std::iter::once(host).chain(rest).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bare_stream_is_found_at_each_host_of_its_transport() {
        let peer = "12D3KooWJWoaqZhDaoEFshF7Rh1bpY9ohihFhzcW6d69Lr2NASuq";
        let parse = |text: &str| format!("{text}/p2p/{peer}").parse::<Multiaddr>().unwrap();
        let bare = parse("/ip4/127.0.0.1/tcp/2");
        let at = at_port_of(&parse("/ip4/10.0.0.1/tcp/1"), &bare);
        assert_eq!(at, Some(parse("/ip4/10.0.0.1/tcp/2")));
        for other in ["/ip4/10.0.0.1/udp/1/quic-v1", "/ip6/::1/tcp/1"] {
            assert_eq!(at_port_of(&parse(other), &bare), None, "{other}");
        }
        let quic = "/ip4/10.0.0.1/udp/7/quic-v1".parse().unwrap();
        assert_eq!(with_any_port(quic).to_string(), "/ip4/10.0.0.1/udp/0/quic-v1");
    }
}
