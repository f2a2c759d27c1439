//! How peers come together.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bitswap_core::SessionOptions;
use cid::Cid;
use futures::channel::mpsc;
use futures::future::{join, join_all};
use futures::stream::{self, BoxStream, StreamExt as _};
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use super::losing::disconnected;
use super::{client, connect, loopback, pair, raw, server};
use crate::Dht;
use crate::error::{GetError, ProvideError};
use crate::names::{IpnsName, IpnsRecord, NameError, NamePath, PublishError, PublishOptions, Root};
use crate::node::{ConnectionLimits, Node, NodeEvent};
use crate::providers::{Provider, Providers};
use crate::runtime::Runtime;

pub async fn two_connects_make_one_connection(runtime: Arc<dyn Runtime>) {
    let (a, b) = pair(&runtime).await;
    a.listen(loopback()).await.unwrap();
    for address in a.addresses().await.unwrap() {
        assert_eq!(b.connect(address).await.unwrap(), a.peer_id());
    }
    let peers = b.peers().await.unwrap();
    assert_eq!(peers.len(), 1);
    assert_eq!(peers[0].bitswap.unwrap().connections, 1);
}

pub async fn oneself_cannot_be_connected(runtime: Arc<dyn Runtime>) {
    let node = server(&runtime).await;
    let address = node.addresses().await.unwrap().remove(0);
    assert!(node.connect(address.clone()).await.is_err());
    let without_name = address.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect();
    assert!(node.connect(without_name).await.is_err());
    assert!(node.peers().await.unwrap().is_empty());
}

/// Says of every block that one peer has it.
struct Knows(Provider);

impl Providers for Knows {
    fn find(&self, _: Cid) -> BoxStream<'static, Provider> {
        // Once with a peer that is not there: it is passed over.
        let gone = Provider { peer: PeerId::random(), addresses: vec![loopback()] };
        stream::iter([gone, self.0.clone()]).boxed()
    }
}

pub async fn a_provider_is_dialled_and_asked(runtime: Arc<dyn Runtime>) {
    let a = server(&runtime).await;
    let cid = a.put("provided").await.unwrap();
    let addresses = a.addresses().await.unwrap();
    let knows = Arc::new(Knows(Provider { peer: a.peer_id(), addresses }));
    let b = Node::builder(runtime.clone()).with_providers(knows).start().await.unwrap();
    // Somebody else is connected, and has nothing.
    let other = server(&runtime).await;
    connect(&b, &other).await;
    let session = b.session(SessionOptions::default()).await.unwrap();
    assert_eq!(session.get(cid).await.unwrap().data(), "provided");
    drop(client(&runtime).await);
}

/// Waits until the DHT has heard that the node has a block.
async fn announced(node: &Node, cid: Cid) {
    let mut events = node.events().await.unwrap();
    node.provide(cid).await.unwrap();
    while !matches!(events.next().await.unwrap(), NodeEvent::Provided(what) if what == cid) {}
}

pub async fn a_provider_is_found_through_the_dht_by_who_knows_another_peer_only(
    runtime: Arc<dyn Runtime>,
) {
    let builder = || Node::builder(runtime.clone()).with_listen_address(loopback());
    let b = builder().with_dht(Dht::server()).start().await.unwrap();
    let begin = Dht::client().with_bootstrap(b.addresses().await.unwrap().remove(0));
    let a = builder().with_dht(begin.clone()).start().await.unwrap();
    let cid = a.put("provided in the dht").await.unwrap();
    announced(&a, cid).await;

    let c = builder().with_dht(begin).start().await.unwrap();
    assert_eq!(c.get(cid).await.unwrap().data(), "provided in the dht");
    let fetched = c.stats().await.unwrap().bitswap.engine.fetched;
    assert_eq!((fetched.blocks, fetched.duplicate_blocks), (1, 0));
    // The peer that both know keeps the record, and finds the block in it without asking anybody.
    assert_eq!(b.get(cid).await.unwrap().data(), "provided in the dht");
}

