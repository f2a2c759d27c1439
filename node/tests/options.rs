//! Every settings value of a node can be made outside of its crate from what differs from the default.

use std::time::Duration;

use bitswap_node::chunk::{DownloadOptions, IfExists};
use bitswap_node::{
    Config, ConnectionLimits, Dht, FetchOptions, Multiaddr, PeerSet, SessionOptions, WhenMissing,
};

#[test]
fn options_are_made_from_what_differs() {
    let download = DownloadOptions { if_exists: IfExists::Replace, ..DownloadOptions::default() };
    let session = SessionOptions {
        when_missing: WhenMissing::Fail,
        want_timeout: Some(Duration::from_secs(30)),
        peers: PeerSet::Any,
        ..SessionOptions::default()
    };
    let fetch = FetchOptions { session, download, ..FetchOptions::default() };
    assert_eq!(fetch.download.if_exists, IfExists::Replace);
    assert_eq!(fetch.session.want_timeout, Some(Duration::from_secs(30)));
}

#[test]
fn limits_the_dht_and_the_protocol_have_builders() {
    let limits = ConnectionLimits::default().with_established(100).with_per_peer(2);
    assert_ne!(limits, ConnectionLimits::default());
    let address: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
    let dht = format!("{:?}", Dht::client().with_bootstrap(address).with_provided_max(7));
    assert!(dht.contains("127.0.0.1") && dht.contains('7'), "{dht}");
    let config = Config::default().with_stall_window(Duration::from_secs(1)).unwrap();
    assert_ne!(format!("{config:?}"), format!("{:?}", Config::default()));
}
