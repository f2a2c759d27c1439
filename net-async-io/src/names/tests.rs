use std::collections::BTreeMap;
use std::error::Error as _;
use std::future::Ready;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_io::block_on;
use futures::future::{self, FutureExt as _};
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;

use super::*;

const PEER: &str = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
const OTHER: &str = "12D3KooWSqVBjS6mpeXLiw2oejTimBPcGqHpBZt3QKnqUmbdJTWE";

/// A resolver with a table, that counts.
#[derive(Clone, Default)]
struct Table {
    v4: BTreeMap<&'static str, Vec<&'static str>>,
    v6: BTreeMap<&'static str, Vec<&'static str>>,
    texts: BTreeMap<String, Vec<String>>,
    lookups: Arc<AtomicUsize>,
}

impl Resolve for Table {
    fn addresses(&self, host: String, version: IpVersion) -> Lookup<IpAddr> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        let table = if version == IpVersion::V4 { &self.v4 } else { &self.v6 };
        let found = table.get(host.as_str());
        let ips = found.map(|ips| ips.iter().map(|ip| ip.parse().unwrap()).collect());
        future::ready(ips.ok_or_else(|| io::ErrorKind::NotFound.into())).boxed()
    }

    fn texts(&self, name: String) -> Lookup<String> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        let found = self.texts.get(&name).cloned();
        future::ready(found.ok_or_else(|| io::ErrorKind::NotFound.into())).boxed()
    }
}

/// A transport that dials nothing, remembers what it should have dialled, and succeeds at some.
#[derive(Clone, Default)]
struct Dials {
    seen: Arc<Mutex<Vec<String>>>,
    answers_at: Option<&'static str>,
}

impl Transport for Dials {
    type Output = String;
    type Error = io::Error;
    type ListenerUpgrade = Ready<io::Result<String>>;
    type Dial = Ready<io::Result<String>>;

    fn listen_on(&mut self, _: ListenerId, at: Multiaddr) -> Result<(), TransportError<io::Error>> {
        Err(TransportError::MultiaddrNotSupported(at))
    }

    fn remove_listener(&mut self, _: ListenerId) -> bool {
        false
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        _: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        if address.to_string().contains("/udp/") {
            return Err(TransportError::MultiaddrNotSupported(address));
        }
        let address = address.to_string();
        self.seen.lock().unwrap().push(address.clone());
        let answers = self.answers_at == Some(&address);
        let refused = || Err(io::ErrorKind::ConnectionRefused.into());
        Ok(std::future::ready(if answers { Ok(address) } else { refused() }))
    }

    fn poll(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        Poll::Pending
    }
}

/// Dials; the result, and what was dialled for it.
fn dial(
    table: &Table,
    answers_at: Option<&'static str>,
    address: &str,
) -> (Result<String, NamedError<io::Error>>, Vec<String>) {
    let dials = Dials { answers_at, ..Dials::default() };
    let mut named = Named::new(dials.clone(), table.clone());
    let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::Reuse };
    let result = match named.dial(address.parse().unwrap(), options) {
        Ok(dial) => block_on(dial),
        Err(error) => panic!("{error:?}"),
    };
    let seen = dials.seen.lock().unwrap().clone();
    (result, seen)
}

fn hosts() -> Table {
    Table {
        v4: [("two.test", vec!["192.0.2.1", "192.0.2.2"]), ("four.test", vec!["192.0.2.4"])].into(),
        v6: [("two.test", vec!["2001:db8::1"]), ("six.test", vec!["2001:db8::6"])].into(),
        ..Table::default()
    }
}

#[test]
fn an_address_without_a_name_is_dialled_as_it_is() {
    let table = hosts();
    let address = "/ip4/192.0.2.9/tcp/1";
    let (result, seen) = dial(&table, Some(address), address);
    assert_eq!(result.unwrap(), address);
    assert_eq!(seen, [address]);
    assert_eq!(table.lookups.load(Ordering::Relaxed), 0);
}

#[test]
fn all_addresses_of_a_host_are_tried_until_one_answers() {
    let answers = "/ip4/192.0.2.1/tcp/1";
    let (result, seen) = dial(&hosts(), Some(answers), "/dns/two.test/tcp/1");
    assert_eq!(result.unwrap(), answers);
    assert_eq!(seen, ["/ip6/2001:db8::1/tcp/1", answers]);
}

#[test]
fn a_name_of_one_ip_version_is_looked_up_for_that_version() {
    let (_, seen) = dial(&hosts(), None, "/dns4/two.test/tcp/1");
    assert_eq!(seen, ["/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.2/tcp/1"]);
    let (_, seen) = dial(&hosts(), None, "/dns6/two.test/tcp/1");
    assert_eq!(seen, ["/ip6/2001:db8::1/tcp/1"]);
}

