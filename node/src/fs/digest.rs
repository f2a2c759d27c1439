//! Digests of files on disk.

use std::fs::File;
use std::io::{self, ErrorKind};

use bitswap_core::chunk::{FileDigest, LeafRun, Sha256Digest};

use super::read_at;

/// Bytes of a file that are read at a time.
const AT_ONCE: usize = 1 << 20;

/// Digests the first bytes of a file.
pub(super) fn of(file: &File, len: u64, leaves: Option<&[LeafRun]>) -> io::Result<Sha256Digest> {
    let mut digest = leaves.map_or_else(FileDigest::sha256, FileDigest::merkle_root);
    let (mut piece, mut offset) = (vec![0; AT_ONCE], 0);
    while offset < len {
        let wanted = (len - offset).min(AT_ONCE as u64) as usize;
        if read_at(file, offset, &mut piece[..wanted])? < wanted {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        digest.update(&piece[..wanted]);
        offset += wanted as u64;
    }
    Ok(digest.finish())
}
