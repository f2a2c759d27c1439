//! Certificates of WebSocket within TLS.

use std::path::PathBuf;

use bitswap_node::NodeBuilder;
use clap::ValueHint;
use libp2p::Multiaddr;

use crate::failure::Failure;

/// What is shown to whoever dials addresses with `/wss`.
#[derive(Debug, clap::Args)]
pub(crate) struct WssArgs {
    /// The certificate for addresses to listen on with /wss (or /tls/ws), as PEM, and behind it those that lead to its
    /// authority. It is read once: after a renewal, start again.
    #[arg(long, value_name = "FILE", requires = "wss_key", value_hint = ValueHint::FilePath)]
    wss_certificate: Option<PathBuf>,

    /// Its private key, as PEM. It may be in the same file.
    #[arg(long, value_name = "FILE", requires = "wss_certificate", value_hint = ValueHint::FilePath)]
    wss_key: Option<PathBuf>,
}

/// Whom this machine believes when it dials addresses with `/wss`.
#[derive(Debug, clap::Args)]
pub(crate) struct WssTrust {
    /// When an address with /wss is dialled, believe certificates of this authority too, whose own is in the file, as
    /// PEM. May be given several times.
    #[arg(long, value_name = "FILE", help_heading = super::node::ACCESS, value_hint = ValueHint::FilePath)]
    wss_authority: Vec<PathBuf>,
}

#[cfg(feature = "websocket")]
mod read {
    use std::path::Path;

    use bitswap_node::{WssAuthorities, WssCertificate, WssError};

    use super::*;
    use crate::input::{self, Kind};

    /// Many times what a chain of certificates has, and what all that browsers believe have.
    const PEM_MAX: u64 = 1 << 20;

    const CERTIFICATE: &str = "--wss-certificate";
    const KEY: &str = "--wss-key";
    const AUTHORITY: &str = "--wss-authority";

    fn pem(path: &Path, option: &'static str) -> Result<Vec<u8>, Failure> {
        input::read(path, Kind::File, PEM_MAX)
            .map_err(|error| failure(path, option, &format_args!("it cannot be read: {error}")))
    }

    fn failure(path: &Path, option: &'static str, reason: &impl ToString) -> Failure {
        Failure::Wss { path: path.to_owned(), option, reason: reason.to_string() }
    }

    impl WssArgs {
        /// Gives a node its certificate, and refuses addresses that need one when there is none.
        pub(crate) fn give(
            &self,
            builder: NodeBuilder,
            listen: &[Multiaddr],
        ) -> Result<NodeBuilder, Failure> {
            let (Some(certificate), Some(key)) = (&self.wss_certificate, &self.wss_key) else {
                let lacking = listen.iter().find(|address| WssCertificate::is_needed_for(address));
                return lacking.map_or(Ok(builder), |address| {
                    Err(Failure::NoCertificate { address: address.clone() })
                });
            };
            let read = WssCertificate::from_pem(&pem(certificate, CERTIFICATE)?, &pem(key, KEY)?);
            let read = read.map_err(|error: WssError| {
                let (path, option) =
                    if error.is_of_key() { (key, KEY) } else { (certificate, CERTIFICATE) };
                failure(path, option, &error)
            })?;
            Ok(builder.with_wss_certificate(read))
        }
    }

    impl WssTrust {
        /// Has a node believe the authorities.
        pub(crate) fn give(&self, mut builder: NodeBuilder) -> Result<NodeBuilder, Failure> {
            for path in &self.wss_authority {
                let read = WssAuthorities::from_pem(&pem(path, AUTHORITY)?);
                let read = read.map_err(|error| failure(path, AUTHORITY, &error))?;
                builder = builder.with_wss_authorities(read);
            }
            Ok(builder)
        }
    }
}

#[cfg(not(feature = "websocket"))]
mod without {
    use super::*;

    impl WssArgs {
        /// The node says itself that it listens on no such address.
        pub(crate) fn give(
            &self,
            builder: NodeBuilder,
            _: &[Multiaddr],
        ) -> Result<NodeBuilder, Failure> {
            match self.wss_certificate {
                Some(_) => Err(Failure::NoWebSocket { option: "--wss-certificate" }),
                None => Ok(builder),
            }
        }
    }

    impl WssTrust {
        /// It would be believed by nobody.
        pub(crate) fn give(&self, builder: NodeBuilder) -> Result<NodeBuilder, Failure> {
            match self.wss_authority[..] {
                [] => Ok(builder),
                _ => Err(Failure::NoWebSocket { option: "--wss-authority" }),
            }
        }
    }
}
