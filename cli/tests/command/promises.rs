//! Machines that say that they have a block, and then say nothing more.

use std::sync::Arc;

use bitswap_core::Block;
use bitswap_core::chunk::{Importer, Profile};
use bitswap_libp2p::{Blockstore, StoreError};
use bitswap_node::Node;
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
                .with_listen_address("/ip4/127.0.0.1/tcp/0".parse().unwrap())
                .with_blocks(Arc::new(Promising { opened }))
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
        line["event"] == "waiting" && message.contains("HAVE then silent")
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

/// Has the root of a file, and says of its other blocks only that it has them.
struct RootOnly {
    root: Block,
}

impl Blockstore for RootOnly {
    fn sizes(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<u32>, StoreError>>> {
        async move { cids.iter().map(|_| Ok(Some(1 << 20))).collect() }.boxed()
    }

    fn get(&self, cids: Vec<Cid>) -> BoxFuture<'_, Vec<Result<Option<Bytes>, StoreError>>> {
        async move {
            if cids != [*self.root.cid()] {
                futures::future::pending::<()>().await;
            }
            vec![Ok(Some(self.root.data().clone()))]
        }
        .boxed()
    }

    fn put(&self, _: Vec<Block>) -> BoxFuture<'_, Result<(), StoreError>> {
        async { Ok(()) }.boxed()
    }
}

/// A node that promises the blocks of a file of 3 MiB, until its runtime is dropped: the file's CID, and
/// where the node is.
pub(super) fn promises_a_file() -> (tokio::runtime::Runtime, String, String) {
    let mut importer = Importer::new(Profile::UnixfsV1_2025);
    importer.write(vec![7; 3 << 20]);
    let root = importer.finish().cid;
    let blocks = std::iter::from_fn(|| importer.poll_block());
    let root = blocks.map(|imported| imported.block).find(|block| *block.cid() == root).unwrap();
    let cid = root.cid().to_string();

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let address = runtime.block_on(async {
        let node = Node::builder(Tokio::current())
            .with_listen_address("/ip4/127.0.0.1/tcp/0".parse().unwrap())
            .with_blocks(Arc::new(RootOnly { root }))
            .start()
            .await
            .unwrap();
        let address = node.addresses().await.unwrap().remove(0).to_string();
        // It ends with its last handle.
        tokio::spawn(async move {
            let _node = node;
            futures::future::pending::<()>().await;
        });
        address
    });
    (runtime, cid, address)
}

#[test]
fn the_second_of_two_gets_to_one_file_says_so_and_leaves_the_first_alone() {
    let (_runtime, cid, address) = promises_a_file();
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    let get = ["get", &cid, "--from", &address, "-o", path(&target), "--json"];
    let mut first = bitswap().args(get).spawn().unwrap();
    assert!(lines(&mut first).any(|line| line["event"] == "started"));

    // While the first is at it, whatever the second is told to do with a file that is there.
    for if_exists in ["refuse", "replace"] {
        let second = super::run(&[&get[..], &["--if-exists", if_exists]].concat());
        assert_eq!(second.status.code(), Some(9), "{second:?}");
        let said = String::from_utf8(second.stdout).unwrap();
        assert!(said.contains("another process is downloading to the same file"), "{said}");
        assert!(!target.exists());
    }
    first.kill().unwrap();
    first.wait().unwrap();
    // A lock does not outlive its owner: the next one goes on, as far as it comes.
    let mut third = bitswap().args(get).spawn().unwrap();
    assert!(lines(&mut third).any(|line| line["event"] == "started"));
}
