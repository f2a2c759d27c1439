//! Connections that are lost, swallowed or slow, and ports that somebody else has.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bitswap_core::{SessionOptions, WhenMissing};
use futures::StreamExt as _;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use super::{loopback, raw, server};
use crate::error::{GetError, ListenError};
use crate::node::{Node, NodeEvent};
use crate::runtime::Runtime;

/// A TCP proxy on loopback whose connections can be cut, and whose target can be changed.
struct Proxy {
    address: Multiaddr,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    /// Nowhere: what connects is dropped at once.
    to: Option<u16>,
    open: Vec<TcpStream>,
}

impl Proxy {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let address = Multiaddr::empty().with(Ipv4Addr::LOCALHOST.into()).with(Protocol::Tcp(port));
        let shared = Arc::new(Mutex::new(Shared::default()));
        let of_thread = shared.clone();
        // It ends with the test's process: nothing waits for it.
        std::thread::spawn(move || {
            for from in listener.incoming().flatten() {
                let mut shared = of_thread.lock().unwrap();
                let Some(to) = shared.to else { continue };
                let to = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).unwrap();
                for stream in [&from, &to] {
                    shared.open.push(stream.try_clone().unwrap());
                }
                pump(from.try_clone().unwrap(), to.try_clone().unwrap());
                pump(to, from);
            }
        });
        Self { address, shared }
    }

    async fn lead_to(&self, node: &Node) {
        let address = node.addresses().await.unwrap().remove(0);
        let port = address.iter().find_map(|part| match part {
            Protocol::Tcp(port) => Some(port),
            _ => None,
        });
        self.shared.lock().unwrap().to = port;
    }

    /// Closes all connections; new ones lead nowhere.
    fn cut(&self) {
        let mut shared = self.shared.lock().unwrap();
        shared.to = None;
        for stream in shared.open.drain(..) {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from.read(&mut buffer)
            && to.write_all(&buffer[..read]).is_ok()
        {}
        let _ = to.shutdown(Shutdown::Both);
    });
}

fn failing() -> SessionOptions<PeerId> {
    SessionOptions { when_missing: WhenMissing::Fail, ..SessionOptions::default() }
}

async fn fetcher(runtime: &Arc<dyn Runtime>, grace: Duration) -> Node {
    Node::builder(runtime.clone()).with_reconnect_grace(grace).start().await.unwrap()
}

pub(super) async fn disconnected(node: &Node, cut: impl FnOnce()) {
    let mut events = node.events().await.unwrap();
    cut();
    while !matches!(events.next().await, Some(NodeEvent::Disconnected(_))) {}
}

pub async fn a_want_outlives_a_connection_that_is_lost_and_made_again(runtime: Arc<dyn Runtime>) {
    let (server, proxy) = (server(&runtime).await, Proxy::start());
    let (first, second) = (server.put("first").await.unwrap(), server.put("second").await.unwrap());
    let client = fetcher(&runtime, Duration::from_secs(60)).await;
    proxy.lead_to(&server).await;
    client.connect(proxy.address.clone()).await.unwrap();
    let session = client.session(failing()).await.unwrap();
    session.get(first).await.unwrap();
    disconnected(&client, || proxy.cut()).await;
    // Wanted while nobody is connected.
    let mut get = Box::pin(session.get(second));
    while client.stats().await.unwrap().bitswap.engine.wants == 0 {
        assert!(futures::poll!(&mut get).is_pending());
    }
    let waiting = client.diagnose().await.unwrap();
    assert_eq!((waiting.peers, waiting.blocks), (0, 1));
    assert_eq!(waiting.lost[0].peer, server.peer_id());
    proxy.lead_to(&server).await;
    assert_eq!(get.await.unwrap().data(), "second");
}

pub async fn what_others_lack_is_missing_only_once_a_lost_peer_is_given_up(
    runtime: Arc<dyn Runtime>,
) {
    let (has, lacks, proxy) = (server(&runtime).await, server(&runtime).await, Proxy::start());
    let cid = has.put("only there").await.unwrap();
    proxy.lead_to(&has).await;
    for (grace, found) in [(60, true), (0, false)] {
        let client = fetcher(&runtime, Duration::from_secs(grace)).await;
        proxy.lead_to(&has).await;
        client.connect(proxy.address.clone()).await.unwrap();
        client.connect(lacks.addresses().await.unwrap().remove(0)).await.unwrap();
        disconnected(&client, || proxy.cut()).await;
        let session = client.session(failing()).await.unwrap();
        let mut get = Box::pin(session.get(cid));
        if found {
            let refusals =
                || async { client.stats().await.unwrap().bitswap.engine.fetched.dont_haves };
            while refusals().await == 0 {
                assert!(futures::poll!(&mut get).is_pending());
            }
            proxy.lead_to(&has).await;
            assert_eq!(get.await.unwrap().data(), "only there");
        } else {
            let error = get.await.unwrap_err();
            let GetError::ConnectionLost { lost, reports } = &error else { panic!("{error}") };
            assert_eq!((lost[0].peer, reports[0].peer), (has.peer_id(), lacks.peer_id()));
        }
    }
}

