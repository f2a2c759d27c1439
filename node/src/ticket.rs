//! A ticket: one line of text with all that another machine needs to get something.

use std::fmt;
use std::str::FromStr;

use cid::Cid;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use thiserror::Error;

use crate::percent::{self, PercentError};

/// The addresses that one may have.
const ADDRESSES_MAX: usize = 32;
/// The longest text of one, in bytes.
const LEN_MAX: usize = 8 << 10;
/// The longest name, in bytes: file systems have no longer ones.
const NAME_MAX: usize = 255;

const SCHEME: &str = "bitswap:";
const VERSION: &str = "v1";

/// What to get, what it is called, and from whom, in one line of text:
///
/// ```text
/// bitswap:v1/CID+name=movie.mp4+peer=12D3KooW…+addr=/ip4/192.0.2.1/tcp/4001+addr=/ip6/2001:db8::1/tcp/4001
/// ```
///
/// That is a URI. After the version and the CID follow fields, in this order: `name` (may be missing), `peer`, and
/// any number of `addr`, each the address of that peer without its `/p2p/`. Values are percent-encoded, all
/// but letters and digits, `-`, `.`, `_`, and in addresses `/` and `:`; so no shell takes it apart, and it needs no
/// quotes. A version has these fields and no others: whoever reads it understands all of it or refuses it.
///
/// It tells who has it and where. What it leads to is proved by the CID, and to whom by the peer's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    cid: Cid,
    name: Option<String>,
    peer: PeerId,
    /// Without the peer.
    addresses: Vec<Multiaddr>,
}

/// What is wrong with a ticket, by its part.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TicketError {
    /// Something else.
    #[error("a ticket begins with bitswap:")]
    Scheme,
    /// Longer than a ticket may be.
    #[error("it is longer than 8 KiB")]
    TooLong,
    /// A ticket of another version.
    #[error(
        "it is a ticket of version {0:?}, and only v1 is known; a newer version of this program may read it"
    )]
    Version(String),
    /// The CID.
    #[error("its CID {0:?} is none; it may have been cut when it was copied")]
    Cid(String),
    /// A part that is none of the known ones, or not in its place.
    #[error(
        "{0:?} is no part of a ticket, or not in its place; it may have been cut when it was copied"
    )]
    Part(String),
    /// The name is not encoded as in a URL.
    #[error("its name cannot be decoded: {0}")]
    NameEncoding(PercentError),
    /// The name is no name of a file.
    #[error("its name is no name of a file")]
    Name,
    /// It names no peer.
    #[error("it names no peer; it may have been cut when it was copied")]
    NoPeer,
    /// The peer.
    #[error("its peer {0:?} is no identity of a peer; it may have been cut when it was copied")]
    Peer(String),
    /// An address.
    #[error("its address {0:?} is none of a peer's; it may have been cut when it was copied")]
    Address(String),
    /// More addresses than a ticket may have.
    #[error("it has more than 32 addresses")]
    TooManyAddresses,
}

impl Ticket {
    /// A ticket for what a peer has.
    #[must_use]
    pub const fn new(cid: Cid, peer: PeerId) -> Self {
        Self { cid, name: None, peer, addresses: Vec::new() }
    }

    /// What it is called.
    ///
    /// # Errors
    ///
    /// [`TicketError::Name`] when it could be no name of a file: it is empty, longer than 255 bytes, leads elsewhere,
    /// or has control characters in it.
    pub fn with_name(mut self, name: &str) -> Result<Self, TicketError> {
        let is_elsewhere = matches!(name, "" | "." | "..") || name.contains(['/', '\\']);
        if is_elsewhere || name.len() > NAME_MAX || name.chars().any(char::is_control) {
            return Err(TicketError::Name);
        }
        self.name = Some(name.to_owned());
        Ok(self)
    }

    /// One more address of the peer; its `/p2p/` may be there or not.
    ///
    /// # Errors
    ///
    /// [`TicketError::Address`] when it is empty or of another peer, [`TicketError::TooManyAddresses`] above 32.
    pub fn with_address(mut self, address: &Multiaddr) -> Result<Self, TicketError> {
        let mut alone = address.clone();
        if let Some(Protocol::P2p(peer)) = address.iter().last()
            && peer == self.peer
        {
            alone.pop();
        }
        let names_a_peer = alone.iter().any(|part| matches!(part, Protocol::P2p(_)));
        if alone.is_empty() || names_a_peer {
            return Err(TicketError::Address(address.to_string()));
        }
        if self.addresses.len() == ADDRESSES_MAX {
            return Err(TicketError::TooManyAddresses);
        }
        self.addresses.push(alone);
        Ok(self)
    }

