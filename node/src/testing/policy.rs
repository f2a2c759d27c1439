//! What a node may send and ask for, how fast, and with whom it speaks at all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bitswap_core::{Block, Rates, WhenMissing};
use cid::Cid;
use futures::StreamExt as _;
use futures::channel::oneshot;
use futures::future::{join_all, try_join_all};
use libp2p::PeerId;

use super::{bytes, client, connect, loopback, server};
use crate::access::AccessRules;
use crate::error::GetError;
use crate::node::Node;
use crate::runtime::Runtime;
use crate::session::Session;
use crate::swarm_key::SwarmKey;
use crate::{PeerOutcome, SessionOptions};

/// Bytes per second.
const RATE: u64 = 1 << 20;
const BLOCK: usize = 256 << 10;

/// Puts so many blocks, which no other call puts.
async fn put(node: &Node, blocks: usize, salt: usize) -> Vec<Cid> {
    let block = |at| Block::raw(bytes(BLOCK - salt * 1000 - at));
    let blocks: Vec<Block> = (0..blocks).map(block).collect();
    let cids = blocks.iter().map(|block| *block.cid()).collect();
    node.put_blocks(blocks).await.unwrap();
    cids
}

/// How long it takes to get these.
async fn time(node: &Node, cids: Vec<Cid>) -> Duration {
    let session = node.session(SessionOptions::default()).await.unwrap();
    time_in(&session, cids).await
}

/// The same in a session.
async fn time_in(session: &Session, cids: Vec<Cid>) -> Duration {
    let start = Instant::now();
    let gets = cids.into_iter().map(|cid| session.get(cid));
    try_join_all(gets).await.unwrap();
    start.elapsed()
}

/// The least time that so many blocks take: the first passes at once, and a quarter of a second's worth may
/// have been saved up.
fn least(blocks: usize) -> Duration {
    let bytes = (blocks - 1) * (BLOCK - 10_000);
    Duration::from_secs_f64(bytes as f64 / RATE as f64) - Duration::from_millis(250)
}

pub async fn no_more_bytes_go_than_the_rates_allow_and_the_rates_change_meanwhile(
    runtime: Arc<dyn Runtime>,
) {
    let engine = bitswap_core::Config::default();
    let of_upload = Rates { upload: Some(RATE), ..Rates::default() };
    let config = bitswap_libp2p::Config::default().with_engine(engine.with_rates(of_upload));
    let server = Node::builder(runtime.clone()).with_listen_address(loopback()).with_config(config);
    let server = server.start().await.unwrap();
    let client = client(&runtime).await;
    connect(&client, &server).await;
    let taken = time(&client, put(&server, 10, 0).await).await;
    assert!(taken >= least(10), "upload of all: {taken:?}");

    let per_peer = Rates { upload_per_peer: Some(RATE), ..Rates::default() };
    server.set_rates(per_peer).await.unwrap();
    let taken = time(&client, put(&server, 10, 1).await).await;
    assert!(taken >= least(10), "upload per peer: {taken:?}");

    server.set_rates(Rates::default()).await.unwrap();
    let of_download = Rates { download: Some(RATE), ..Rates::default() };
    client.set_rates(of_download).await.unwrap();
    // How large these are is not known before they are there. What came too much is paid off before the
    // next is asked for.
    let (many, one) = (put(&server, 10, 2).await, put(&server, 1, 4).await);
    let taken = time(&client, many).await + time(&client, one).await;
    assert!(taken >= least(11), "download: {taken:?}");

    let per_peer = Rates { download_per_peer: Some(RATE), ..Rates::default() };
    client.set_rates(per_peer).await.unwrap();
    let (many, one) = (put(&server, 10, 5).await, put(&server, 1, 6).await);
    let taken = time(&client, many).await + time(&client, one).await;
    assert!(taken >= least(11), "download per peer: {taken:?}");

    client.set_rates(Rates::default()).await.unwrap();
    let options = SessionOptions { download: Some(RATE), ..SessionOptions::default() };
    let session = client.session(options).await.unwrap();
    let (many, one) = (put(&server, 10, 7).await, put(&server, 1, 8).await);
    let taken = time_in(&session, many).await + time_in(&session, one).await;
    assert!(taken >= least(11), "download of a session: {taken:?}");
    session.set_rate(None).await.unwrap();
    let taken = time_in(&session, put(&server, 60, 9).await).await;
    assert!(taken < least(60), "without its limit: {taken:?}");

    // Without limits it takes less than the least that it would take with them.
    client.set_rates(Rates::default()).await.unwrap();
    let taken = time(&client, put(&server, 60, 3).await).await;
    assert!(taken < least(60), "without limits: {taken:?}");
}

pub async fn what_rules_deny_is_not_there_for_whom_they_deny_it(runtime: Arc<dyn Runtime>) {
    let (friend, other) = (client(&runtime).await, client(&runtime).await);
    let list = Block::raw("denied by a list");
    let list = Arc::new(format!("/ipfs/{}", list.cid()).parse().unwrap());
    let rules = AccessRules::default().with_allowed_peer(friend.peer_id()).with_denylist(list);
    let server = Node::builder(runtime.clone()).with_listen_address(loopback());
    let may = move |peer: &PeerId, cid: &Cid| rules.allows(peer, cid);
    let server = server.with_access(may).start().await.unwrap();
    let open = server.put("open").await.unwrap();
    let denied = server.put("denied by a list").await.unwrap();
    let absent = *Block::raw("not here at all").cid();
    let get = async |node: &Node, cid: Cid| {
        let when_missing = WhenMissing::Fail;
        let options = SessionOptions { when_missing, ..SessionOptions::default() };
        match node.session(options).await.unwrap().get(cid).await {
            Ok(_) => None,
            Err(GetError::NotFound(reports)) => Some(reports),
            Err(error) => panic!("{error}"),
        }
    };
    for node in [&friend, &other] {
        connect(node, &server).await;
    }
    assert_eq!(get(&friend, open).await, None);
    let refused = get(&friend, absent).await;
    let outcome = refused.as_ref().unwrap()[0].outcome;
    assert_eq!(outcome, PeerOutcome::DontHave);
    assert_eq!(get(&friend, denied).await, refused, "a refusal is told as absence");
    assert_eq!(get(&other, open).await, refused);
    assert_eq!(get(&other, denied).await, refused);
}

