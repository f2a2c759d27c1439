//! Writes that leave zeros out where the file has zeros already.
//!
//! What was never written of a file that was only made longer is a hole, reads as zeros and takes no space. The bytes
//! that are there are looked at, whoever wrote them: so it is right also for a file that an earlier run left.

use std::fs::File;
use std::io;
use std::ops::Range;

use super::{read_at, write_at};

/// What file systems reserve space by, at least on most of them, in bytes.
const PAGE: u64 = 4096;
/// Bytes that are looked at in one go.
const LOOK: usize = 64 << 10;

/// Writes all of `bytes` at a position, but for whole pages of zeros where the file has zeros, or ends before.
///
/// # Errors
///
/// What the operating system says.
pub(super) fn write_sparse_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let end = offset + bytes.len() as u64;
    if file.metadata()?.len() < end {
        file.set_len(end)?;
    }
    for (range, is_zero) in runs(offset, bytes) {
        let at = offset + range.start as u64;
        if !is_zero || !reads_zeros(file, at, range.len())? {
            write_at(file, at, &bytes[range])?;
        }
    }
    Ok(())
}

/// The bytes of a write at `offset` in runs of whole pages: those of zeros, and all else.
fn runs(offset: u64, bytes: &[u8]) -> Vec<(Range<usize>, bool)> {
    let mut runs: Vec<(Range<usize>, bool)> = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let to_page = PAGE - (offset + start as u64) % PAGE;
        let end = bytes.len().min(start + to_page as usize);
        // A part of a page takes as much space as all of it.
        let is_zero =
            end - start == PAGE as usize && bytes[start..end].iter().all(|byte| *byte == 0);
        match runs.last_mut() {
            Some((run, was_zero)) if *was_zero == is_zero => run.end = end,
            _ => runs.push((start..end, is_zero)),
        }
        start = end;
    }
    runs
}

fn reads_zeros(file: &File, offset: u64, len: usize) -> io::Result<bool> {
    let mut buffer = vec![0; LOOK.min(len)];
    let mut looked = 0;
    while looked < len {
        let part = &mut buffer[..LOOK.min(len - looked)];
        let read = read_at(file, offset + looked as u64, part)?;
        if read < part.len() || part.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        looked += read;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_left_out_page_by_page_and_the_file_reads_as_if_they_were_written() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(20 * PAGE).unwrap();
        // What an earlier run left, and must not stay.
        write_at(&file, 3 * PAGE, &[7; PAGE as usize]).unwrap();
        let mut bytes = vec![0; 10 * PAGE as usize];
        (bytes[5], bytes[6 * PAGE as usize]) = (1, 2);
        write_sparse_at(&file, 100, &bytes).unwrap();
        let mut found = vec![9; 20 * PAGE as usize];
        assert_eq!(read_at(&file, 0, &mut found).unwrap(), found.len());
        let mut expected = vec![0; 20 * PAGE as usize];
        expected[100..100 + bytes.len()].copy_from_slice(&bytes);
        assert!(found == expected);
    }

    #[test]
    fn only_whole_pages_of_zeros_are_runs_of_their_own() {
        let page = PAGE as usize;
        let mut bytes = vec![0; 4 * page];
        assert_eq!(runs(0, &bytes), [(0..4 * page, true)]);
        let first = page - 10;
        assert_eq!(
            runs(10, &bytes),
            [
                (0..first, false),
                (first..first + 3 * page, true),
                (first + 3 * page..4 * page, false)
            ]
        );
        bytes[page] = 1;
        assert_eq!(
            runs(0, &bytes),
            [(0..page, true), (page..2 * page, false), (2 * page..4 * page, true)]
        );
        assert_eq!(runs(0, &[]), []);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_left_out_takes_no_space() {
        use std::os::unix::fs::MetadataExt as _;
        let file = tempfile::tempfile().unwrap();
        file.set_len(8 << 20).unwrap();
        // Where a file that was only made longer takes space, there are no holes.
        if file.metadata().unwrap().blocks() > 0 {
            return;
        }
        let mut bytes = vec![0; 8 << 20];
        bytes[5 << 20] = 1;
        write_sparse_at(&file, 0, &bytes).unwrap();
        file.sync_all().unwrap();
        let used = file.metadata().unwrap().blocks() * 512;
        assert!((1..=1 << 20).contains(&used), "{used}");
    }

    #[test]
    fn zeros_are_looked_for_to_the_last_byte() {
        let file = tempfile::tempfile().unwrap();
        let len = 2 * LOOK + 7;
        file.set_len(len as u64).unwrap();
        assert!(reads_zeros(&file, 0, 0).unwrap() && reads_zeros(&file, 0, len).unwrap());
        assert!(!reads_zeros(&file, 0, len + 1).unwrap(), "the file ends before");
        for at in [0, LOOK - 1, LOOK, len - 1] {
            write_at(&file, at as u64, &[1]).unwrap();
            assert!(!reads_zeros(&file, 0, len).unwrap(), "{at}");
            assert!(reads_zeros(&file, 0, at).unwrap(), "before {at}");
            assert!(reads_zeros(&file, at as u64 + 1, len - at - 1).unwrap(), "after {at}");
            write_at(&file, at as u64, &[0]).unwrap();
        }
    }
}