    /// What to get.
    #[must_use]
    pub const fn cid(&self) -> &Cid {
        &self.cid
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Who has it.
    #[must_use]
    pub const fn peer(&self) -> PeerId {
        self.peer
    }

    /// Where that peer may be reached, each with its identity.
    pub fn addresses(&self) -> impl Iterator<Item = Multiaddr> + '_ {
        self.addresses.iter().map(|address| address.clone().with(Protocol::P2p(self.peer)))
    }

    /// Whether a text is meant to be a ticket.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.get(..SCHEME.len()).is_some_and(|start| start.eq_ignore_ascii_case(SCHEME))
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{VERSION}/{}", self.cid)?;
        if let Some(name) = &self.name {
            write!(f, "+name={}", percent::encode(name, ""))?;
        }
        write!(f, "+peer={}", self.peer)?;
        self.addresses.iter().try_for_each(|address| {
            write!(f, "+addr={}", percent::encode(&address.to_string(), "/:"))
        })
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    fn from_str(text: &str) -> Result<Self, TicketError> {
        if !Self::is_meant(text) {
            return Err(TicketError::Scheme);
        }
        if text.len() > LEN_MAX {
            return Err(TicketError::TooLong);
        }
        let rest = &text[SCHEME.len()..];
        let (version, rest) = rest.split_once('/').unwrap_or((rest, ""));
        if version != VERSION {
            return Err(TicketError::Version(version.to_owned()));
        }
        let mut parts = rest.split('+').peekable();
        let cid = parts.next().unwrap_or_default();
        let cid: Cid = cid.parse().map_err(|_| TicketError::Cid(cid.to_owned()))?;
        let name = parts.next_if(|part| part.starts_with("name="));
        let peer = parts.next().ok_or(TicketError::NoPeer)?;
        let peer = peer.strip_prefix("peer=").ok_or_else(|| TicketError::Part(peer.to_owned()))?;
        let peer = peer.parse().map_err(|_| TicketError::Peer(peer.to_owned()))?;
        let mut ticket = Self::new(cid, peer);
        if let Some((_, name)) = name.and_then(|name| name.split_once('=')) {
            let name = percent::decode(name).map_err(TicketError::NameEncoding)?;
            ticket = ticket.with_name(&name)?;
        }
        for part in parts {
            let text =
                part.strip_prefix("addr=").ok_or_else(|| TicketError::Part(part.to_owned()))?;
            let wrong = || TicketError::Address(text.to_owned());
            let address: Multiaddr =
                percent::decode(text).map_err(|_| wrong())?.parse().map_err(|_| wrong())?;
            if address.iter().any(|part| matches!(part, Protocol::P2p(_))) {
                return Err(wrong());
            }
            ticket = ticket.with_address(&address)?;
        }
        Ok(ticket)
    }
}

#[cfg(test)]
mod tests {
    use bitswap_core::Block;
    use proptest::prelude::*;

    use super::*;

    const CID: &str = "bafkreiffsgtnic7uebaeuaixgph3pmmq2ywglpylzwrswv5so7m23hyuny";
    const PEER: &str = "12D3KooWDkNqEJNmreF3NYYFK1ws7Ra2fuW6cHBTu567SPV3LdYA";

    fn addresses() -> impl Strategy<Value = Vec<Multiaddr>> {
        let v4 = any::<([u8; 4], u16)>().prop_map(|(ip, port)| {
            Multiaddr::from(std::net::Ipv4Addr::from(ip)).with(Protocol::Tcp(port))
        });
        let v6 = any::<([u16; 8], u16)>().prop_map(|(ip, port)| {
            Multiaddr::from(std::net::Ipv6Addr::from(ip))
                .with(Protocol::Udp(port))
                .with(Protocol::QuicV1)
        });
        let zone = "[a-z0-9+%= ]{1,9}".prop_map(|zone| {
            Multiaddr::empty()
                .with(Protocol::Ip6zone(zone.into()))
                .with(std::net::Ipv6Addr::LOCALHOST.into())
        });
        let name = "[a-z0-9.+-]{1,30}".prop_map(|name| {
            Multiaddr::empty().with(Protocol::Dns(name.into())).with(Protocol::Tcp(1))
        });
        proptest::collection::vec(prop_oneof![v4, v6, zone, name], 0..=ADDRESSES_MAX)
    }

    fn names() -> impl Strategy<Value = Option<String>> {
        let is_name = |name: &String| Ticket::new(cid(), peer()).with_name(name).is_ok();
        proptest::option::of(".{1,60}".prop_filter("a name", is_name))
    }

    fn cid() -> Cid {
        CID.parse().unwrap()
    }

    fn peer() -> PeerId {
        PEER.parse().unwrap()
    }

