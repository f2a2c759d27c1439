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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_of_a_file_are_digested_over_several_reads_and_not_one_more() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let bytes: Vec<u8> = (0..2 * AT_ONCE + 9).map(|at| (at % 251) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let file = File::open(&path).unwrap();
        let leaves = [LeafRun { len: 1000, count: 10_000 }];
        for len in [0, 1, AT_ONCE, AT_ONCE + 1, bytes.len()] {
            let whole = |mut digest: FileDigest| {
                digest.update(&bytes[..len]);
                digest.finish()
            };
            let of = |leaves| of(&file, len as u64, leaves).unwrap();
            assert_eq!(of(None), whole(FileDigest::sha256()), "{len}");
            assert_eq!(of(Some(&leaves)), whole(FileDigest::merkle_root(&leaves)), "{len}");
        }
        let cut_short = of(&file, bytes.len() as u64 + 1, None).unwrap_err();
        assert_eq!(cut_short.kind(), ErrorKind::UnexpectedEof);
    }
}
