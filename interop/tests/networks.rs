//! Names, transports and private networks, between real peers and our node.
//!
//! A row is `server_to_client::what_is_shown`.

use std::time::Duration;

use bitswap_interop::{Kubo, KuboOptions, Listen, us};
use bitswap_node::libp2p::StreamProtocol;
use bitswap_node::testing::Authority;
use bitswap_node::{
    Dht, Keypair, Multiaddr, NamePath, Node, NodeBuilder, PublishOptions, Root, SwarmKey,
    WssCertificate,
};
use bitswap_runtime_tokio::Tokio;
use serde_json::json;
use tokio::time::timeout;

const LOOPBACK: &str = "/ip4/127.0.0.1/tcp/0";

/// The DHT of Kubo nodes whose addresses are private.
const LAN: &str = "/ipfs/lan/kad/1.0.0";

fn ours(listen: &str) -> NodeBuilder {
    Node::builder(Tokio::current()).with_listen_address(listen.parse().unwrap())
}

/// A Kubo that answers for a DHT of nodes on loopback.
async fn kubo_of_a_dht() -> Kubo {
    let config = vec![
        ("Routing.Type", json!("dhtserver")),
        ("Routing.LoopbackAddressesOnLanDHT", json!(true)),
    ];
    Kubo::start(KuboOptions { config, ..KuboOptions::default() }).await.unwrap()
}

async fn ours_of_a_dht(kubo: &Kubo) -> Node {
    let dht = Dht::server().with_bootstrap(kubo.addrs()[0].clone());
    let dht = dht.with_protocol(StreamProtocol::new(LAN));
    let node = ours(LOOPBACK).with_dht(dht).start().await.unwrap();
    node.connect(kubo.addrs()[0].clone()).await.unwrap();
    node
}

/// Asks again and again until there is an answer: peers become part of a DHT in their own time.
async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    timeout(Duration::from_secs(60), asking).await.unwrap()
}

async fn text(kubo: &Kubo, args: &[&str]) -> Option<String> {
    let answer = kubo.ipfs(args, None).await.ok()?;
    Some(String::from_utf8(answer).unwrap().trim().to_owned())
}

/// A block goes from the one to the other, in each direction.
async fn blocks_go_both_ways(kubo: &Kubo, node: &Node) {
    let theirs = kubo.block_put(b"of kubo", "raw", "sha2-256").await.unwrap();
    let got = timeout(Duration::from_secs(60), node.get(theirs)).await.unwrap().unwrap();
    assert_eq!(got.data(), &b"of kubo"[..]);
    let cid = node.put("of ours").await.unwrap();
    assert_eq!(kubo.block_get(&cid).await.unwrap(), b"of ours");
}

mod kubo_to_ours {
    use super::*;

    #[tokio::test]
    async fn a_name_that_kubo_published_is_followed_with_each_kind_of_key() {
        let kubo = kubo_of_a_dht().await;
        let node = ours_of_a_dht(&kubo).await;
        let cid = kubo.block_put(b"named", "raw", "sha2-256").await.unwrap();
        for kind in ["ed25519", "rsa"] {
            let name = text(&kubo, &["key", "gen", "--type", kind, kind]).await.unwrap();
            let key = format!("--key={kind}");
            let path = format!("/ipfs/{cid}");
            until(async || text(&kubo, &["name", "publish", &key, "--quieter", &path]).await).await;
            let path: NamePath = format!("/ipns/{name}/a").parse().unwrap();
            let found = until(async || node.resolve_name(&path).await.ok()).await;
            assert_eq!((found.cid, found.path), (cid, vec!["a".to_owned()]), "{kind}");
        }
    }

    async fn over(listen: Listen, security: Option<serde_json::Value>) {
        let config = security.map(|value| ("Swarm.Transports.Security", value));
        let config = config.into_iter().collect();
        let kubo = Kubo::start(KuboOptions { listen, config, ..KuboOptions::default() });
        let kubo = kubo.await.unwrap();
        let node = ours(LOOPBACK).start().await.unwrap();
        node.connect(kubo.addrs()[0].clone()).await.unwrap();
        blocks_go_both_ways(&kubo, &node).await;
    }

    #[tokio::test]
    async fn a_websocket_of_kubo_is_dialled() {
        over(Listen::WebSocket, None).await;
    }

    #[tokio::test]
    async fn a_kubo_that_has_only_tls_is_dialled() {
        over(Listen::Tcp, Some(json!({"TLS": 100, "Noise": false}))).await;
    }

    #[tokio::test]
    async fn quic_of_kubo_is_dialled() {
        over(Listen::Quic, None).await;
    }
}