pub async fn what_a_denylist_denies_is_asked_of_nobody_and_the_rest_is_got(
    runtime: Arc<dyn Runtime>,
) {
    let server = server(&runtime).await;
    let [open, denied] = ["open", "denied"];
    let [open, denied] = [server.put(open).await.unwrap(), server.put(denied).await.unwrap()];
    let list = Arc::new(format!("# why\n/ipfs/{denied}").parse().unwrap());
    let client = Node::builder(runtime).with_denylist(list).start().await.unwrap();
    connect(&client, &server).await;
    let is_denied = |got: &Result<Block, GetError>| matches!(got, Err(GetError::Denied { cid, line: 2 }) if *cid == denied);
    assert!(is_denied(&client.get(denied).await));
    let session = client.session(SessionOptions::default()).await.unwrap();
    let mut got: Vec<_> = session.get_many([denied, open]).collect().await;
    got.sort_by_key(|(cid, _)| *cid == denied);
    assert_eq!(got[0].1.as_ref().unwrap().data(), "open");
    assert!(is_denied(&got[1].1), "{got:?}");
    let asked = server.stats().await.unwrap().bitswap.engine.served;
    assert_eq!(asked.wants, 1, "nobody was asked for the other: {asked:?}");
}

pub async fn only_who_has_the_key_of_a_private_network_connects(runtime: Arc<dyn Runtime>) {
    let key = |digit: &str| {
        let text = format!("/key/swarm/psk/1.0.0/\n/base16/\n{}\n", digit.repeat(64));
        SwarmKey::parse(text.as_bytes()).unwrap()
    };
    let node = |key: Option<SwarmKey>| {
        let builder = Node::builder(runtime.clone()).with_listen_address(loopback());
        match key {
            Some(key) => builder.with_swarm_key(key),
            None => builder,
        }
    };
    let server = node(Some(key("a"))).start().await.unwrap();
    let cid = server.put("within").await.unwrap();
    let member = node(Some(key("a"))).start().await.unwrap();
    connect(&member, &server).await;
    assert_eq!(member.get(cid).await.unwrap().data(), "within");
    let address = server.addresses().await.unwrap().remove(0);
    for stranger in [Some(key("b")), None] {
        let stranger = node(stranger).start().await.unwrap();
        stranger.connect(address.clone()).await.unwrap_err();
        assert!(stranger.peers().await.unwrap().is_empty());
        let outwards = stranger.addresses().await.unwrap().remove(0);
        server.connect(outwards).await.unwrap_err();
    }
    assert_eq!(server.peers().await.unwrap().len(), 1);
}

/// Four nodes that begin one after another and know each other: much of what they get they get of each other.
pub async fn a_crowd_serves_itself_while_it_fetches(runtime: Arc<dyn Runtime>) {
    const NODES: usize = 4;
    const BLOCKS: usize = 256;
    let listening = || Node::builder(runtime.clone()).with_listen_address(loopback()).start();
    let seeder = listening().await.unwrap();
    let blocks: Vec<Block> = (0..BLOCKS).map(|at| Block::raw(bytes((64 << 10) - at))).collect();
    let cids: Vec<Cid> = blocks.iter().map(|block| *block.cid()).collect();
    seeder.put_blocks(blocks).await.unwrap();
    seeder.set_rates(Rates { upload: Some(8 * RATE), ..Rates::default() }).await.unwrap();
    let nodes: Vec<Node> =
        try_join_all(std::iter::repeat_with(listening).take(NODES)).await.unwrap();
    let (begun, begins): (Vec<_>, Vec<_>) = (0..NODES).map(|_| oneshot::channel::<()>()).unzip();
    let mut begun: Vec<_> = begun.into_iter().map(Some).collect();
    begun.remove(0).unwrap().send(()).unwrap();
    begun.push(None);
    let fetches = nodes.iter().zip(begins).zip(begun).enumerate();
    join_all(fetches.map(async |(at, ((node, begins), mut begun))| {
        begins.await.unwrap();
        connect(node, &seeder).await;
        for other in &nodes[..at] {
            connect(node, other).await;
        }
        let session = node.session(SessionOptions::default()).await.unwrap();
        let mut fetched = session.get_many(cids.iter().copied()).enumerate();
        while let Some((count, (_, block))) = fetched.next().await {
            block.unwrap();
            // A sixteenth of all is here: the next one begins.
            if count + 1 == BLOCKS / 16
                && let Some(begun) = begun.take()
            {
                begun.send(()).unwrap();
            }
        }
    }))
    .await;
    let served = seeder.stats().await.unwrap().bitswap.engine.served.blocks;
    assert!(served < 3 * BLOCKS as u64, "the seeder sent {served} blocks for {BLOCKS}");
}
