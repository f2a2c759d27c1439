//! The stack that every connection goes through: socket, byte counter, noise or TLS, yamux.

use std::io;
use std::time::Duration;

use either::Either as Layer;
use futures::io::BufReader;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::timeout::{TransportTimeout, TransportTimeoutError};
use libp2p::core::transport::{Boxed, OrTransport};
use libp2p::core::upgrade::Version;
use libp2p::futures::future::Either;
use libp2p::identity::Keypair;
#[cfg(not(feature = "tls"))]
use libp2p::noise;
use libp2p::pnet::PnetConfig;
use libp2p::{PeerId, Transport};

use crate::multiplex::{Accounts, Multiplex};
use crate::runtime::{ByteStream, Runtime};
#[cfg(feature = "tls")]
use crate::security::Security;
use crate::socket_bytes::{Metered, SocketBytes};
use crate::swarm_key::SwarmKey;
#[cfg(feature = "websocket")]
use crate::{websocket, wss::Wss};

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
    #[cfg(feature = "websocket")]
    let wss = &Wss::default();
    Stack {
        identity,
        swarm_key,
        bytes,
        #[cfg(feature = "websocket")]
        wss,
    }
    .on(runtime)
}

/// What is put on a runtime's sockets.
pub(crate) struct Stack<'a> {
    pub(crate) identity: &'a Keypair,
    pub(crate) swarm_key: Option<&'a SwarmKey>,
    pub(crate) bytes: &'a SocketBytes,
    #[cfg(feature = "websocket")]
    pub(crate) wss: &'a Wss,
}

impl Stack<'_> {
    /// # Errors
    ///
    /// As [`transport`]; and when the certificates of `/wss` are refused.
    pub(crate) fn on(&self, runtime: &dyn Runtime) -> io::Result<Connections> {
        let &Self { identity, swarm_key, bytes, .. } = self;
        let secured = Secured::new(identity, bytes, swarm_key.is_some())?;
        let private = |sockets| match swarm_key {
            None => sockets,
            Some(key) => private(sockets, PnetConfig::new(key.pre_shared())),
        };
        let mut all = secured.transport(private(runtime.tcp()));
        #[cfg(feature = "websocket")]
        {
            let sockets = websocket::transport(runtime.tcp(), self.wss)?;
            all = either(secured.transport(private(sockets)), all);
        }
        if swarm_key.is_none()
            && let Some(quic) = runtime.quic(identity)
        {
            all = either(quic, all);
        }
        let all = runtime.with_names(all)?;
        #[cfg(feature = "websocket")]
        let all = websocket::WithHostName(all).boxed();
        Ok(all)
    }
}

type Connections = Boxed<(PeerId, StreamMuxerBox)>;

/// The first that takes an address.
fn either(first: Connections, second: Connections) -> Connections {
    OrTransport::new(first, second)
        .map(|either, _| match either {
            Either::Left(connection) | Either::Right(connection) => connection,
        })
        .boxed()
}

/// What makes a socket a connection.
struct Secured {
    #[cfg(not(feature = "tls"))]
    security: noise::Config,
    #[cfg(feature = "tls")]
    security: Security,
    bytes: SocketBytes,
    accounts: Accounts,
    is_private: bool,
}

/// Why a connection in a private network was not set up once the socket was there: what the other side says
/// makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("whoever answers there has another swarm key, or none; compare the files on both machines")]
struct OtherKey;

/// Why one was not set up in time.
#[derive(Debug, thiserror::Error)]
#[error(
    "nobody answers there in time, or who does has another swarm key, or none; compare the files on both machines"
)]
struct Silent;

impl Secured {
    fn new(identity: &Keypair, bytes: &SocketBytes, is_private: bool) -> io::Result<Self> {
        #[cfg(not(feature = "tls"))]
        let security = noise::Config::new(identity).map_err(io::Error::other)?;
        #[cfg(feature = "tls")]
        let security = Security::new(identity)?;
        Ok(Self { security, bytes: bytes.clone(), accounts: Accounts::default(), is_private })
    }

    fn transport(&self, sockets: Boxed<ByteStream>) -> Connections {
        let (bytes, accounts) = (self.bytes.clone(), self.accounts.clone());
        let is_private = self.is_private;
        let set_up = sockets
            .map(move |socket, _| {
                BufReader::with_capacity(READ_BUFFER, Metered::new(socket, bytes))
            })
            .upgrade(Version::V1Lazy)
            .authenticate(self.security.clone())
            .multiplex_ext(move |peer, _| Multiplex::with(&accounts, *peer))
            .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)))
            .map_err(move |error| match error {
                Layer::Left(Layer::Left(error)) => error,
                _ if is_private => io::Error::other(OtherKey),
                error => io::Error::other(error),
            });
        // What is encrypted with another key may announce more than ever comes.
        let in_time = TransportTimeout::new(set_up, SETUP_TIMEOUT);
        let in_time = in_time.map_err(move |error| match error {
            TransportTimeoutError::Timeout if is_private => io::Error::other(Silent),
            TransportTimeoutError::Other(error) => error,
            error => io::Error::other(error),
        });
        in_time.boxed()
    }
}

/// Encrypts all that goes over the sockets with the key of a private network.
fn private(sockets: Boxed<ByteStream>, key: PnetConfig) -> Boxed<ByteStream> {
    sockets
        .and_then(move |socket, _| async move {
            let private = key.handshake(socket).await;
            private
                .map(|socket| Box::pin(socket) as ByteStream)
                .map_err(|_| io::Error::other(OtherKey))
        })
        .boxed()
}