    proptest! {
        #[test]
        fn every_ticket_is_read_as_it_was_written(
            content in any::<[u8; 8]>(),
            key in any::<[u8; 32]>(),
            name in names(),
            addresses in addresses(),
        ) {
            let key = libp2p::identity::Keypair::ed25519_from_bytes(key).unwrap();
            let mut ticket = Ticket::new(*Block::raw(content.to_vec()).cid(), key.public().to_peer_id());
            if let Some(name) = name {
                ticket = ticket.with_name(&name).unwrap();
            }
            for address in &addresses {
                ticket = ticket.with_address(address).unwrap();
            }
            let text = ticket.to_string();
            prop_assert_eq!(text.parse(), Ok(ticket));
            // No shell takes it apart: these mean nothing to any inside of a word.
            let plain = |c: char| c.is_ascii_alphanumeric() || "-._/:+=%".contains(c);
            prop_assert!(text.chars().all(plain), "{}", text);
        }

        #[test]
        fn whatever_is_read_is_written_so_that_it_is_read_again(
            name in "([a-z0-9.~ü=:-]|%[0-9a-fA-F]{2}|%2[bB5fF]){0,6}",
            address in "/(ip4|dns)/[0-9]{1,2}(%2[eE]|[.])1.1.1(%2[fF]|/)tcp/[0-9]{1,5}",
        ) {
            let text = format!("bitswap:v1/{CID}+name={name}+peer={PEER}+addr={address}");
            if let Ok(ticket) = text.parse::<Ticket>() {
                prop_assert_eq!(ticket.to_string().parse(), Ok(ticket));
            }
        }
    }

    #[test]
    fn a_ticket_has_its_parts_in_plain_sight() {
        let [v4, v6] = ["/ip4/192.0.2.1/tcp/4001", "/ip6/2001:db8::1/tcp/4001"];
        let ticket = Ticket::new(cid(), peer()).with_name("a movie.mp4").unwrap();
        let ticket = ticket.with_address(&v4.parse().unwrap()).unwrap();
        let ticket = ticket.with_address(&format!("{v6}/p2p/{PEER}").parse().unwrap()).unwrap();
        let text = format!("bitswap:v1/{CID}+name=a%20movie.mp4+peer={PEER}+addr={v4}+addr={v6}");
        assert_eq!(ticket.to_string(), text);
        assert_eq!(
            (ticket.name(), ticket.peer(), *ticket.cid()),
            (Some("a movie.mp4"), peer(), cid())
        );
        let addresses: Vec<String> =
            ticket.addresses().map(|address| address.to_string()).collect();
        assert_eq!(addresses, [format!("{v4}/p2p/{PEER}"), format!("{v6}/p2p/{PEER}")]);
    }

    #[test]
    fn what_is_wrong_with_a_ticket_is_said_by_its_part() {
        let parse = |text: &str| text.parse::<Ticket>().unwrap_err();
        let (cid, peer) = (format!("bitswap:v1/{CID}"), format!("+peer={PEER}"));
        for (text, error) in [
            (CID.to_owned(), TicketError::Scheme),
            ("bitswap:".to_owned(), TicketError::Version(String::new())),
            (format!("bitswap:{CID}"), TicketError::Version(CID.to_owned())),
            (format!("bitswap:v2/{CID}{peer}"), TicketError::Version("v2".to_owned())),
            (format!("bitswap:v1/{}", &CID[..20]), TicketError::Cid(CID[..20].to_owned())),
            (cid.clone(), TicketError::NoPeer),
            (format!("{cid}+peer={}", &PEER[..20]), TicketError::Peer(PEER[..20].to_owned())),
            (format!("{cid}{peer}+name=x"), TicketError::Part("name=x".to_owned())),
            (format!("{cid}+name=x+name=x{peer}"), TicketError::Part("name=x".to_owned())),
            (format!("{cid}{peer}+new=1"), TicketError::Part("new=1".to_owned())),
            (format!("{cid}{peer}+"), TicketError::Part(String::new())),
            (format!("{cid}+name=%2"), TicketError::NoPeer),
            (format!("{cid}+name=%2{peer}"), TicketError::NameEncoding(PercentError::Digits)),
            (format!("{cid}+name=..{peer}"), TicketError::Name),
            (format!("{cid}+name=a%2Fb{peer}"), TicketError::Name),
            (format!("{cid}+name=%1B{peer}"), TicketError::Name),
            (format!("{cid}{peer}+addr="), TicketError::Address(String::new())),
            (
                format!("{cid}{peer}+addr=/ip4/192.0.2"),
                TicketError::Address("/ip4/192.0.2".to_owned()),
            ),
            (format!("{cid}{peer}+addr=/p2p/{PEER}"), TicketError::Address(format!("/p2p/{PEER}"))),
            (
                format!("{cid}{peer}{}", "+addr=/ip4/1.1.1.1".repeat(33)),
                TicketError::TooManyAddresses,
            ),
            (format!("{cid}{peer}{}", "+addr=/ip4/1.1.1.1".repeat(999)), TicketError::TooLong),
        ] {
            assert_eq!(parse(&text), error, "{}", &text[..text.len().min(200)]);
        }
    }
}
