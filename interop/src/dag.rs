//! DAGs as plain blocks: for peers that cannot import what a test needs, and for tests that walk one
//! block by block.

use std::io::{self, Read};

use cid::Cid;

/// The codec of nodes with links.
const DAG_PB: u64 = 0x70;

/// A root and all blocks below it, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dag {
    /// The root.
    pub root: Cid,
    /// The blocks, the root's included.
    pub blocks: Vec<(Cid, Vec<u8>)>,
}

impl Dag {
    /// Reads a CAR file of version 1, as `ipfs dag export` writes it.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_car(root: Cid, car: &[u8]) -> io::Result<Self> {
        let mut rest = car;
        // The header repeats the root.
        section(&mut rest)?;
        let mut blocks = Vec::new();
        while !rest.is_empty() {
            let mut data = section(&mut rest)?;
            let cid = Cid::read_bytes(&mut data).map_err(io::Error::other)?;
            blocks.push((cid, data.to_vec()));
        }
        Ok(Self { root, blocks })
    }

    /// Bytes of all blocks.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.blocks.iter().map(|(_, data)| data.len() as u64).sum()
    }
}

/// The links of a block, in order; none unless it is dag-pb.
///
/// # Errors
/// When it claims to be dag-pb and is not.
pub fn links(cid: &Cid, data: &[u8]) -> io::Result<Vec<Cid>> {
    let mut links = Vec::new();
    if cid.codec() == DAG_PB {
        for (number, link) in fields(data)? {
            if number != 2 {
                continue;
            }
            for (number, hash) in fields(link)? {
                if number == 1 {
                    links.push(Cid::try_from(hash).map_err(io::Error::other)?);
                }
            }
        }
    }
    Ok(links)
}

/// The fields of a protobuf message that have a length, with their numbers.
fn fields(mut message: &[u8]) -> io::Result<Vec<(u64, &[u8])>> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        match tag & 7 {
            0 => drop(varint(&mut message)?),
            2 => fields.push((tag >> 3, section(&mut message)?)),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
    Ok(fields)
}

/// Bytes after their length.
fn section<'a>(rest: &mut &'a [u8]) -> io::Result<&'a [u8]> {
    let len = usize::try_from(varint(rest)?).map_err(io::Error::other)?;
    let (section, after) = rest.split_at_checked(len).ok_or(io::ErrorKind::UnexpectedEof)?;
    *rest = after;
    Ok(section)
}

fn varint(rest: &mut &[u8]) -> io::Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        rest.read_exact(&mut byte)?;
        value |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] < 0x80 {
            return Ok(value);
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use multihash_codetable::{Code, MultihashDigest};

    use super::*;

    fn raw(data: &[u8]) -> Cid {
        Cid::new_v1(0x55, Code::Sha2_256.digest(data))
    }

    #[test]
    fn a_car_is_cut_into_its_blocks() {
        let mut car = vec![2, 0xff, 0xff];
        for data in [&b"one"[..], b""] {
            let cid = raw(data).to_bytes();
            car.push((cid.len() + data.len()) as u8);
            car.extend(cid.iter().chain(data));
        }
        let dag = Dag::from_car(raw(b"one"), &car).unwrap();
        assert_eq!(dag.blocks, [(raw(b"one"), b"one".to_vec()), (raw(b""), Vec::new())]);
        assert!(Dag::from_car(raw(b"one"), &car[..20]).is_err());
    }

    #[test]
    fn links_are_those_of_the_node_in_order() {
        let link = |cid: Cid| {
            let hash = cid.to_bytes();
            // Hash, a name, a size.
            let mut link = vec![0x0a, hash.len() as u8];
            link.extend(&hash);
            link.extend([0x12, 1, b'n', 0x18, 0x85, 0x01]);
            [vec![0x12, link.len() as u8], link].concat()
        };
        let mut node = link(raw(b"b"));
        node.extend(link(raw(b"a")));
        node.extend([0x0a, 2, 8, 1]);
        let cid = Cid::new_v1(DAG_PB, Code::Sha2_256.digest(&node));
        assert_eq!(links(&cid, &node).unwrap(), [raw(b"b"), raw(b"a")]);
        assert_eq!(links(&raw(&node), &node).unwrap(), []);
        assert!(links(&cid, &node[..20]).is_err());
    }
}
