//! Digests that the user expects.

use alloc::vec;
use alloc::vec::Vec;

use super::harness::*;
use crate::chunk::testing::FakeDisk;
use crate::chunk::*;
use crate::time::Timestamp;

fn sha256(bytes: &[u8]) -> Sha256Digest {
    let mut digest = FileDigest::sha256();
    digest.update(bytes);
    digest.finish()
}

fn merkle_root(bytes: &[u8], lens: &[usize]) -> Sha256Digest {
    let runs: Vec<_> = lens.iter().map(|len| LeafRun { len: *len as u64, count: 1 }).collect();
    let mut digest = FileDigest::merkle_root(&runs);
    digest.update(bytes);
    digest.finish()
}

fn run(file: &File, disk: FakeDisk, options: DownloadOptions) -> (Outcome, FakeDisk, usize) {
    let mut run = Run::with(Download::new(file.root, options, Timestamp::ZERO), file, disk);
    let outcome = run.finish();
    let leaves = run.leaves_wanted();
    (outcome, run.disk, leaves)
}

const WRONG: Sha256Digest = Sha256Digest([7; 32]);

#[test]
fn a_file_without_the_expected_digest_gets_no_name_and_its_data_stays() {
    let lens = [1000, 1000, 300, 1000, 7];
    let file = File::of(lens);
    let right = ExpectedDigests {
        sha256: Some(sha256(&file.bytes)),
        merkle_root: Some(merkle_root(&file.bytes, &lens)),
    };
    for (of, expected) in [
        (None, right),
        (Some(DigestKind::Sha256), ExpectedDigests { sha256: Some(WRONG), ..right }),
        (Some(DigestKind::MerkleRoot), ExpectedDigests { merkle_root: Some(WRONG), ..right }),
    ] {
        for order in [Order::Sequential, Order::Random] {
            let options = DownloadOptions { expected, order, ..DownloadOptions::default() };
            let (outcome, disk, _) = run(&file, FakeDisk::new(), options);
            let Some(of) = of else {
                assert_eq!(outcome, finished(file.bytes.len()));
                continue;
            };
            let found = match of {
                DigestKind::Sha256 => right.sha256,
                DigestKind::MerkleRoot => right.merkle_root,
            };
            let found = found.unwrap();
            let error = DownloadError::RootMismatch { of, expected: WRONG, found };
            assert_eq!(outcome, failed(error));
            assert!(disk.is_idle() && disk.bytes(FileRole::Target(0)).is_none());
            assert_eq!(disk.bytes(FileRole::Temp).unwrap()[..file.bytes.len()], file.bytes);
            // Without the digest, or with the right one, it gets its name and no leaf is fetched again.
            for expected in [ExpectedDigests::default(), right] {
                let resume = Resume::Changed;
                let options = DownloadOptions { expected, resume, ..DownloadOptions::default() };
                let (outcome, _, leaves) = run(&file, disk.clone(), options);
                assert!(matches!(outcome, Outcome::Finished(done) if done.unchecked == 0));
                assert_eq!(leaves, 0);
            }
        }
    }
}

#[test]
fn a_target_that_is_there_already_is_digested_too() {
    for lens in [vec![500], vec![1000, 1000, 300]] {
        let file = File::of(lens.clone());
        let right = Some(merkle_root(&file.bytes, &lens));
        for (merkle_root, is_right) in [(right, true), (Some(WRONG), false)] {
            let mut disk = FakeDisk::new();
            disk.put(FileRole::Target(0), &file.bytes);
            let expected = ExpectedDigests { sha256: None, merkle_root };
            let options = DownloadOptions { expected, ..DownloadOptions::default() };
            let (outcome, disk, leaves) = run(&file, disk, options);
            assert_eq!(matches!(outcome, Outcome::Finished(done) if done.already), is_right);
            assert_eq!(disk.bytes(FileRole::Target(0)).unwrap(), file.bytes);
            assert_eq!(leaves, 0);
        }
    }
}

#[test]
fn a_part_of_a_file_has_a_digest_and_no_merkle_root() {
    let mut file = File::of([1000, 1000, 1000]);
    let wanted = 1500..2500;
    file.bytes = file.bytes[1500..2500].to_vec();
    let of = |expected| {
        let wanted = wanted.clone();
        run(
            &file,
            FakeDisk::new(),
            DownloadOptions { expected, wanted, ..DownloadOptions::default() },
        )
        .0
    };
    let sha256 = Some(sha256(&file.bytes));
    assert_eq!(of(ExpectedDigests { sha256, merkle_root: None }), finished(1000));
    let expected = ExpectedDigests { sha256, merkle_root: Some(WRONG) };
    assert_eq!(of(expected), failed(DownloadError::UnknownLeaves));
}
