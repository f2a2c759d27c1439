//! From a CID to byte ranges: which blocks hold a part of a file, and what is in them.
//!
//! Only the blocks that overlap the wanted range are asked for. Every node is checked against what its
//! parent claims; a lie is an error of the DAG and names the block.
//!
//! Run it: `cargo run -p bitswap-core --example manifest`.

use std::collections::BTreeMap;
use std::error::Error;

use bitswap_core::chunk::{Bounds, Contents, Importer, Manifest, Profile};
use bytes::Bytes;
use cid::Cid;

fn main() -> Result<(), Box<dyn Error>> {
    // Somebody has a file of 10 MB.
    let file: Vec<u8> = (0..10_000_000_u32).map(|n| (n / 1000) as u8).collect();
    let mut importer = Importer::new(Profile::UnixfsV1_2025);
    importer.write(file.clone());
    let root = importer.finish();
    let mut blocks: BTreeMap<Cid, Bytes> = BTreeMap::new();
    while let Some(imported) = importer.poll_block() {
        let (cid, data) = imported.block.into_parts();
        blocks.insert(cid, data);
    }

    // These bytes of it are wanted.
    let range = 4_000_000..6_500_000;
    let mut manifest = Manifest::new(range.clone(), Bounds::default());
    let mut part = vec![0; (range.end - range.start) as usize];
    let mut asked = 1;
    let node = manifest.read(&root.cid, &blocks[&root.cid])?;
    let mut open = vec![manifest.open(&root.cid, &node)?];
    while let Some(Contents { extents, segments }) = open.pop() {
        for extent in extents {
            let at = (extent.offset - range.start) as usize;
            part[at..at + extent.bytes.len()].copy_from_slice(&extent.bytes);
        }
        for segment in segments {
            // Here a real program asks peers for the block.
            asked += 1;
            println!("{} holds {} bytes from {}", segment.cid, segment.len, segment.offset);
            let node = manifest.read(&segment.cid, &blocks[&segment.cid])?;
            open.push(manifest.expand(&segment, &node)?);
        }
    }

    println!("{asked} of {} blocks for {} of {} bytes", blocks.len(), part.len(), root.size);
    if part == file[4_000_000..6_500_000] { Ok(()) } else { Err("these are other bytes".into()) }
}
