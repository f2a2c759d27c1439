//! The stack that every connection goes through: socket, byte counter, noise, yamux.

use std::io;
use std::time::Duration;

use futures::io::BufReader;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, OrTransport};
use libp2p::core::upgrade::Version;
use libp2p::futures::future::Either;
use libp2p::identity::Keypair;
use libp2p::pnet::PnetConfig;
use libp2p::{PeerId, Transport, noise};

use crate::multiplex::{Accounts, Multiplex};
use crate::runtime::{ByteStream, Runtime};
use crate::socket_bytes::{Metered, SocketBytes};
use crate::swarm_key::SwarmKey;

/// The longest that setting a connection up may take.
const SETUP_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes read from a socket at once. Noise alone would read 8 KiB at a time: four times the calls.
const READ_BUFFER: usize = 64 << 10;

/// Builds the node's transport on a runtime's sockets; with a key, that of a private network, which has no
/// QUIC.
///
/// # Errors
///
/// When the runtime cannot set up name resolution, or the identity cannot sign.
pub fn transport(
    runtime: &dyn Runtime,
    identity: &Keypair,
    swarm_key: Option<&SwarmKey>,
    bytes: &SocketBytes,
) -> io::Result<Boxed<(PeerId, StreamMuxerBox)>> {
    let noise = noise::Config::new(identity).map_err(io::Error::other)?;
    let (bytes, accounts) = (bytes.clone(), Accounts::default());
    let sockets = match swarm_key {
        None => runtime.tcp(),
        Some(key) => private(runtime.tcp(), PnetConfig::new(key.pre_shared())),
    };
    let tcp = sockets
        .map(move |socket, _| BufReader::with_capacity(READ_BUFFER, Metered::new(socket, bytes)))
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex_ext(move |peer, _| Multiplex::with(&accounts, *peer))
        .timeout(SETUP_TIMEOUT)
        .boxed();
    let quic = if swarm_key.is_none() { runtime.quic(identity) } else { None };
    let both = match quic {
        None => tcp,
        Some(quic) => OrTransport::new(quic, tcp)
            .map(|either, _| match either {
                Either::Left(connection) | Either::Right(connection) => connection,
            })
            .boxed(),
    };
    runtime.with_names(both)
}

/// Encrypts all that goes over the sockets with the key of a private network.
fn private(sockets: Boxed<ByteStream>, key: PnetConfig) -> Boxed<ByteStream> {
    sockets
        .and_then(move |socket, _| async move {
            let private = key.handshake(socket).await;
            private.map(|socket| Box::pin(socket) as ByteStream)
        })
        .boxed()
}