pub async fn blocks_are_provided_up_to_the_bound(runtime: Arc<dyn Runtime>) {
    let b = Node::builder(runtime.clone()).with_listen_address(loopback()).with_dht(Dht::server());
    let b = b.start().await.unwrap();
    let dht =
        Dht::client().with_bootstrap(b.addresses().await.unwrap().remove(0)).with_provided_max(2);
    let a = Node::builder(runtime.clone())
        .with_listen_address(loopback())
        .with_dht(dht)
        .start()
        .await
        .unwrap();
    let cids = [raw(b"1"), raw(b"2"), raw(b"3")];
    announced(&a, cids[0]).await;
    announced(&a, cids[1]).await;
    assert!(matches!(a.provide(cids[2]).await, Err(ProvideError::TooMany { max: 2 })));
    a.unprovide(cids[0]).await.unwrap();
    announced(&a, cids[2]).await;
    assert_eq!(a.stats().await.unwrap().provided, 2);
    let without = client(&runtime).await;
    assert!(matches!(without.provide(cids[0]).await, Err(ProvideError::NoDht)));
}

pub async fn a_want_that_fails_when_missing_waits_for_the_provider_being_dialled(
    runtime: Arc<dyn Runtime>,
) {
    let a = server(&runtime).await;
    let cid = a.put("one connection away").await.unwrap();
    let addresses = a.addresses().await.unwrap();
    let knows = Arc::new(Knows(Provider { peer: a.peer_id(), addresses }));
    let b = Node::builder(runtime.clone()).with_providers(knows).start().await.unwrap();
    let when_missing = bitswap_core::WhenMissing::Fail;
    let options = SessionOptions { when_missing, ..SessionOptions::default() };
    let session = b.session(options).await.unwrap();
    assert_eq!(session.get(cid).await.unwrap().data(), "one connection away");
}

/// Says of every block that this peer has it.
struct Names(Provider);

impl Providers for Names {
    fn find(&self, _: Cid) -> BoxStream<'static, Provider> {
        stream::iter([self.0.clone()]).boxed()
    }
}

pub async fn a_lookup_ends_when_its_provider_cannot_be_dialled(runtime: Arc<dyn Runtime>) {
    // One has no address, which is known at once; nobody listens at that of the other.
    for addresses in [vec![], vec![loopback()]] {
        let provider = Provider { peer: PeerId::random(), addresses };
        let b = Node::builder(runtime.clone()).with_providers(Arc::new(Names(provider)));
        let b = b.start().await.unwrap();
        let other = server(&runtime).await;
        connect(&b, &other).await;
        let when_missing = bitswap_core::WhenMissing::Fail;
        let options = SessionOptions { when_missing, ..SessionOptions::default() };
        let session = b.session(options).await.unwrap();
        let Err(GetError::NotFound(reports)) = session.get(raw(b"nowhere")).await else {
            panic!("found, or failed otherwise");
        };
        assert_eq!(reports.iter().map(|report| report.peer).collect::<Vec<_>>(), [other.peer_id()]);
    }
}

/// Answers nobody who connects, until it lets go of all.
struct Silent {
    address: Multiaddr,
    accepted: mpsc::Receiver<()>,
    held: Arc<Mutex<Option<Vec<TcpStream>>>>,
}

impl Silent {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let address = Multiaddr::empty().with(Ipv4Addr::LOCALHOST.into()).with(Protocol::Tcp(port));
        let held = Arc::new(Mutex::new(Some(Vec::new())));
        let (mut tell, accepted) = mpsc::channel(16);
        let of_thread = held.clone();
        // It ends with the test's process: nothing waits for it.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Some(held) = &mut *of_thread.lock().unwrap() {
                    held.push(stream);
                    tell.try_send(()).unwrap();
                }
            }
        });
        Self { address, accepted, held }
    }

    async fn has_accepted(&mut self, connections: usize) {
        for _ in 0..connections {
            self.accepted.next().await.unwrap();
        }
    }

    /// Closes all connections, and new ones at once.
    fn let_go(&self) {
        *self.held.lock().unwrap() = None;
    }
}

