//! From a file to blocks: its CID, and where each leaf lies in it.
//!
//! Nothing but the blocks that are ready is held: a file of any length is imported in pieces. A program that
//! serves files in place keeps the inner nodes alone, and notes for each leaf which bytes of the file it is.
//!
//! Run it: `cargo run -p bitswap-core --example import`, or with the path of a file.

use std::error::Error;
use std::fs::File;
use std::io::Read;

use bitswap_core::chunk::{Imported, Importer, LeafRange, Profile};

/// What importing a file gave.
#[derive(Debug, Default)]
struct Summary {
    leaves: Vec<LeafRange>,
    nodes: usize,
    node_bytes: usize,
}

impl Summary {
    fn take(&mut self, importer: &mut Importer) {
        while let Some(Imported { block, leaf }) = importer.poll_block() {
            match leaf {
                Some(range) => self.leaves.push(range),
                None => {
                    self.nodes += 1;
                    self.node_bytes += block.data().len();
                }
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut source: Box<dyn Read> = match std::env::args_os().nth(1) {
        Some(path) => Box::new(File::open(path)?),
        None => Box::new(std::io::repeat(7).take(5_000_000)),
    };
    let mut importer = Importer::new(Profile::UnixfsV1_2025);
    let mut summary = Summary::default();
    let mut buffer = vec![0; 256 << 10];
    loop {
        let len = source.read(&mut buffer)?;
        if len == 0 {
            break;
        }
        importer.write(buffer[..len].to_vec());
        summary.take(&mut importer);
    }
    let root = importer.finish();
    summary.take(&mut importer);

    println!("{} holds {} bytes", root.cid, root.size);
    println!("{} inner nodes take {} bytes", summary.nodes, summary.node_bytes);
    let covered: u64 = summary.leaves.iter().map(|leaf| leaf.len).sum();
    println!("{} leaves hold {covered} bytes", summary.leaves.len());
    if covered == root.size { Ok(()) } else { Err("the leaves are not the file".into()) }
}
