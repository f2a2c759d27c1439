//! Machines that say that they have a block, and then say nothing more.

use std::sync::Arc;

use bitswap_core::Block;
use bitswap_libp2p::{Blockstore, StoreError};
use bitswap_runtime::Node;
use bitswap_runtime_tokio::Tokio;
use bytes::Bytes;
use cid::Cid;
use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::future::{BoxFuture, Shared};

use super::{HELLO, bitswap, lines, path};

const TEXT: &[u8] = b"Hello World";

/// Knows the size of everything, and has nothing until it is opened.
struct Promising {
    opened: Shared<oneshot::Receiver<()>>,
}

impl Blockstore for Promising {
    fn sizes(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<u32>, StoreError>>> {
        // Longer than what is sent at once instead of a promise.
        async move { cids.iter().map(|_| Ok(Some(1 << 20))).collect() }.boxed()
    }

    fn get(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<Bytes>, StoreError>>> {
        let opened = self.opened.clone();
        async move {
            if opened.await.is_err() {
                futures::future::pending::<()>().await;
            }
            cids.iter().map(|_| Ok(Some(Bytes::from_static(TEXT)))).collect()
        }
        .boxed()
    }

    fn put(&self, _: Vec<Block>) -> BoxFuture<'_, Result<(), StoreError>> {
        async { Ok(()) }.boxed()
    }
}

#[test]
fn a_get_from_machines_that_promise_only_says_so_and_ends_once_one_delivers() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (mut gates, mut nodes, mut arguments) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..3 {
        let (gate, opened) = oneshot::channel();
        let opened = opened.shared();
        let (node, address) = runtime.block_on(async {
            let node = Node::builder(Tokio::current())
                .listen("/ip4/127.0.0.1/tcp/0".parse().unwrap())
                .blocks(Arc::new(Promising { opened }))
                .start()
                .await
                .unwrap();
            let address = node.addresses().await.unwrap().remove(0).to_string();
            (node, address)
        });
        gates.push(gate);
        nodes.push(node);
        arguments.extend(["--from".to_owned(), address]);
    }
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    let mut get = bitswap()
        .args(["get", HELLO, "-o", path(&target), "--json"])
        .args(arguments)
        .spawn()
        .unwrap();
    let mut lines = lines(&mut get);
    let note = lines.find(|line| {
        let message = line["message"].as_str().unwrap_or_default();
        line["event"] == "note" && message.contains("HAVE then silent")
    });
    let note = note.unwrap()["message"].as_str().unwrap().to_owned();
    assert!(note.starts_with(&format!("waiting: block {HELLO}: asked ")), "{note}");
    for node in &nodes {
        assert!(note.contains(&node.peer_id().to_string()), "{note}");
    }
    gates.pop().unwrap().send(()).unwrap();
    assert_eq!(lines.last().unwrap()["event"], "fetched");
    assert!(get.wait().unwrap().success());
    assert_eq!(std::fs::read(&target).unwrap(), TEXT);
}
