//! What a path leads to, and what is in a directory.

use bitswap_core::SessionOptions;
use bitswap_core::chunk::{
    Link, NodeKind, RAW, Resolver, TreeBounds, TreeEntry, TreeWalk, UnixfsNode, WalkOutput,
};
use cid::Cid;
use cid::multihash::Multihash;
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{self, FuturesUnordered, Stream, StreamExt as _};
use libp2p::PeerId;

use bitswap_core::Block;

use crate::error::{GetError, PathError};
use crate::node::Node;

/// Bytes of blocks that a listing asks for ahead.
const WINDOW: u64 = 4 << 20;

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resolved {
    /// Its root.
    pub cid: Cid,
    /// What it is.
    pub kind: NodeKind,
}

impl Node {
    /// Follows a path from a root, such as `CID/folder/file`: its blocks are got, and no symbolic link is
    /// followed.
    ///
    /// # Errors
    ///
    /// [`PathError`] says where it ends.
    pub async fn resolve(
        &self,
        root: Cid,
        path: impl IntoIterator<Item = String>,
        options: SessionOptions<PeerId>,
    ) -> Result<Resolved, PathError> {
        let mut resolver = Resolver::new(root, path)?;
        let session = self.session(options).await?;
        while let Some(cid) = resolver.want()? {
            resolver.handle_block(&session.get(cid).await?)?;
        }
        let (cid, data) = match resolver.found().clone() {
            // A raw block is a file, whatever it holds.
            Link::Block(cid) if cid.codec() == RAW => {
                return Ok(Resolved { cid, kind: NodeKind::File });
            }
            Link::Block(cid) => (cid, session.get(cid).await?.into_parts().1),
            Link::Inline { codec, data } => {
                // Those above 64 bytes have no CID that can be held.
                let hash = Multihash::wrap(0, &data).map_err(|_| PathError::LongInline)?;
                (Cid::new_v1(codec, hash), data)
            }
        };
        let node = UnixfsNode::decode(cid.codec(), &data, TreeBounds::default().links);
        let kind = node.as_ref().map_or(NodeKind::Other, UnixfsNode::kind);
        Ok(Resolved { cid, kind })
    }

    /// Lists a directory: its entries as they become known, those of directories in it not. The first is what
    /// the CID itself is; of a file, it is the only one.
    ///
    /// # Errors
    ///
    /// [`PathError::Block`] when there is no session. The stream ends with the first error.
    pub async fn list(
        &self,
        root: Cid,
        options: SessionOptions<PeerId>,
    ) -> Result<impl Stream<Item = Result<TreeEntry, PathError>> + Send + use<>, PathError> {
        let session = std::sync::Arc::new(self.session(options).await?);
        let walk = TreeWalk::list(root, TreeBounds::default(), WINDOW)?;
        let asked: FuturesUnordered<BoxFuture<'static, Result<Block, GetError>>> =
            FuturesUnordered::new();
        let state = (walk, session, asked);
        Ok(stream::try_unfold(state, |(mut walk, session, mut asked)| async move {
            loop {
                while let Some(output) = walk.next_output()? {
                    if let WalkOutput::Entry(entry) = output {
                        return Ok(Some((*entry, (walk, session, asked))));
                    }
                }
                while let Some(want) = walk.next_want() {
                    let session = session.clone();
                    asked.push(async move { session.get(want.cid).await }.boxed());
                }
                match asked.next().await {
                    Some(block) => _ = walk.handle_block(&block?)?,
                    None => return Ok(None),
                }
            }
        }))
    }
}