#[test]
fn a_host_with_one_ip_version_is_enough() {
    assert_eq!(dial(&hosts(), None, "/dns/four.test/tcp/1").1, ["/ip4/192.0.2.4/tcp/1"]);
    assert_eq!(dial(&hosts(), None, "/dns/six.test/tcp/1").1, ["/ip6/2001:db8::6/tcp/1"]);
}

#[test]
fn errors_say_what_failed() {
    let (result, seen) = dial(&hosts(), None, "/dns4/missing.test/tcp/1");
    assert_eq!(seen, [""; 0]);
    let error = result.unwrap_err();
    assert_eq!(error.to_string(), "cannot resolve missing.test");
    assert_eq!(error.source().unwrap().to_string(), "entity not found");
    let (result, _) = dial(&hosts(), None, "/dns4/four.test/tcp/1");
    assert_eq!(result.unwrap_err().to_string(), "connection refused");
    let (result, _) = dial(&hosts(), None, "/dns4/four.test/udp/1");
    let expected = "/dns4/four.test/udp/1 stands for no address that can be dialled";
    assert_eq!(result.unwrap_err().to_string(), expected);
}

#[test]
fn a_list_of_addresses_is_read_and_kept_to_the_peer_that_is_asked_for() {
    let mut table = hosts();
    let texts = [
        format!("dnsaddr=/ip4/192.0.2.7/tcp/1/p2p/{PEER}"),
        format!("dnsaddr=/ip4/192.0.2.8/tcp/1/p2p/{OTHER}"),
        "something=else".to_owned(),
        format!("dnsaddr=/dnsaddr/more.test/p2p/{PEER}"),
    ];
    table.texts.insert("_dnsaddr.list.test".to_owned(), texts.into());
    let texts = [format!("dnsaddr=/dns4/four.test/tcp/1/p2p/{PEER}")];
    table.texts.insert("_dnsaddr.more.test".to_owned(), texts.into());
    let expected =
        [format!("/ip4/192.0.2.7/tcp/1/p2p/{PEER}"), format!("/ip4/192.0.2.4/tcp/1/p2p/{PEER}")];
    assert_eq!(dial(&table, None, &format!("/dnsaddr/list.test/p2p/{PEER}")).1, expected);
    let (_, all) = dial(&table, None, "/dnsaddr/list.test");
    assert_eq!(all.len(), 3, "without a peer, those of all peers: {all:?}");
}

#[test]
fn a_list_that_leads_back_to_itself_ends_after_32_lookups() {
    let mut table = Table::default();
    let text = vec!["dnsaddr=/dnsaddr/loop.test".to_owned(); 3];
    table.texts.insert("_dnsaddr.loop.test".to_owned(), text);
    let (result, seen) = dial(&table, None, "/dnsaddr/loop.test");
    assert!(matches!(result, Err(NamedError::NoAddress(_))));
    assert_eq!(seen, [""; 0]);
    assert_eq!(table.lookups.load(Ordering::Relaxed), 32);
}

#[test]
fn a_long_list_is_dialled_16_times_and_no_more() {
    let mut table = Table::default();
    let list = |prefix: &'static str| {
        (0..100).map(move |n| format!("dnsaddr=/{prefix}/192.0.2.{n}/tcp/1")).collect()
    };
    table.texts.insert("_dnsaddr.long.test".to_owned(), list("ip4"));
    assert_eq!(dial(&table, None, "/dnsaddr/long.test").1.len(), 16);

    let lists = (0..100).map(|_| "dnsaddr=/dnsaddr/long.test".to_owned()).collect();
    table.texts.insert("_dnsaddr.lists.test".to_owned(), lists);
    assert_eq!(dial(&table, None, "/dnsaddr/lists.test").1.len(), 16);
}

/// From the machine's hosts file; no server is asked.
#[test]
fn localhost_is_known_to_the_system() {
    let tasks = Arc::new(AtomicUsize::new(0));
    let started = tasks.clone();
    let spawn: Spawn = Arc::new(move |_| {
        started.fetch_add(1, Ordering::Relaxed);
    });
    let resolver = SystemResolver::new(spawn).unwrap();
    let ips = block_on(resolver.addresses("localhost".to_owned(), IpVersion::V4)).unwrap();
    assert!(!ips.is_empty() && ips.iter().all(IpAddr::is_loopback), "{ips:?}");
    assert_eq!(tasks.load(Ordering::Relaxed), 0, "a DNS server was asked");
}