mod ours_to_kubo {
    use super::*;

    #[tokio::test]
    async fn a_name_that_ours_published_is_followed_by_kubo_and_so_is_its_next_value() {
        let kubo = kubo_of_a_dht().await;
        let node = ours_of_a_dht(&kubo).await;
        for key in [Keypair::generate_ed25519(), Keypair::generate_secp256k1()] {
            for (sequence, bytes) in ["first", "second"].into_iter().enumerate() {
                let cid = node.put(bytes).await.unwrap();
                let target = NamePath::new(Root::Cid(cid), Vec::new());
                let options = PublishOptions::default();
                let record = until(async || node.publish(&key, &target, options).await.ok()).await;
                assert_eq!(record.sequence(), sequence as u64);
                let name = Root::Ipns(record.name()).to_string();
                let resolve = ["name", "resolve", "--nocache", &name];
                let expected = format!("/ipfs/{cid}");
                until(async || text(&kubo, &resolve).await.filter(|path| *path == expected)).await;
            }
        }
    }

    async fn over(listen: &str, security: Option<serde_json::Value>) {
        let node = ours(listen).start().await.unwrap();
        let config = security.map(|value| ("Swarm.Transports.Security", value));
        let config = config.into_iter().collect();
        let listen = Listen::TcpAndQuic;
        let kubo = Kubo::start(KuboOptions { listen, config, ..KuboOptions::default() });
        let kubo = kubo.await.unwrap();
        kubo.connect(&us::address(&node).await).await.unwrap();
        blocks_go_both_ways(&kubo, &node).await;
    }

    #[tokio::test]
    async fn our_websocket_is_dialled_by_kubo() {
        over("/ip4/127.0.0.1/tcp/0/ws", None).await;
    }

    #[tokio::test]
    async fn our_websocket_within_tls_is_dialled_by_kubo() {
        let (authority, other) = (Authority::new("ours"), Authority::new("other"));
        let (certificate, key) = authority.certify(&["127.0.0.1"]);
        let certificate = WssCertificate::from_pem(certificate.as_bytes(), key.as_bytes());
        let certificate = certificate.unwrap();
        for listen in ["/ip4/127.0.0.1/tcp/0/wss", "/ip4/127.0.0.1/tcp/0/tls/ws"] {
            let node = ours(listen).with_wss_certificate(certificate.clone());
            let node = node.start().await.unwrap();
            let believing = async |authority: &Authority| {
                let authority = Some(authority.pem());
                let options = KuboOptions { authority, ..KuboOptions::default() };
                Kubo::start(options).await.unwrap()
            };
            let kubo = believing(&authority).await;
            kubo.connect(&us::address(&node).await).await.unwrap();
            blocks_go_both_ways(&kubo, &node).await;
            let stranger = believing(&other).await;
            let said = stranger.connect(&us::address(&node).await).await.unwrap_err().to_string();
            assert!(said.contains("signed by unknown authority"), "{said}");
        }
    }

    #[tokio::test]
    async fn ours_is_dialled_by_a_kubo_that_has_only_tls() {
        over(LOOPBACK, Some(json!({"TLS": 100, "Noise": false}))).await;
    }

    #[tokio::test]
    async fn our_quic_is_dialled_by_kubo() {
        over("/ip4/127.0.0.1/udp/0/quic-v1", None).await;
    }

    #[tokio::test]
    async fn a_private_network_is_shared_with_kubo_and_closed_to_others() {
        let text = |digit: &str| format!("/key/swarm/psk/1.0.0/\n/base16/\n{}\n", digit.repeat(64));
        let options = KuboOptions { swarm_key: Some(text("a")), ..KuboOptions::default() };
        let kubo = Kubo::start(options).await.unwrap();
        let at: Multiaddr = kubo.addrs()[0].clone();
        let member = |digit: &str| {
            ours(LOOPBACK).with_swarm_key(SwarmKey::parse(text(digit).as_bytes()).unwrap())
        };
        let node = member("a").start().await.unwrap();
        node.connect(at.clone()).await.unwrap();
        blocks_go_both_ways(&kubo, &node).await;
        // The other way to meet.
        let node = member("a").start().await.unwrap();
        kubo.connect(&us::address(&node).await).await.unwrap();
        blocks_go_both_ways(&kubo, &node).await;
        let stranger = member("b").start().await.unwrap().connect(at.clone()).await;
        let said = stranger.unwrap_err().to_string();
        assert!(said.contains("another swarm key, or none"), "{said}");
        assert!(ours(LOOPBACK).start().await.unwrap().connect(at).await.is_err());
    }
}
