//! WebSocket within TLS.

use std::sync::Arc;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

use super::Authority;
use crate::error::ListenError;
use crate::node::{Node, NodeBuilder};
use crate::runtime::Runtime;
use crate::swarm_key::SwarmKey;
use crate::wss::{WssAuthorities, WssCertificate};

/// Both ways to write such an address.
const ADDRESSES: [&str; 2] = ["/ip4/127.0.0.1/tcp/0/wss", "/ip4/127.0.0.1/tcp/0/tls/ws"];

fn certificate(authority: &Authority, hosts: &[&str]) -> WssCertificate {
    let (certificate, key) = authority.certify(hosts);
    WssCertificate::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap()
}

fn believing(builder: NodeBuilder, authority: &Authority) -> NodeBuilder {
    builder.with_wss_authorities(WssAuthorities::from_pem(authority.pem().as_bytes()).unwrap())
}

/// The address of a node, by the name of its host.
fn by_name(address: &Multiaddr) -> Multiaddr {
    let name = Protocol::Dns4("localhost".into());
    std::iter::once(name).chain(address.iter().skip(1)).collect()
}

pub async fn wss_is_listened_on_and_dialled_by_whoever_believes_the_certificate(
    runtime: Arc<dyn Runtime>,
) {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let key = format!("/key/swarm/psk/1.0.0/\n/base16/\n{}\n", "a".repeat(64));
    let key = SwarmKey::parse(key.as_bytes()).unwrap();
    for (listen, swarm_key) in ADDRESSES.into_iter().zip([None, Some(key)]) {
        let builder = || {
            let builder = Node::builder(runtime.clone());
            if let Some(key) = swarm_key { builder.with_swarm_key(key) } else { builder }
        };
        let listen: Multiaddr = listen.parse().unwrap();
        let server = builder().with_listen_address(listen.clone());
        let server = server.with_wss_certificate(certificate(&ours, &["127.0.0.1"]));
        let server = server.start().await.unwrap();
        let at = server.addresses().await.unwrap().remove(0);
        let end: Multiaddr = listen.iter().skip(2).collect();
        assert!(at.to_string().contains(&format!("{end}/p2p/")), "{at}");

        // One of several authorities.
        let client = believing(believing(builder(), &theirs), &ours).start().await.unwrap();
        assert_eq!(client.connect(at.clone()).await.unwrap(), server.peer_id());
        let cid = server.put("within TLS").await.unwrap();
        assert_eq!(client.get(cid).await.unwrap().data(), "within TLS");

        // Nobody knows the authority, or the certificate is for another host.
        let unknown = "of an authority that is not believed here";
        for (stranger, at, why) in [
            (builder(), &at, unknown),
            (believing(builder(), &theirs), &at, unknown),
            (believing(builder(), &ours), &by_name(&at), "not valid for name \"localhost\""),
        ] {
            let stranger = stranger.start().await.unwrap();
            let refused = stranger.connect(at.clone()).await.unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
    }

    let server = Node::builder(runtime.clone()).with_listen_address(ADDRESSES[0].parse().unwrap());
    let server = server.with_wss_certificate(certificate(&ours, &["localhost"]));
    let server = server.start().await.unwrap();
    let at = server.addresses().await.unwrap().remove(0);
    let client = believing(Node::builder(runtime), &ours).start().await.unwrap();
    assert_eq!(client.connect(by_name(&at)).await.unwrap(), server.peer_id());
}

pub async fn wss_is_not_listened_on_without_a_certificate(runtime: Arc<dyn Runtime>) {
    let node = Node::builder(runtime.clone()).start().await.unwrap();
    for address in ADDRESSES {
        let address: Multiaddr = address.parse().unwrap();
        let refused = node.listen(address.clone()).await.unwrap_err();
        let said = refused.to_string();
        assert!(said.contains("takes a certificate and its private key"), "{said}");
        assert!(matches!(refused, ListenError::NoCertificate { address: at } if at == address));
        let errors = node.report().await.unwrap().errors;
        assert!(errors.iter().any(|error| *error.message == *said), "{errors:?}");
    }
    node.listen("/ip4/127.0.0.1/tcp/0/ws".parse().unwrap()).await.unwrap();
    assert_eq!(node.addresses().await.unwrap().len(), 1);

    // With a certificate it is the address that is wrong.
    let node = Node::builder(runtime);
    let node = node.with_wss_certificate(certificate(&Authority::new("ours"), &["127.0.0.1"]));
    let node = node.start().await.unwrap();
    let refused = node.listen("/tcp/1/ip4/127.0.0.1/wss".parse().unwrap()).await.unwrap_err();
    assert!(refused.to_string().contains("no address of this kind"), "{refused}");
}