/// Says of every block that these peers have it, and tells of each as it names it.
struct Lists(Vec<Provider>, mpsc::Sender<()>);

impl Providers for Lists {
    fn find(&self, _: Cid) -> BoxStream<'static, Provider> {
        let mut tell = self.1.clone();
        // Nobody may listen.
        let named = move |_: &Provider| drop(tell.try_send(()));
        stream::iter(self.0.clone()).inspect(named).boxed()
    }
}

/// A node that has four dials on their way at most, and looks for providers in a list.
async fn with_four_dials(
    runtime: &Arc<dyn Runtime>,
    providers: Vec<Provider>,
) -> (Node, mpsc::Receiver<()>) {
    let (tell, named) = mpsc::channel(16);
    let node = Node::builder(runtime.clone())
        .with_connection_limits(ConnectionLimits::within(64))
        .with_providers(Arc::new(Lists(providers, tell)));
    (node.start().await.unwrap(), named)
}

pub async fn silent_providers_leave_dials_for_the_user_and_for_the_provider_that_answers(
    runtime: Arc<dyn Runtime>,
) {
    let (a, other, mut silent) = (server(&runtime).await, server(&runtime).await, Silent::start());
    let cid = a.put("behind a crowd").await.unwrap();
    let nobody = || Provider { peer: PeerId::random(), addresses: vec![silent.address.clone()] };
    let mut providers: Vec<_> = std::iter::repeat_with(nobody).take(8).collect();
    providers.push(Provider { peer: a.peer_id(), addresses: a.addresses().await.unwrap() });
    let (b, _named) = with_four_dials(&runtime, providers).await;
    let meanwhile = async {
        silent.has_accepted(2).await;
        connect(&b, &other).await;
        silent.let_go();
    };
    let (got, ()) = join(b.get(cid), meanwhile).await;
    assert_eq!(got.unwrap().data(), "behind a crowd");
}

pub async fn a_provider_is_dialled_once_the_dials_of_others_leave_room(runtime: Arc<dyn Runtime>) {
    let (a, mut silent) = (server(&runtime).await, Silent::start());
    let cid = a.put("when there is room").await.unwrap();
    let provider = Provider { peer: a.peer_id(), addresses: a.addresses().await.unwrap() };
    let (b, mut named) = with_four_dials(&runtime, vec![provider]).await;
    let connects = join_all((0..4).map(|_| b.connect(silent.address.clone())));
    let get = async {
        silent.has_accepted(4).await;
        let meanwhile = async {
            named.next().await.unwrap();
            // Answered after the step in which the provider was named.
            b.stats().await.unwrap();
            silent.let_go();
        };
        join(b.get(cid), meanwhile).await.0
    };
    let (connected, got) = join(connects, get).await;
    assert!(connected.iter().all(Result::is_err));
    assert_eq!(got.unwrap().data(), "when there is room");
    assert!(named.try_recv().is_err(), "one search was enough");
}

pub async fn a_want_waits_for_a_provider_although_another_peer_is_lost(runtime: Arc<dyn Runtime>) {
    let (a, gone) = (server(&runtime).await, server(&runtime).await);
    let cid = a.put("elsewhere").await.unwrap();
    let addresses = a.addresses().await.unwrap();
    let knows = Arc::new(Knows(Provider { peer: a.peer_id(), addresses }));
    let b = Node::builder(runtime.clone())
        .with_reconnect_grace(Duration::ZERO)
        .with_providers(knows)
        .start()
        .await
        .unwrap();
    connect(&b, &gone).await;
    disconnected(&b, || drop(gone)).await;
    let when_missing = bitswap_core::WhenMissing::Fail;
    let options = SessionOptions { when_missing, ..SessionOptions::default() };
    let session = b.session(options).await.unwrap();
    assert_eq!(session.get(cid).await.unwrap().data(), "elsewhere");
}