pub async fn what_is_put_while_a_lost_peer_is_waited_for_ends_the_want(runtime: Arc<dyn Runtime>) {
    let (lost, lacks, proxy) = (server(&runtime).await, server(&runtime).await, Proxy::start());
    let client = fetcher(&runtime, Duration::from_secs(60)).await;
    proxy.lead_to(&lost).await;
    client.connect(proxy.address.clone()).await.unwrap();
    client.connect(lacks.addresses().await.unwrap().remove(0)).await.unwrap();
    disconnected(&client, || proxy.cut()).await;
    let session = client.session(failing()).await.unwrap();
    let mut get = Box::pin(session.get(raw(b"put here")));
    // The engine has given the want up: whoever is connected lacks the block.
    let stats = || async { client.stats().await.unwrap().bitswap.engine };
    while stats().await.fetched.dont_haves == 0 || stats().await.wants > 0 {
        assert!(futures::poll!(&mut get).is_pending());
    }
    client.put("put here").await.unwrap();
    assert_eq!(get.await.unwrap().data(), "put here");
}

pub async fn a_want_ends_when_a_lost_peer_stays_away_for_the_grace(runtime: Arc<dyn Runtime>) {
    let (server, proxy) = (server(&runtime).await, Proxy::start());
    let client = fetcher(&runtime, Duration::from_secs(2)).await;
    proxy.lead_to(&server).await;
    client.connect(proxy.address.clone()).await.unwrap();
    let session = client.session(failing()).await.unwrap();
    disconnected(&client, || proxy.cut()).await;
    let start = Instant::now();
    let error = session.get(raw(b"not there")).await.unwrap_err();
    let GetError::ConnectionLost { lost, reports } = &error else { panic!("{error}") };
    assert!(start.elapsed() > Duration::from_secs(1) && reports.is_empty());
    assert!(lost[0].ago >= Duration::from_secs(2) && lost[0].reason.is_some(), "{error}");
    assert!(error.to_string().contains(&format!("the connection to {} was lost", lost[0].peer)));
    // So do those that are wanted from then on.
    let next = session.get(raw(b"nor this")).await;
    assert!(matches!(next, Err(GetError::ConnectionLost { .. })));
}

pub async fn a_node_that_came_back_with_another_identity_is_found_at_its_address(
    runtime: Arc<dyn Runtime>,
) {
    let proxy = Proxy::start();
    let before = server(&runtime).await;
    let client = fetcher(&runtime, Duration::from_secs(60)).await;
    proxy.lead_to(&before).await;
    client.connect(proxy.address.clone()).await.unwrap();
    let session = client.session(failing()).await.unwrap();
    disconnected(&client, || proxy.cut()).await;
    before.shutdown().await;
    let after = Node::builder(runtime.clone())
        .with_identity(Keypair::generate_ed25519())
        .with_listen_address(loopback())
        .start()
        .await
        .unwrap();
    // Twice: it has moved by then.
    for text in ["after the restart", "after another loss"] {
        let cid = after.put(text).await.unwrap();
        proxy.lead_to(&after).await;
        assert_eq!(session.get(cid).await.unwrap().data(), text);
        assert!(client.diagnose().await.unwrap().lost.is_empty());
        disconnected(&client, || proxy.cut()).await;
    }
}

pub async fn a_port_is_listened_on_by_one_node_only(runtime: Arc<dyn Runtime>) {
    let first = server(&runtime).await;
    let taken = first.addresses().await.unwrap().remove(0);
    let taken: Multiaddr = taken.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect();
    let second = server(&runtime).await;
    let refused = second.listen(taken.clone()).await.unwrap_err();
    assert!(matches!(refused, ListenError::Transport { .. }));
    let said = refused.to_string();
    let expected = format!("cannot listen on {taken}: another program listens there already");
    assert!(said.starts_with(&expected), "{said}");
    // Once it is free, and although its connections linger.
    second.connect(taken.clone()).await.unwrap();
    disconnected(&second, || drop(first)).await;
    let mut tries = 0;
    while let Err(error) = second.listen(taken.clone()).await {
        // The first node's task has ended its connections, and is about to end its listener.
        tries += 1;
        assert!(tries < 10_000, "{error}");
    }
}
