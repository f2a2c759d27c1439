//! dag-pb, the node format of files: links and opaque data.
//!
//! A node has one encoding: links before data, every link with its `Name` even when that is empty
//! (so it is what other implementations write, byte for byte). Reading is strict: unknown and
//! repeated fields, fields out of order and padded varints are refused. Data before links is read,
//! because the format allows both orders on input.
//!
//! Source: the IPLD specification of dag-pb.

use alloc::vec::Vec;

use super::error::DagFault;
use super::link::Link;
use crate::protobuf::{CanonicalFields, Value, field_len, number_len, put_len, put_number};

/// A link as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PbLink<'a> {
    /// What is linked to.
    pub(super) target: Link,
    /// The entry's name in a directory; empty in a file.
    pub(super) name: &'a [u8],
    /// The size that the author claims for the block and all below it. A hint.
    pub(super) tsize: u64,
}

/// A node as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PbNode<'a> {
    /// Links in their order.
    pub(super) links: Vec<PbLink<'a>>,
    /// The data, if there is any.
    pub(super) data: Option<&'a [u8]>,
}

/// Reads a node of at most `links_max` links.
pub(super) fn decode(bytes: &[u8], links_max: usize) -> Result<PbNode<'_>, DagFault> {
    let mut node = PbNode { links: Vec::new(), data: None };
    let mut fields = CanonicalFields::new(bytes);
    let mut data_after_links = false;
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(data)) if node.data.is_none() => {
                node.data = Some(data);
                data_after_links = !node.links.is_empty();
            }
            // Links may come before or after the data, not on both sides of it.
            (2, Value::Bytes(link)) if !data_after_links => {
                if node.links.len() == links_max {
                    return Err(DagFault::TooManyLinks);
                }
                node.links.push(decode_link(link)?);
            }
            _ => return Err(DagFault::Malformed),
        }
    }
    Ok(node)
}

fn decode_link(bytes: &[u8]) -> Result<PbLink<'_>, DagFault> {
    let (mut target, mut name, mut tsize) = (None, None, None);
    let mut fields = CanonicalFields::new(bytes);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(cid)) if target.is_none() && name.is_none() && tsize.is_none() => {
                target = Some(Link::parse(cid)?);
            }
            (2, Value::Bytes(text)) if name.is_none() && tsize.is_none() => name = Some(text),
            (3, Value::Varint(size)) if tsize.is_none() => tsize = Some(size),
            _ => return Err(DagFault::Malformed),
        }
    }
    Ok(PbLink {
        target: target.ok_or(DagFault::BadLink)?,
        name: name.unwrap_or_default(),
        // A negative size of a signed writer, or one that no file can have: no hint at all.
        tsize: tsize.filter(|size| i64::try_from(*size).is_ok()).unwrap_or(0),
    })
}

/// The length of a link in its node: of its CID, its name and its tsize.
fn link_len(cid: usize, name: usize, tsize: u64) -> usize {
    field_len(cid) + field_len(name) + number_len(tsize)
}

/// How many bytes a link adds to a node.
pub(in crate::chunk) fn link_field_len(cid: usize, name: usize, tsize: u64) -> usize {
    field_len(link_len(cid, name, tsize))
}

/// Writes a node: its links as (CID bytes, name, tsize).
pub(in crate::chunk) fn encode<'a>(
    links: impl Iterator<Item = (&'a [u8], &'a [u8], u64)> + Clone,
    data: &[u8],
) -> Vec<u8> {
    let lens = links.clone().map(|(cid, name, tsize)| link_field_len(cid.len(), name.len(), tsize));
    let mut out = Vec::with_capacity(lens.sum::<usize>() + field_len(data.len()));
    for (cid, name, tsize) in links {
        put_len(&mut out, 2, link_len(cid.len(), name.len(), tsize));
        put_len(&mut out, 1, cid.len());
        out.extend_from_slice(cid);
        put_len(&mut out, 2, name.len());
        out.extend_from_slice(name);
        put_number(&mut out, 3, tsize);
    }
    put_len(&mut out, 1, data.len());
    out.extend_from_slice(data);
    out
}

#[cfg(test)]
mod tests {
    use cid::Cid;
    use multihash_codetable::{Code, MultihashDigest};

    use super::*;
    use crate::chunk::RAW;

    fn cid() -> Cid {
        Cid::new_v1(RAW, Code::Sha2_256.digest(b"x"))
    }

