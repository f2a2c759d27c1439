//! Whether the complete file has the digests that the user expects.
//!
//! A file that has not does not get its name. Its data stays: it is what its CID says.

use alloc::sync::Arc;

use super::effects::{Done, Effect, FileRole, FsError};
use super::events::{DigestKind, DownloadError, Operation};
use super::handles::Step;
use crate::chunk::digest::{ExpectedDigests, LeafRun, Sha256Digest};

/// See the [module](self).
#[derive(Clone, Debug)]
pub(super) struct Proof {
    role: FileRole,
    len: u64,
    expected: ExpectedDigests,
    leaves: Option<Arc<[LeafRun]>>,
    /// What is being digested.
    asked: Option<(DigestKind, Sha256Digest)>,
}

impl Proof {
    /// Of the open file of this role and length, whose leaves are known.
    pub(super) const fn new(
        role: FileRole,
        len: u64,
        expected: ExpectedDigests,
        leaves: Option<Arc<[LeafRun]>>,
    ) -> Self {
        Self { role, len, expected, leaves, asked: None }
    }

    /// The next step; `None` when one is waited for, or nothing is left to prove.
    ///
    /// # Errors
    ///
    /// When it cannot be found out.
    pub(super) fn next(&mut self) -> Result<Option<Step>, DownloadError> {
        if self.asked.is_some() {
            return Ok(None);
        }
        let (role, len) = (self.role, self.len);
        if let Some(expected) = self.expected.sha256.take() {
            self.asked = Some((DigestKind::Sha256, expected));
            return Ok(Some(Step::of(Effect::Digest { role, len, leaves: None })));
        }
        let Some(expected) = self.expected.merkle_root.take() else { return Ok(None) };
        let Some(leaves) = self.leaves.take() else { return Err(DownloadError::UnknownLeaves) };
        self.asked = Some((DigestKind::MerkleRoot, expected));
        Ok(Some(Step::of(Effect::Digest { role, len, leaves: Some(leaves) })))
    }

    /// Whether all is proved.
    pub(super) const fn is_over(&self) -> bool {
        self.asked.is_none() && self.expected.is_empty()
    }

    /// Takes the answer to the present step.
    ///
    /// # Errors
    ///
    /// When the digest is another one, or could not be made.
    pub(super) fn done(&mut self, result: Result<Done, FsError>) -> Result<(), DownloadError> {
        let Some((of, expected)) = self.asked.take() else { return Ok(()) };
        let error = match result {
            Ok(Done::Digest(found)) if found == expected => return Ok(()),
            Ok(Done::Digest(found)) => {
                return Err(DownloadError::RootMismatch { of, expected, found });
            }
            Ok(_) => FsError::WRONG_ANSWER,
            Err(error) => error,
        };
        Err(DownloadError::File { operation: Operation::Read, error })
    }
}
