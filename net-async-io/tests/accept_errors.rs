//! A listener that runs out of file descriptors. In a process of its own: the limit is the process's.
#![cfg(target_os = "linux")]

use std::future::poll_fn;
use std::net::TcpStream;
use std::pin::Pin;
use std::time::{Duration, Instant};

use async_io::block_on;
use bitswap_net_async_io::TcpTransport;
use libp2p::core::Transport as _;
use libp2p::core::transport::{ListenerId, TransportEvent};
use libp2p::multiaddr::Protocol;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[test]
fn a_failed_accept_is_reported_and_tried_again_after_a_pause() {
    let mut transport = TcpTransport::new();
    transport.listen_on(ListenerId::next(), "/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    let mut next = || block_on(poll_fn(|cx| Pin::new(&mut transport).poll(cx)));
    let TransportEvent::NewAddress { listen_addr, .. } = next() else { panic!("no address") };
    let Some(Protocol::Tcp(port)) = listen_addr.iter().last() else { panic!("{listen_addr}") };
    let _waiting = TcpStream::connect(("127.0.0.1", port)).unwrap();

    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..limit }).unwrap();
    let start = Instant::now();
    for errors in 1..=3 {
        let TransportEvent::ListenerError { error, .. } = next() else { panic!("no error") };
        assert_eq!(error.raw_os_error(), Some(24), "{error}");
        assert!(start.elapsed() >= Duration::from_millis(100) * (errors - 1), "no pause");
    }
    setrlimit(Resource::Nofile, limit).unwrap();
    assert!(matches!(next(), TransportEvent::Incoming { .. }));
}
