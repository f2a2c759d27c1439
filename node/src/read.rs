//! Files read from peers in order, without a file on disk.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bitswap_core::chunk::{Bounds, Contents, Manifest, Segment};
use bitswap_core::{Block, SessionOptions};
use bitswap_libp2p::BlockDisposition;
use bytes::Bytes;
use cid::Cid;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{self, FuturesUnordered, Stream, StreamExt as _};
use libp2p::PeerId;

use crate::error::{GetError, ReadError};
use crate::node::Node;
use crate::session::Session;

/// Blocks asked for at once: those that come next in the file. They are held in memory until they are
/// read, and nothing else of the file is: at most 32 MiB, because no block has more than 2 MiB.
const AHEAD: usize = 16;

impl Node {
    /// Reads the file `root` from its beginning: its bytes come in order and verified, as soon as
    /// they are there. A raw block by itself is a file too. Dropping the stream ends it.
    ///
    /// Only the next few blocks are held. Those that were read are kept, and served to others, if the node
    /// was given a [store](crate::NodeBuilder::with_blocks) for them. A file that is wanted on disk is better
    /// [fetched](Node::fetch_file).
    ///
    /// # Errors
    ///
    /// [`ReadError::Block`] when there is no session. The stream ends with the first error.
    pub async fn read_file(
        &self,
        root: Cid,
        options: SessionOptions<PeerId>,
    ) -> Result<impl Stream<Item = Result<Bytes, ReadError>> + Send + use<>, ReadError> {
        let keep = if self.store().keeps_what_is_read() {
            BlockDisposition::Store
        } else {
            BlockDisposition::Return
        };
        let session = Arc::new(self.session_keeping(options, keep).await?);
        let reader = Reader {
            session,
            manifest: Manifest::new(0..u64::MAX, Bounds::default()),
            ahead: VecDeque::from([Part::Root(root)]),
            arrived: BTreeMap::new(),
            asked: FuturesUnordered::new(),
            next: 0,
        };
        Ok(stream::try_unfold(reader, |mut reader| async move {
            Ok(reader.next().await?.map(|bytes| (bytes, reader)))
        }))
    }
}

struct Reader {
    session: Arc<Session>,
    manifest: Manifest,
    /// The rest of the file, in order. The first [`AHEAD`] blocks of it are asked for.
    ahead: VecDeque<Part>,
    arrived: BTreeMap<u64, Block>,
    asked: FuturesUnordered<BoxFuture<'static, (u64, Result<Block, GetError>)>>,
    next: u64,
}

enum Part {
    Root(Cid),
    Segment(Segment),
    /// A block that was asked for, by the number of the request. Without a piece it is the root.
    Asked(u64, Option<Segment>),
    Bytes(Bytes),
}

impl Reader {
    async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        loop {
            self.ask();
            match self.ahead.pop_front() {
                None => return Ok(None),
                Some(Part::Bytes(bytes)) => return Ok(Some(bytes)),
                Some(Part::Asked(number, piece)) => {
                    let block = self.arrival(number).await?;
                    let contents = self.contents(&block, piece)?;
                    let pieces = contents
                        .segments
                        .into_iter()
                        .map(|piece| (piece.offset, Part::Segment(piece)));
                    let bytes = contents.extents.into_iter();
                    let bytes = bytes.map(|extent| (extent.offset, Part::Bytes(extent.bytes)));
                    let mut parts: Vec<(u64, Part)> = pieces.chain(bytes).collect();
                    parts.sort_by_key(|(offset, _)| *offset);
                    for (_, part) in parts.into_iter().rev() {
                        self.ahead.push_front(part);
                    }
                }
                // Asked for just now.
                Some(part @ (Part::Root(_) | Part::Segment(_))) => self.ahead.push_front(part),
            }
        }
    }

    /// Asks for the blocks that come next.
    fn ask(&mut self) {
        for part in self.ahead.iter_mut().take(AHEAD) {
            let (cid, piece) = match part {
                Part::Root(cid) => (*cid, None),
                Part::Segment(piece) => (piece.cid, Some(*piece)),
                Part::Asked(..) | Part::Bytes(_) => continue,
            };
            let number = self.next;
            self.next += 1;
            *part = Part::Asked(number, piece);
            let session = self.session.clone();
            let get = async move { (number, session.get(cid).await) };
            self.asked.push(get.boxed());
        }
    }

    async fn arrival(&mut self, number: u64) -> Result<Block, GetError> {
        loop {
            if let Some(block) = self.arrived.remove(&number) {
                return Ok(block);
            }
            let (arrived, block) = self.asked.select_next_some().await;
            self.arrived.insert(arrived, block?);
        }
    }

    fn contents(&mut self, block: &Block, piece: Option<Segment>) -> Result<Contents, ReadError> {
        let node = self.manifest.read(block.cid(), block.data())?;
        Ok(match piece {
            Some(piece) => self.manifest.expand(&piece, &node)?,
            None => self.manifest.open(block.cid(), &node)?,
        })
    }
}
