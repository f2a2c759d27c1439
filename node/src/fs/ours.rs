//! Whether a file with a name of ours was made by a download.

use std::fs::File;
use std::io::{self, Read as _};

use super::read_at;

/// How every journal begins, whatever its version.
const JOURNAL: &[u8] = b"bswpj";

/// How the id begins that is at the end of a temporary file, and how long all of it is.
const TRAILER: &[u8] = b"bswppart";
const TRAILER_LEN: u64 = 24;

/// Whether it is a journal, or as much of one as a process that was killed had written.
pub(super) fn begins_as_journal(file: &File) -> io::Result<bool> {
    let mut begin = Vec::new();
    file.take(JOURNAL.len() as u64).read_to_end(&mut begin)?;
    Ok(JOURNAL.starts_with(&begin))
}

/// Whether a file beside which there is no journal is the temporary file of a download: it ends in the id of one, or has
/// nothing in it yet. Until it has its id, it was made longer at most, so all that it has is zeros.
pub(crate) fn is_temp(file: &File) -> io::Result<bool> {
    let len = file.metadata()?.len();
    if let Some(at) = len.checked_sub(TRAILER_LEN) {
        let mut begin = [0; TRAILER.len()];
        if read_at(file, at, &mut begin)? == TRAILER.len() && begin == TRAILER {
            return Ok(true);
        }
    }
    let (mut at, mut bytes) = (0, vec![0; 1 << 16]);
    loop {
        let read = read_at(file, at, &mut bytes)?;
        if bytes[..read].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        if read < bytes.len() {
            return Ok(true);
        }
        at += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_temporary_file_ends_in_an_id_or_has_nothing_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let made = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            is_temp(&File::open(&path).unwrap()).unwrap()
        };
        let with_id = [&b"some bytes"[..], TRAILER, &[7; 16]].concat();
        assert!(made(&with_id) && made(&with_id[10..]));
        assert!(made(b"") && made(&[0; 7]) && made(&[0; 200_000]));
        assert!(!made(b"a diary"));
        assert!(!made(&with_id[..33]), "the end of the id is missing");
        assert!(!made(&[&[0; 199_999][..], b"x"].concat()));
        assert!(!made(&[b"x", &[0; 199_999][..]].concat()));
    }
}
