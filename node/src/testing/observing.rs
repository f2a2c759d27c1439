//! What is seen of a node from outside: its metrics, its events, who has what.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bitswap_core::SessionOptions;
use bitswap_core::chunk::Profile;
use futures::StreamExt as _;
use futures::io::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::Multiaddr;
use libp2p::core::Endpoint;
use libp2p::core::transport::{DialOpts, PortUse, Transport as _};
use libp2p::multiaddr::Protocol;

use super::{bytes, client, connect, file, pair, raw, server};
use crate::check::{CheckAnswer, CheckOptions};
use crate::fetch::FetchOptions;
use crate::metrics::MetricsServer;
use crate::node::NodeEvent;
use crate::runtime::{ByteStream, Runtime};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

async fn dial(runtime: &Arc<dyn Runtime>, server: &MetricsServer) -> ByteStream {
    let port = Protocol::Tcp(server.address().port());
    let address = Multiaddr::empty().with(Ipv4Addr::LOCALHOST.into()).with(port);
    let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
    runtime.tcp().dial(address, options).unwrap().await.unwrap()
}

/// What is answered to the head of a request.
async fn asked(runtime: &Arc<dyn Runtime>, server: &MetricsServer, first: &str) -> String {
    let mut stream = dial(runtime, server).await;
    stream.write_all(format!("{first}\r\nHost: here\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// The value of a metric.
fn value(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

pub async fn metrics_say_over_http_what_was_moved(runtime: Arc<dyn Runtime>) {
    let (a, b) = pair(&runtime).await;
    let served = a.metrics().await.unwrap().serve(ANY).await.unwrap();
    let fetched = b.metrics().await.unwrap().serve(ANY).await.unwrap();
    assert_eq!(served.url(), format!("http://{}/metrics", served.address()));
    let session = b.session(SessionOptions::default()).await.unwrap();
    for n in 0..3_u8 {
        session.get(a.put(vec![n; 2000]).await.unwrap()).await.unwrap();
    }
    let answer = asked(&runtime, &fetched, "GET /metrics HTTP/1.1").await;
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text;"));
    assert!(head.contains(&format!("Content-Length: {}\r\n", text.len())));
    assert!(text.ends_with("# EOF\n"), "{text}");
    assert_eq!(value(text, "bitswap_client_blocks_received_total"), 3);
    assert_eq!(value(text, "bitswap_client_blocks_received_bytes_total"), 6000);
    assert_eq!(value(text, "bitswap_peers"), 1);
    for count in [
        ("bitswap_block_latency_seconds_count", 3),
        ("bitswap_block_latency_seconds_bucket{le=\"+Inf\"}", 3),
        ("bitswap_time_to_first_block_seconds_count", 1),
        ("bitswap_session_wants_bucket{le=\"0.0\"}", 3),
        ("bitswap_session_wants_count", 3),
    ] {
        assert_eq!(value(text, count.0), count.1, "{}", count.0);
    }
    let runs = format!("runtime=\"{}\"", runtime.name());
    let line = text.lines().find(|line| line.starts_with("bitswap_build_info{")).unwrap();
    assert!(line.contains(&runs), "{line}");
    let messages = value(text, "bitswap_messages_received_total");
    assert_eq!(value(text, "bitswap_message_received_bytes_count"), messages);

    // The other side: the last answer counts once the transport has taken it.
    loop {
        let answer = asked(&runtime, &served, "GET /metrics HTTP/1.1").await;
        if value(&answer, "bitswap_server_blocks_sent_total") == 3 {
            assert_eq!(value(&answer, "bitswap_server_blocks_sent_bytes_total"), 6000);
            break;
        }
    }
    for (first, status) in
        [("GET / HTTP/1.1", 404), ("POST /metrics HTTP/1.1", 405), ("nonsense", 400)]
    {
        let answer = asked(&runtime, &fetched, first).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    let head = asked(&runtime, &fetched, "HEAD /metrics HTTP/1.1").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
}

pub async fn who_sends_a_metrics_server_nothing_holds_up_nobody_else(runtime: Arc<dyn Runtime>) {
    let node = client(&runtime).await;
    let metrics = node.metrics().await.unwrap().serve(ANY).await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..7 {
        silent.push(dial(&runtime, &metrics).await);
    }
    let answer = asked(&runtime, &metrics, "GET /metrics HTTP/1.1").await;
    assert_eq!(value(&answer, "bitswap_peers"), 0);
    // A node that has stopped has no counters.
    node.shutdown().await;
    let answer = asked(&runtime, &metrics, "GET /metrics HTTP/1.1").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

pub async fn who_has_a_file_is_told_with_what_each_delivered(runtime: Arc<dyn Runtime>) {
    let (directory, path) = file(&bytes(3 << 20));
    let (a, b, idle) = (server(&runtime).await, server(&runtime).await, server(&runtime).await);
    let root = a.share_file(&path, Profile::UnixfsV1_2025).await.unwrap().root.cid;
    b.share_file(&path, Profile::UnixfsV1_2025).await.unwrap();
    let client = client(&runtime).await;
    for node in [&a, &b, &idle] {
        connect(&client, node).await;
    }
    let mut events = client.events().await.unwrap();
    let target = directory.path().join("target");
    let options = FetchOptions { share: false, ..FetchOptions::default() };
    let fetched = client.fetch_file(root, &target, options).unwrap().finish().await.unwrap();

    let seeders = client.seeders(root).await.unwrap();
    let peers: Vec<_> = seeders.iter().map(|seeder| seeder.peer).collect();
    assert!(!peers.contains(&idle.peer_id()), "it has none of it");
    for seeder in &seeders {
        assert!([a.peer_id(), b.peer_id()].contains(&seeder.peer) && seeder.is_connected);
        assert!(seeder.said_have || seeder.blocks > 0, "{seeder:?}");
        let from = fetched.from_peers.get(&seeder.peer).copied().unwrap_or_default();
        assert_eq!(seeder.bytes, from, "{seeder:?}");
        assert_eq!(seeder.latency > Duration::ZERO, seeder.blocks > 0);
    }
    let blocks: u64 = seeders.iter().map(|seeder| seeder.blocks).sum();
    assert_eq!(blocks, 4, "three leaves and the root");

    let (mut told, mut received) = (Vec::new(), Vec::new());
    let mut started = false;
    loop {
        match events.next().await.unwrap() {
            NodeEvent::TransferStarted { root: of } => started = of == root,
            NodeEvent::Seeder { root: of, peer } => {
                assert_eq!(of, root);
                told.push(peer);
            }
            NodeEvent::BlockReceived { from, bytes, latency, .. } => {
                assert!(latency > Duration::ZERO);
                received.push((from.unwrap(), bytes));
            }
            NodeEvent::TransferFinished { root: of } => {
                assert_eq!(of, root);
                break;
            }
            _ => {}
        }
    }
    told.sort();
    let mut peers = peers;
    peers.sort();
    assert!(started);
    assert_eq!(told, peers, "each is told once");
    assert_eq!(received.len(), 4);
    let sum: u64 = received.iter().map(|(_, bytes)| *bytes as u64).sum();
    assert_eq!(sum, seeders.iter().map(|seeder| seeder.bytes).sum::<u64>());
    // One that leaves is known still.
    let gone = peers[0];
    let leaver = if gone == a.peer_id() { a } else { b };
    leaver.shutdown().await;
    while !matches!(events.next().await.unwrap(), NodeEvent::Disconnected(peer) if peer == gone) {}
    let seeders = client.seeders(root).await.unwrap();
    let left: Vec<_> =
        seeders.iter().filter(|seeder| !seeder.is_connected).map(|one| one.peer).collect();
    assert_eq!(left, [gone]);
}

pub async fn a_transfer_that_fails_says_why(runtime: Arc<dyn Runtime>) {
    let node = client(&runtime).await;
    let mut events = node.events().await.unwrap();
    let (directory, _path) = file(b"");
    let root = raw(b"nowhere");
    let fetch = node.fetch_file(root, &directory.path().join("target"), FetchOptions::default());
    let mut fetch = fetch.unwrap();
    while !matches!(events.next().await.unwrap(), NodeEvent::TransferStarted { root: of } if of == root)
    {
    }
    fetch.cancel().await;
    fetch.finish().await.unwrap_err();
    let reason = loop {
        if let NodeEvent::TransferFailed { root: of, reason } = events.next().await.unwrap() {
            assert_eq!(of, root);
            break reason;
        }
    };
    assert!(reason.contains("cancelled"), "{reason}");
}

pub async fn a_check_says_what_one_peer_has_and_how_much_of_it_came(runtime: Arc<dyn Runtime>) {
    let (a, b) = pair(&runtime).await;
    let mut content = bytes(3 << 20);
    let (_directory, path) = file(&content);
    let root = a.share_file(&path, Profile::UnixfsV1_2025).await.unwrap().root.cid;
    let address = a.addresses().await.unwrap().remove(0);
    let check = async |cid, bytes| {
        let options = CheckOptions { bytes, ..CheckOptions::default() };
        b.check(cid, address.clone(), options).await.unwrap()
    };
    let whole = check(root, 16 << 20).await;
    assert_eq!((whole.answer, whole.is_all, whole.blocks), (CheckAnswer::Has, true, 4));
    assert_eq!((whole.missing, whole.undelivered), (0, 0));
    let of_root = whole.bytes - (3 << 20);
    assert!((1..1000).contains(&of_root), "{whole:?}");
    assert!(whole.root_after.unwrap() <= whole.elapsed);
    let speed = whole.bytes as f64 / whole.elapsed.as_secs_f64();
    assert_eq!(whole.bytes_per_second(), Some(speed));
    assert_eq!(whole.reached.peer.unwrap().info.peer, a.peer_id());
    // No more is asked for than was said, but the root always is.
    for (bytes, blocks) in [(0, 1), (of_root, 1), (of_root + 1, 2), (of_root + (1 << 20) + 1, 3)] {
        let some = check(root, bytes).await;
        assert_eq!((some.answer, some.is_all, some.blocks), (CheckAnswer::Has, false, blocks));
        assert_eq!(some.bytes, of_root + ((blocks - 1) << 20));
    }

    let nothing = check(raw(b"nobody has it"), 16 << 20).await;
    assert_eq!((nothing.answer, nothing.is_all), (CheckAnswer::Lacks, false));
    assert_eq!((nothing.blocks, nothing.bytes, nothing.root_after), (0, 0, None));
    assert_eq!((nothing.missing, nothing.undelivered), (1, 0));
    assert_eq!((nothing.missing_cids, nothing.cid), (vec![nothing.cid], raw(b"nobody has it")));
    content[1 << 20] ^= 1;
    std::fs::write(&path, content).unwrap();
    let partly = check(root, 16 << 20).await;
    assert_eq!((partly.answer, partly.is_all), (CheckAnswer::Partly, false));
    assert_eq!((partly.blocks, partly.missing, partly.undelivered), (3, 1, 0));
    assert_eq!(partly.bytes, of_root + (2 << 20));

    // Nobody listens there.
    let nobody = server(&runtime).await;
    let address = nobody.addresses().await.unwrap().remove(0);
    nobody.shutdown().await;
    let unreachable = b.check(root, address, CheckOptions::default()).await.unwrap();
    assert_eq!((unreachable.answer, unreachable.blocks), (CheckAnswer::Unreachable, 0));
}
