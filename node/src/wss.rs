//! Certificates of `/wss`: what a node shows when it listens there, and whom it believes when it dials.
//!
//! A WebSocket within TLS goes through what lets only the web through. It is TLS as web servers have it, below the
//! encryption between the two peers, so a certificate says which host this is, and nothing of which peer.

use std::fmt;
use std::io;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use libp2p::websocket::tls;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

/// What a node shows to whoever dials its addresses with `/wss` or `/tls/ws`: a chain of certificates, the first of
/// which is for its host, and the private key of that one.
///
/// Who dials such an address by the name of a host wants a certificate for that name; who dials it by an IP address
/// wants one for the IP address. Nothing looks at when it expires but those who dial: a node is given a new one by
/// starting anew.
#[derive(Clone)]
pub struct WssCertificate {
    chain: Vec<tls::Certificate>,
    key: tls::PrivateKey,
}

/// Authorities whose certificates are believed when an address with `/wss` or `/tls/ws` is dialled, beside those that
/// browsers believe.
#[derive(Clone)]
pub struct WssAuthorities(Vec<tls::Certificate>);

/// What is wrong with certificates, or with a private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WssError {
    /// There is no certificate.
    #[error("there is no certificate in it; one begins with -----BEGIN CERTIFICATE-----")]
    NoCertificate,
    /// A certificate that cannot be read.
    #[error("it is damaged, or no X.509 certificate")]
    Certificate,
    /// There is no private key, or only an encrypted one.
    #[error(
        "there is no private key in it, or only one with a password, which has to go; one begins with \
         -----BEGIN PRIVATE KEY-----"
    )]
    NoKey,
    /// A private key that cannot be read.
    #[error(
        "it is damaged, or of an unknown kind; RSA, ECDSA (P-256, P-384) and Ed25519 are known"
    )]
    Key,
    /// The private key is not that of the first certificate.
    #[error("it is not the private key of the first certificate")]
    OtherKey,
}

impl WssError {
    /// Whether it is the private key that is wrong, and not the certificates.
    #[must_use]
    pub const fn is_of_key(self) -> bool {
        matches!(self, Self::NoKey | Self::Key | Self::OtherKey)
    }

    fn of_tls(error: &tls::Error) -> Self {
        let tls::Error::Tls(error) = error else { return Self::Certificate };
        match error.downcast_ref() {
            Some(rustls::Error::InconsistentKeys(_)) => Self::OtherKey,
            Some(rustls::Error::NoCertificatesPresented) => Self::NoCertificate,
            Some(rustls::Error::InvalidCertificate(_)) => Self::Certificate,
            _ => Self::Key,
        }
    }
}

impl WssCertificate {
    /// Reads PEM, as web servers have it: the certificate of the host, followed by those that lead from it to its
    /// authority, and the private key (PKCS #8, PKCS #1 or SEC 1). Other sections are passed over, so that both may be
    /// the same text.
    ///
    /// # Errors
    ///
    /// [`WssError`] says what is wrong with them.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, WssError> {
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            pem::Error::NoItemsFound => WssError::NoKey,
            _ => WssError::Key,
        })?;
        Self::from_der(certificates_of(certificates)?, key.secret_der().to_vec())
    }

    /// The same in DER: each certificate by itself, and the private key.
    ///
    /// # Errors
    ///
    /// [`WssError`] says what is wrong with them.
    pub fn from_der(
        certificates: impl IntoIterator<Item = Vec<u8>>,
        key: Vec<u8>,
    ) -> Result<Self, WssError> {
        // The library below panics at what is no key at all.
        PrivateKeyDer::try_from(&key[..]).map_err(|_| WssError::Key)?;
        let key = tls::PrivateKey::new(key);
        let chain: Vec<_> = certificates.into_iter().map(tls::Certificate::new).collect();
        let server = tls::Config::new(key.clone(), chain.iter().cloned());
        server.map_err(|error| WssError::of_tls(&error))?;
        Ok(Self { chain, key })
    }

    /// Whether a node needs a certificate to listen on an address.
    #[must_use]
    pub fn is_needed_for(address: &Multiaddr) -> bool {
        let mut address = address.clone();
        match address.pop() {
            Some(Protocol::Wss(_)) => true,
            Some(Protocol::Ws(_)) => address.pop() == Some(Protocol::Tls),
            _ => false,
        }
    }
}

impl fmt::Debug for WssCertificate {
    /// Nothing of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WssCertificate({} in its chain)", self.chain.len())
    }
}

impl WssAuthorities {
    /// Reads the authorities' own certificates, as PEM.
    ///
    /// # Errors
    ///
    /// [`WssError`] says what is wrong with them.
    pub fn from_pem(certificates: &[u8]) -> Result<Self, WssError> {
        Self::from_der(certificates_of(certificates)?)
    }

    /// The same in DER, each by itself.
    ///
    /// # Errors
    ///
    /// [`WssError`] says what is wrong with them.
    pub fn from_der(certificates: impl IntoIterator<Item = Vec<u8>>) -> Result<Self, WssError> {
        let certificates: Vec<_> = certificates.into_iter().map(tls::Certificate::new).collect();
        if certificates.is_empty() {
            return Err(WssError::NoCertificate);
        }
        let mut client = tls::Config::builder();
        for certificate in &certificates {
            client.add_trust(certificate).map_err(|_| WssError::Certificate)?;
        }
        Ok(Self(certificates))
    }
}

impl fmt::Debug for WssAuthorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WssAuthorities({})", self.0.len())
    }
}

/// The certificates in a text, in DER.
fn certificates_of(pem: &[u8]) -> Result<Vec<Vec<u8>>, WssError> {
    let certificates = CertificateDer::pem_slice_iter(pem);
    let certificates: Vec<_> = certificates
        .map(|read| Ok(read.map_err(|_| WssError::Certificate)?.to_vec()))
        .collect::<Result<_, _>>()?;
    if certificates.is_empty() { Err(WssError::NoCertificate) } else { Ok(certificates) }
}

/// What a node has for `/wss`.
#[derive(Debug, Default)]
pub(crate) struct Wss {
    pub(crate) certificate: Option<WssCertificate>,
    pub(crate) authorities: Vec<WssAuthorities>,
}

impl Wss {
    /// As the transport takes it.
    pub(crate) fn tls(&self) -> io::Result<tls::Config> {
        let mut config = tls::Config::builder();
        if let Some(WssCertificate { chain, key }) = &self.certificate {
            config.server(key.clone(), chain.iter().cloned()).map_err(io::Error::other)?;
        }
        for authority in self.authorities.iter().flat_map(|authorities| &authorities.0) {
            config.add_trust(authority).map_err(io::Error::other)?;
        }
        Ok(config.finish())
    }
}

#[cfg(test)]
mod tests;