pub async fn a_name_is_neither_missing_nor_published_when_nobody_in_the_dht_answers(
    runtime: Arc<dyn Runtime>,
) {
    let nobody = loopback().with(Protocol::P2p(PeerId::random()));
    let node = Node::builder(runtime.clone()).with_dht(Dht::client().with_bootstrap(nobody));
    let node = node.start().await.unwrap();
    let key = Keypair::generate_ed25519();
    let name = NamePath::new(Root::Ipns(IpnsName::from(&key.public())), Vec::new());
    let unknown = node.resolve_name(&name).await;
    assert!(matches!(unknown, Err(NameError::Unreachable { .. })), "{unknown:?}");
    let target = NamePath::new(Root::Cid(raw(b"target")), Vec::new());
    let refused = node.publish(&key, &target, PublishOptions::default()).await;
    assert!(matches!(refused, Err(PublishError::Unreachable)), "{refused:?}");
}

/// A machine that keeps the records of a DHT, and one that uses it.
async fn in_a_dht(runtime: &Arc<dyn Runtime>) -> (Node, Node) {
    let hub = Node::builder(runtime.clone()).with_listen_address(loopback());
    let hub = hub.with_dht(Dht::server()).start().await.unwrap();
    let dht = Dht::client().with_bootstrap(hub.addresses().await.unwrap().remove(0));
    let node = Node::builder(runtime.clone()).with_dht(dht).start().await.unwrap();
    (hub, node)
}

pub async fn a_name_is_published_for_any_time_and_for_less_than_before(runtime: Arc<dyn Runtime>) {
    let (hub, node) = in_a_dht(&runtime).await;
    let key = Keypair::generate_ed25519();
    let target = NamePath::new(Root::Cid(raw(b"target")), Vec::new());
    let hour = Duration::from_secs(3600);
    let mut published = Vec::new();
    for lifetime in [2 * hour, 3 * hour, Duration::MAX, hour] {
        let options = PublishOptions { lifetime, ..PublishOptions::default() };
        let record = node.publish(&key, &target, options).await.unwrap();
        let kept = hub.find_record(record.name()).await.unwrap().unwrap();
        assert_eq!(kept.as_ref(), Some(&record));
        published.push(record.sequence());
    }
    assert_eq!(published, [0, 0, 0, 1]);
}

pub async fn a_name_is_renewed_until_somebody_publishes_another_value(runtime: Arc<dyn Runtime>) {
    let (hub, node) = in_a_dht(&runtime).await;
    let key = Keypair::generate_ed25519();
    let [target, other] =
        [&b"target"[..], b"other"].map(|data| NamePath::new(Root::Cid(raw(data)), Vec::new()));
    let options = PublishOptions { lifetime: Duration::from_secs(3), ..PublishOptions::default() };
    let mut published = pin!(node.keep_published(key.clone(), target, options));
    let mut before: Option<IpnsRecord> = None;
    for _ in 0..2 {
        let record = published.next().await.unwrap().unwrap();
        let kept = hub.find_record(record.name()).await.unwrap().unwrap();
        assert_eq!(kept.as_ref(), Some(&record));
        if let Some(before) = before {
            assert_eq!(record.sequence(), before.sequence(), "the same, for longer");
            assert!(record.valid_until() > before.valid_until());
        }
        before = Some(record);
    }
    let later = node.publish(&key, &other, PublishOptions::default()).await.unwrap();
    let renewed = published.next().await.unwrap();
    assert!(
        matches!(&renewed, Err(PublishError::Superseded { value }) if value == later.value()),
        "{renewed:?}"
    );
    assert!(published.next().await.is_none(), "it does not fight");
    let kept = hub.find_record(later.name()).await.unwrap().unwrap();
    assert_eq!(kept, Some(later));
}
