//! A file for the demo: every run the same, incompressible, no two blocks alike.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit as _, StreamCipher as _};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::failure::Failure;

/// Bytes made, written or read at once.
const PIECE: usize = 1 << 20;

/// Room that is left beside the demo's files.
const ROOM: u64 = 64 << 20;

/// A file's length and hash.
#[derive(Clone)]
pub(crate) struct Sample {
    pub(crate) bytes: u64,
    pub(crate) sha256: [u8; 32],
}

impl Sample {
    /// Writes `bytes` of a key stream. The key is the hash of the seed.
    pub(crate) async fn write(path: &Path, bytes: u64, seed: u64) -> io::Result<Self> {
        let path = path.to_owned();
        blocking(move || {
            let key = Sha256::digest(seed.to_le_bytes());
            let mut stream = ChaCha20::new(&key, &[0; 12].into());
            let (mut file, mut hash) = (File::create_new(path)?, Sha256::new());
            let mut piece = vec![0; PIECE];
            for _ in 0..bytes / PIECE as u64 {
                piece.fill(0);
                stream.apply_keystream(&mut piece);
                hash.update(&piece);
                file.write_all(&piece)?;
            }
            Ok(Self { bytes, sha256: hash.finalize().into() })
        })
        .await
    }

    /// How long the machine takes to write as many bytes to a new file at `path`, and nothing else. The
    /// file is removed.
    pub(crate) async fn write_time(&self, path: &Path) -> io::Result<Duration> {
        let (path, bytes) = (path.to_owned(), self.bytes);
        blocking(move || {
            let piece = vec![1; PIECE];
            let mut file = File::create_new(&path)?;
            let start = Instant::now();
            for _ in 0..bytes / PIECE as u64 {
                file.write_all(&piece)?;
            }
            let elapsed = start.elapsed();
            std::fs::remove_file(&path)?;
            Ok(elapsed)
        })
        .await
    }

    /// Whether the file at `path` has the same bytes: read from the disk, and hashed as a whole.
    pub(crate) async fn is(&self, path: &Path) -> io::Result<bool> {
        let (path, sample) = (path.to_owned(), self.clone());
        blocking(move || {
            let (mut file, mut hash) = (File::open(path)?, Sha256::new());
            let (mut piece, mut bytes) = (vec![0; PIECE], 0);
            loop {
                let read = file.read(&mut piece)?;
                if read == 0 {
                    break;
                }
                hash.update(&piece[..read]);
                bytes += read as u64;
            }
            Ok(bytes == sample.bytes && sample.sha256 == <[u8; 32]>::from(hash.finalize()))
        })
        .await
    }
}

/// A directory that is removed when the demo ends.
pub(crate) fn directory(parent: &Path) -> io::Result<TempDir> {
    tempfile::Builder::new().prefix("bitswap-demo-").tempdir_in(parent)
}

/// Whether the demo's files fit, with a little room left.
pub(crate) fn check_space(dir: &Path, needed: u64) -> Result<(), Failure> {
    let free = fs4::available_space(dir).map_err(|source| Failure::Demo { source })?;
    let needed = needed + ROOM;
    if free < needed {
        let dir: PathBuf = dir.to_owned();
        return Err(Failure::DemoSpace { needed, available: free, dir });
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
