//! What IPNS names are: the hash of a public key, or the key itself when it is short.

use std::fmt;
use std::str::FromStr;

use cid::Cid;
use cid::multibase::Base;
use libp2p::PeerId;
use libp2p::identity::PublicKey;
use thiserror::Error;

/// The codec of the CIDs of keys.
const LIBP2P_KEY: u64 = 0x72;

const IDENTITY: u64 = 0x00;

/// What a key in the DHT begins with.
const NAMESPACE: &[u8] = b"/ipns/";

/// A name of IPNS: it belongs to whoever has the private key.
///
/// It is written as a CID in base 36, `k51…`, and read in every base, and also as the identity of a peer,
/// `12D3KooW…` or `Qm…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpnsName(PeerId);

/// The error of a text that is no name of IPNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it is no name of IPNS, which looks like k51… or 12D3KooW…")]
pub struct NoIpnsName;

impl IpnsName {
    /// The public key, if the name has it in it: those of RSA have not.
    #[must_use]
    pub fn public_key(&self) -> Option<PublicKey> {
        let hash = self.0.as_ref();
        let is_inline = hash.code() == IDENTITY;
        is_inline.then(|| PublicKey::try_decode_protobuf(hash.digest()).ok()).flatten()
    }

    /// Whether it is the name of this key.
    #[must_use]
    pub fn is_of(&self, key: &PublicKey) -> bool {
        key.to_peer_id() == self.0
    }

    /// Under which key the DHT has its record.
    pub(crate) fn routing_key(&self) -> Vec<u8> {
        [NAMESPACE, &self.0.to_bytes()].concat()
    }

    /// The name whose record a key of the DHT is of.
    pub(crate) fn of_routing_key(key: &[u8]) -> Option<Self> {
        PeerId::from_bytes(key.strip_prefix(NAMESPACE)?).ok().map(Self)
    }
}

impl From<PeerId> for IpnsName {
    fn from(peer: PeerId) -> Self {
        Self(peer)
    }
}

impl From<&PublicKey> for IpnsName {
    fn from(key: &PublicKey) -> Self {
        Self(key.to_peer_id())
    }
}

impl FromStr for IpnsName {
    type Err = NoIpnsName;

    fn from_str(text: &str) -> Result<Self, NoIpnsName> {
        if let Ok(peer) = text.parse::<PeerId>() {
            return Ok(Self(peer));
        }
        let cid: Cid = text.parse().map_err(|_| NoIpnsName)?;
        if cid.codec() != LIBP2P_KEY {
            return Err(NoIpnsName);
        }
        PeerId::from_bytes(&cid.hash().to_bytes()).map(Self).map_err(|_| NoIpnsName)
    }
}

impl fmt::Display for IpnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cid = Cid::new_v1(LIBP2P_KEY, *self.0.as_ref());
        f.write_str(&cid::multibase::encode(Base::Base36Lower, cid.to_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;

    use super::*;

    #[test]
    fn a_name_is_read_in_every_form_and_written_in_one() {
        let name = "k51qzi5uqu5dm4tm0wt8srkg9h9suud4wuiwjimndrkydqm81cqtlb5ak6p7ku";
        let read: IpnsName = name.parse().unwrap();
        assert_eq!(read.to_string(), name);
        let base32 = Cid::new_v1(LIBP2P_KEY, *read.0.as_ref()).to_string();
        assert!(base32.starts_with("bafz"), "{base32}");
        for form in [base32, read.0.to_string()] {
            assert_eq!(form.parse(), Ok(read), "{form}");
        }
        let rsa = "QmNnooDu7bfjPFoTZYxMNLWUQJyrVwtbZg5gBMjTezGAJN".parse::<IpnsName>().unwrap();
        assert!(rsa.to_string().starts_with("k2k4"), "{rsa}");
        assert_eq!(rsa.public_key(), None);
        assert_eq!(IpnsName::of_routing_key(&rsa.routing_key()), Some(rsa));
        let raw = "bafkreiffsgtnic7uebaeuaixgph3pmmq2ywglpylzwrswv5so7m23hyuny";
        for wrong in ["", "example.org", raw, "k51qzi5"] {
            assert_eq!(wrong.parse::<IpnsName>(), Err(NoIpnsName), "{wrong}");
        }
    }

    #[test]
    fn a_short_key_is_in_its_name() {
        let key = Keypair::generate_ed25519().public();
        let name = IpnsName::from(&key);
        assert_eq!(name.public_key(), Some(key.clone()));
        assert!(name.is_of(&key) && !name.is_of(&Keypair::generate_ed25519().public()));
    }
}
