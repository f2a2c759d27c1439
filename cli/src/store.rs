//! The store of blocks that the user names.

use std::path::Path;
use std::sync::Arc;

use bitswap_node::{DiskStore, Runtime};

use crate::exit::Failure;

/// Opens it, and makes it if need be. No other process has it as long as it is open.
pub(crate) async fn open(
    runtime: &Arc<dyn Runtime>,
    directory: &Path,
) -> Result<DiskStore, Failure> {
    let opened = DiskStore::open(runtime.clone(), directory).await;
    opened.map_err(|source| Failure::Store { directory: directory.to_owned(), source })
}
