//! What a node is and may do, whichever command it runs for.

use std::path::PathBuf;
use std::sync::Arc;

use bitswap_node::{IdentityFile, Node, NodeBuilder, Runtime};

use crate::exit::Failure;

/// What a node is and may do.
#[derive(Debug, clap::Args)]
pub(crate) struct NodeArgs {
    /// A file with the private key that this machine is known by, as Kubo and libp2p encode it; it is made
    /// when there is none. Without it `share` has one in the user's data directory, and the other commands
    /// are somebody new each time.
    #[arg(long, value_name = "FILE", help_heading = "Identity and access")]
    pub(crate) identity: Option<PathBuf>,
}

impl NodeArgs {
    /// Begins a node on a runtime.
    pub(crate) fn builder(&self, runtime: &Arc<dyn Runtime>) -> Result<NodeBuilder, Failure> {
        let mut builder = Node::builder(runtime.clone());
        if let Some(path) = &self.identity {
            builder = builder.with_identity_file(IdentityFile::open(path)?);
        }
        Ok(builder)
    }
}
