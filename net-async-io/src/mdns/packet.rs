//! Packets of libp2p's peer discovery: DNS-SD over multicast DNS.
//!
//! A query asks for pointers under `_p2p._udp.local`. An answer has one pointer, to a name of the
//! sender's choice, and beside it TXT records of that name, whose strings are
//! `dnsaddr=<multiaddress>/p2p/<peer>`.

use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::{PTR, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

/// The name under which peers are looked for.
const SERVICE: &str = "_p2p._udp.local.";

/// The name that lists services; what browses a network asks for it.
const SERVICES: &str = "_services._dns-sd._udp.local.";

/// What a string with an address starts with.
const DNSADDR: &str = "dnsaddr=";

/// The length of a string in a TXT record.
const STRING_MAX: usize = 255;

/// Addresses in one answer: within one Ethernet frame for IP addresses.
const ADDRESSES_MAX: usize = 8;

/// Addresses read of one answer. Others announce all their interfaces.
const ADDRESSES_READ_MAX: usize = 64;

/// What a packet of another machine says, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Packet {
    /// Somebody looks for peers. An answer repeats the number.
    Query(u16),
    /// Somebody looks for kinds of services.
    Browse(u16),
    /// Peers, their addresses, and how long these are good for.
    Answer(Vec<(PeerId, Multiaddr, Duration)>),
}

/// Reads a packet; `None` for what is neither for us nor about peers.
pub(super) fn parse(bytes: &[u8]) -> Option<Packet> {
    let message = Message::from_vec(bytes).ok()?;
    let id = message.metadata.id;
    if message.metadata.message_type == MessageType::Response {
        return Some(Packet::Answer(peers(&message)));
    }
    let asks = |name: &str| message.queries.iter().any(|query| is(query.name(), name));
    if asks(SERVICE) {
        Some(Packet::Query(id))
    } else if asks(SERVICES) {
        Some(Packet::Browse(id))
    } else {
        None
    }
}

fn is(name: &Name, text: &str) -> bool {
    name.to_ascii().eq_ignore_ascii_case(text)
}

fn peers(message: &Message) -> Vec<(PeerId, Multiaddr, Duration)> {
    let pointed = |record: &Record| match &record.data {
        RData::PTR(target) if is(&record.name, SERVICE) => Some(target.0.clone()),
        _ => None,
    };
    let names: Vec<Name> = message.answers.iter().filter_map(pointed).collect();
    let mut found = Vec::new();
    for record in message.answers.iter().chain(&message.additionals) {
        let RData::TXT(text) = &record.data else { continue };
        if !names.contains(&record.name) {
            continue;
        }
        let valid = Duration::from_secs(record.ttl.into());
        let addresses = text.txt_data.iter().filter_map(|string| address(string));
        found.extend(addresses.map(|(peer, address)| (peer, address, valid)));
    }
    found.truncate(ADDRESSES_READ_MAX);
    found
}

/// The peer and its whole address in one string.
fn address(string: &[u8]) -> Option<(PeerId, Multiaddr)> {
    let text = str::from_utf8(string).ok()?.strip_prefix(DNSADDR)?;
    let address: Multiaddr = text.parse().ok()?;
    match address.iter().last()? {
        Protocol::P2p(peer) => Some((peer, address)),
        _ => None,
    }
}

/// Asks for peers.
pub(super) fn query() -> Vec<u8> {
    let mut message = Message::new(0, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(name(SERVICE), RecordType::PTR));
    encode(&message)
}

/// Tells our addresses; `None` without any that can be told.
pub(super) fn answer<'a>(
    id: u16,
    label: &str,
    peer: PeerId,
    addresses: impl Iterator<Item = &'a Multiaddr>,
    valid: Duration,
) -> Option<Vec<u8>> {
    let text = |address: &Multiaddr| {
        let address = address.clone().with_p2p(peer).ok()?;
        Some(format!("{DNSADDR}{address}")).filter(|text| text.len() <= STRING_MAX)
    };
    let texts: Vec<String> = addresses.filter_map(text).take(ADDRESSES_MAX).collect();
    if texts.is_empty() {
        return None;
    }
    let ttl = u32::try_from(valid.as_secs()).unwrap_or(u32::MAX);
    let ours = name(&format!("{label}.{SERVICE}"));
    let pointer = RData::PTR(PTR(ours.clone()));
    let mut message = response(id);
    message.add_answer(Record::from_rdata(name(SERVICE), ttl, pointer));
    for text in texts {
        let text = RData::TXT(TXT::new(vec![text]));
        message.add_additional(Record::from_rdata(ours.clone(), ttl, text));
    }
    Some(encode(&message))
}

/// Tells that this kind of service exists here.
pub(super) fn browse_answer(id: u16, valid: Duration) -> Vec<u8> {
    let ttl = u32::try_from(valid.as_secs()).unwrap_or(u32::MAX);
    let mut message = response(id);
    let pointer = RData::PTR(PTR(name(SERVICE)));
    message.add_answer(Record::from_rdata(name(SERVICES), ttl, pointer));
    encode(&message)
}