    fn link(fields: &[&[u8]]) -> Vec<u8> {
        let body = fields.concat();
        [&[0x12, body.len() as u8][..], &body].concat()
    }

    #[test]
    fn writes_links_before_data_and_the_empty_name() {
        let cid = cid().to_bytes();
        let bytes = encode([(&cid[..], &b""[..], 300)].into_iter(), &[8, 2]);
        let hash = [&[0x0a, 36][..], &cid].concat();
        let expected =
            [&link(&[&hash, &[0x12, 0], &[0x18, 0xac, 0x02]])[..], &[0x0a, 2, 8, 2]].concat();
        assert_eq!(bytes, expected);
        let node = decode(&bytes, 1).unwrap();
        assert_eq!(node.data, Some(&[8, 2][..]));
        assert_eq!(
            node.links,
            [PbLink { target: Link::Block(self::cid()), name: b"", tsize: 300 }]
        );
        assert_eq!(decode(&bytes, 0), Err(DagFault::TooManyLinks));
    }

    #[test]
    fn reads_either_order_of_links_and_data_but_not_a_mix() {
        let hash = [&[0x0a, 36][..], &cid().to_bytes()].concat();
        let (link, data) = (link(&[&hash]), &[0x0a, 1, 9][..]);
        for order in [[&link, data].concat(), [data, &link].concat()] {
            let node = decode(&order, 9).unwrap();
            assert_eq!((node.links.len(), node.data), (1, Some(&[9][..])));
        }
        assert_eq!(decode(&[&link, data, &link].concat(), 9), Err(DagFault::Malformed));
    }

    #[test]
    fn refuses_what_is_not_a_node() {
        let hash = [&[0x0a, 36][..], &cid().to_bytes()].concat();
        let cases: [(&str, Vec<u8>, DagFault); 9] = [
            ("two datas", alloc::vec![0x0a, 0, 0x0a, 0], DagFault::Malformed),
            ("unknown field", alloc::vec![0x1a, 0], DagFault::Malformed),
            ("data as varint", alloc::vec![0x08, 0], DagFault::Malformed),
            ("truncated", alloc::vec![0x0a, 5, 1], DagFault::Malformed),
            ("no hash", link(&[&[0x12, 0]]), DagFault::BadLink),
            ("name before hash", link(&[&[0x12, 0], &hash]), DagFault::Malformed),
            ("two sizes", link(&[&hash, &[0x18, 1, 0x18, 1]]), DagFault::Malformed),
            ("unknown link field", link(&[&hash, &[0x20, 1]]), DagFault::Malformed),
            ("cid with a tail", link(&[&[0x0a, 37], &cid().to_bytes(), &[0]]), DagFault::BadLink),
        ];
        for (name, bytes, fault) in cases {
            assert_eq!(decode(&bytes, 9), Err(fault), "{name}");
        }
    }

    #[test]
    fn a_negative_size_is_no_hint() {
        let hash = [&[0x0a, 36][..], &cid().to_bytes()].concat();
        let minus_one = [&[0x18][..], &[0xff; 9], &[1]].concat();
        assert_eq!(decode(&link(&[&hash, &minus_one]), 9).unwrap().links[0].tsize, 0);
    }

    #[test]
    fn the_fields_of_a_link_come_in_their_order_and_each_once() {
        let hash = [&[0x0a, 36][..], &cid().to_bytes()].concat();
        let fields: [&[u8]; 3] = [&hash, &[0x12, 1, b'n'], &[0x18, 5]];
        let orders = (0..3).flat_map(|a| (0..3).map(move |b| alloc::vec![a, b]));
        let longer = (0..3)
            .flat_map(|a| (0..3).flat_map(move |b| (0..3).map(move |c| alloc::vec![a, b, c])));
        for order in orders.chain(longer).chain((0..3).map(|a| alloc::vec![a])) {
            let bytes: Vec<&[u8]> = order.iter().map(|field| fields[*field]).collect();
            let expected = match () {
                () if !order.is_sorted_by(|a, b| a < b) => Err(DagFault::Malformed),
                () if order[0] != 0 => Err(DagFault::BadLink),
                () => {
                    Ok((&b"n"[..order.contains(&1).into()], if order.contains(&2) { 5 } else { 0 }))
                }
            };
            let bytes = link(&bytes);
            let node = decode(&bytes, 9);
            assert_eq!(
                node.map(|node| (node.links[0].name, node.links[0].tsize)),
                expected,
                "{order:?}"
            );
        }
    }
}
