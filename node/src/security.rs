//! What a connection is encrypted with: noise or TLS, as the two peers agree.
//!
//! Noise is offered first: it is what was always spoken here, and every peer has it.

use std::io;

use futures::future::{BoxFuture, Either, FutureExt as _, TryFutureExt as _};
use futures::io::{AsyncRead, AsyncWrite};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use libp2p::identity::Keypair;
use libp2p::{PeerId, noise, tls};

/// Both of them.
#[derive(Clone)]
pub(crate) struct Security {
    noise: noise::Config,
    tls: tls::Config,
}

impl Security {
    /// # Errors
    ///
    /// When the identity cannot sign.
    pub(crate) fn new(identity: &Keypair) -> io::Result<Self> {
        let noise = noise::Config::new(identity).map_err(io::Error::other)?;
        let tls = tls::Config::new(identity).map_err(io::Error::other)?;
        Ok(Self { noise, tls })
    }
}

const NOISE: &str = "/noise";
const TLS: &str = "/tls/1.0.0";

impl UpgradeInfo for Security {
    type Info = &'static str;
    type InfoIter = [&'static str; 2];

    fn protocol_info(&self) -> Self::InfoIter {
        [NOISE, TLS]
    }
}

/// A stream that is encrypted in either way.
type Secured<C> = Either<noise::Output<C>, tls::TlsStream<C>>;

type Upgrade<C> = BoxFuture<'static, io::Result<(PeerId, Secured<C>)>>;

impl<C> InboundConnectionUpgrade<C> for Security
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = (PeerId, Secured<C>);
    type Error = io::Error;
    type Future = Upgrade<C>;

    fn upgrade_inbound(self, socket: C, protocol: &'static str) -> Upgrade<C> {
        if protocol == TLS {
            let upgrade = self.tls.upgrade_inbound(socket, protocol);
            let upgrade = upgrade.map_ok(|(peer, stream)| (peer, Either::Right(stream)));
            upgrade.map_err(io::Error::other).boxed()
        } else {
            let upgrade = self.noise.upgrade_inbound(socket, protocol);
            let upgrade = upgrade.map_ok(|(peer, stream)| (peer, Either::Left(stream)));
            upgrade.map_err(io::Error::other).boxed()
        }
    }
}

impl<C> OutboundConnectionUpgrade<C> for Security
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = (PeerId, Secured<C>);
    type Error = io::Error;
    type Future = Upgrade<C>;

    fn upgrade_outbound(self, socket: C, protocol: &'static str) -> Upgrade<C> {
        if protocol == TLS {
            let upgrade = self.tls.upgrade_outbound(socket, protocol);
            let upgrade = upgrade.map_ok(|(peer, stream)| (peer, Either::Right(stream)));
            upgrade.map_err(io::Error::other).boxed()
        } else {
            let upgrade = self.noise.upgrade_outbound(socket, protocol);
            let upgrade = upgrade.map_ok(|(peer, stream)| (peer, Either::Left(stream)));
            upgrade.map_err(io::Error::other).boxed()
        }
    }
}