fn response(id: u16) -> Message {
    let mut message = Message::new(id, MessageType::Response, OpCode::Query);
    message.metadata.authoritative = true;
    message
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).expect("our names are valid")
}

fn encode(message: &Message) -> Vec<u8> {
    message.to_vec().expect("our messages fit a packet")
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: Duration = Duration::from_secs(360);

    fn peer() -> PeerId {
        "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN".parse().unwrap()
    }

    fn addresses(texts: &[&str]) -> Vec<Multiaddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// The bytes of RFC 1035, written out: the same question as other implementations ask.
    #[test]
    fn a_query_has_one_question_for_pointers() {
        let expected = [
            &[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0][..],
            b"\x04_p2p\x04_udp\x05local\0",
            &[0, 12, 0, 1],
        ]
        .concat();
        assert_eq!(query(), expected);
        assert_eq!(parse(&expected), Some(Packet::Query(0)));
    }

    #[test]
    fn an_answer_says_what_it_was_made_of() {
        let ours = addresses(&["/ip4/192.0.2.1/tcp/4001", "/ip4/192.0.2.1/udp/4001/quic-v1"]);
        let packet = answer(7, "name", peer(), ours.iter(), VALID).unwrap();
        let told =
            ours.into_iter().map(|address| (peer(), address.with_p2p(peer()).unwrap(), VALID));
        assert_eq!(parse(&packet), Some(Packet::Answer(told.collect())));
    }

    #[test]
    fn an_answer_fits_an_ethernet_frame_whatever_is_listened_on() {
        let many: Vec<Multiaddr> =
            (0..100).map(|port| format!("/ip4/192.0.2.1/tcp/{port}").parse().unwrap()).collect();
        let label = "x".repeat(63);
        let packet = answer(7, &label, peer(), many.iter(), VALID).unwrap();
        assert!(packet.len() <= 1472, "{} bytes", packet.len());
        assert_eq!(answer(7, "name", peer(), [].iter(), VALID), None);
    }

    /// All strings in one TXT record, names in other case, class with the cache-flush bit.
    #[test]
    fn answers_of_other_implementations_are_read() {
        let first = format!("dnsaddr=/ip4/192.0.2.1/tcp/1/p2p/{}", peer());
        let second = format!("dnsaddr=/ip4/192.0.2.1/tcp/2/p2p/{}", peer());
        let text =
            [&[first.len() as u8][..], first.as_bytes(), &[second.len() as u8], second.as_bytes()]
                .concat();
        let packet = [
            &[0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 1][..],
            b"\x04_P2P\x04_udp\x05local\0",
            &[0, 12, 0, 1, 0, 0, 0, 120, 0, 4],
            b"\x01a\xc0\x0c",
            b"\x01a\xc0\x0c",
            &[0, 16, 0x80, 1, 0, 0, 0, 120, 0, text.len() as u8],
            &text,
        ]
        .concat();
        let Some(Packet::Answer(found)) = parse(&packet) else { panic!("not read") };
        let ports: Vec<String> = found.iter().map(|(_, address, _)| address.to_string()).collect();
        let expected = [1, 2].map(|port| format!("/ip4/192.0.2.1/tcp/{port}/p2p/{}", peer()));
        assert_eq!(ports, expected);
        assert!(found.iter().all(|(_, _, valid)| *valid == Duration::from_secs(120)));
    }

    #[test]
    fn strings_that_are_not_addresses_of_peers_are_skipped() {
        for text in [
            "dnsaddr=/ip4/192.0.2.1/tcp/1",
            "dnsaddr=nonsense",
            "/ip4/192.0.2.1/tcp/1/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN",
            "",
        ] {
            assert_eq!(address(text.as_bytes()), None, "{text}");
        }
        assert_eq!(address(b"dnsaddr=\xff"), None);
    }

    #[test]
    fn browsers_are_told_of_the_service() {
        let mut browse = Message::new(9, MessageType::Query, OpCode::Query);
        browse.add_query(Query::query(name(SERVICES), RecordType::PTR));
        assert_eq!(parse(&encode(&browse)), Some(Packet::Browse(9)));
        let answer = Message::from_vec(&browse_answer(9, VALID)).unwrap();
        assert_eq!(answer.answers[0].data, RData::PTR(PTR(name(SERVICE))));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic() {
        let packet = answer(7, "name", peer(), addresses(&["/ip4/192.0.2.1/tcp/1"]).iter(), VALID);
        let packet = packet.unwrap();
        for end in 0..packet.len() {
            let _ = parse(&packet[..end]);
            let mut changed = packet.clone();
            changed[end] ^= 0xff;
            let _ = parse(&changed);
        }
        assert_eq!(parse(b"nonsense"), None);
    }
}
