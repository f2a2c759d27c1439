//! Files read from peers, in order or from anywhere, without a file on disk.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, SeekFrom};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bitswap_core::chunk::{Bounds, Contents, FileNode, Manifest, Segment};
use bitswap_core::{Block, SessionOptions};
use bitswap_libp2p::BlockDisposition;
use bytes::Bytes;
use cid::Cid;
use futures::future::{BoxFuture, FutureExt as _, poll_fn};
use futures::io::{AsyncRead, AsyncSeek};
use futures::stream::{self, Stream, StreamExt as _, TryStreamExt as _};
use libp2p::PeerId;

use crate::error::{GetError, ReadError};
use crate::node::Node;
use crate::session::Session;

/// Nodes between the root and the leaves that are kept for a reader that goes back.
const NODES_KEPT: usize = 4;

/// How a file is read.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadOptions {
    /// The session: whom to ask, and whether to wait for blocks that nobody has now.
    pub session: SessionOptions<PeerId>,
    /// Blocks asked for at once, 1 at least: those that come next in the file. They are held in memory until they
    /// are read, and nothing else of the file is. No block has more than 2 MiB.
    pub blocks_ahead: usize,
}

impl Default for ReadOptions {
    /// Of everybody, for as long as it takes; 16 blocks ahead, which are 32 MiB at most.
    fn default() -> Self {
        Self { session: SessionOptions::default(), blocks_ahead: 16 }
    }
}

impl From<SessionOptions<PeerId>> for ReadOptions {
    fn from(session: SessionOptions<PeerId>) -> Self {
        Self { session, ..Self::default() }
    }
}

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
        self.read_range(root, 0..u64::MAX, options.into()).await
    }

    /// As [`Self::read_file`], of the bytes of a range, as far as the file has them. No leaf is asked for that has
    /// none of them.
    ///
    /// # Errors
    ///
    /// As [`Self::read_file`].
    pub async fn read_range(
        &self,
        root: Cid,
        range: Range<u64>,
        options: ReadOptions,
    ) -> Result<impl Stream<Item = Result<Bytes, ReadError>> + Send + use<>, ReadError> {
        let session = self.reading(root, options.session).await?;
        let opened = FileReader::start(session, root, range, options.blocks_ahead);
        let pieces = |reader| {
            stream::try_unfold(reader, |mut reader: FileReader| async move {
                let piece = poll_fn(|context| reader.poll_piece(context)).await?;
                Ok(piece.map(|bytes| (bytes, reader)))
            })
        };
        Ok(stream::once(opened.boxed()).map(move |opened| opened.map(pieces)).try_flatten())
    }

    /// Opens the file `root`, to be read from anywhere. Its root is fetched at once.
    ///
    /// # Errors
    ///
    /// When the root is not got, or is no file.
    pub async fn open(
        &self,
        root: Cid,
        options: impl Into<ReadOptions>,
    ) -> Result<FileReader, ReadError> {
        let options = options.into();
        let session = self.reading(root, options.session).await?;
        FileReader::start(session, root, 0..u64::MAX, options.blocks_ahead).await
    }

    async fn reading(
        &self,
        root: Cid,
        options: SessionOptions<PeerId>,
    ) -> Result<Arc<Session>, GetError> {
        let keep = if self.store().keeps_what_is_read() {
            BlockDisposition::Store
        } else {
            BlockDisposition::Return
        };
        Ok(Arc::new(self.session_keeping(options, keep, Some(root)).await?))
    }
}

/// An open file, as [`Node::open`] gives it: it is read and sought as any file of `futures`.
///
/// What comes next is asked for ahead, within [`ReadOptions::blocks_ahead`]. Whatever a seek leaves behind or passes
/// over is dropped and not asked for any more, and so is everything when the reader is dropped. An error is one
/// [`io::Error`] with a [`ReadError`] in it; reading on asks again.
pub struct FileReader {
    session: Arc<Session>,
    root: Cid,
    top: FileNode,
    /// Where the file ends for this reader.
    end: u64,
    manifest: Manifest,
    /// The rest of the file, in order and without holes. The first blocks of it are asked for.
    ahead: VecDeque<Part>,
    blocks_ahead: usize,
    /// Where the rest begins, as far as it is wanted.
    position: u64,
    /// Read, and not taken by the user yet: what lies before the position.
    piece: Bytes,
    /// Nodes that were expanded last.
    nodes: VecDeque<Block>,
}

enum Part {
    Bytes(u64, Bytes),
    Block(Segment, Request),
}

enum Request {
    None,
    Asked(BoxFuture<'static, Result<Block, GetError>>),
    Arrived(Box<Block>),
    Failed(Box<GetError>),
}

impl Part {
    fn end(&self) -> u64 {
        match self {
            Self::Bytes(offset, bytes) => offset + bytes.len() as u64,
            Self::Block(segment, _) => segment.offset + segment.len,
        }
    }
}

impl fmt::Debug for FileReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { root, end, position, .. } = self;
        f.debug_struct("FileReader")
            .field("root", root)
            .field("end", end)
            .field("position", position)
            .finish_non_exhaustive()
    }
}

impl FileReader {
    async fn start(
        session: Arc<Session>,
        root: Cid,
        range: Range<u64>,
        blocks_ahead: usize,
    ) -> Result<Self, ReadError> {
        let block = session.get(root).await?;
        let manifest = Manifest::new(0..range.end, Bounds::default());
        let top = manifest.read(&root, block.data())?;
        let mut reader = Self {
            session,
            root,
            end: top.size.min(range.end),
            top,
            manifest,
            ahead: VecDeque::new(),
            blocks_ahead: blocks_ahead.max(1),
            position: range.start,
            piece: Bytes::new(),
            nodes: VecDeque::new(),
        };
        reader.begin()?;
        Ok(reader)
    }

    /// The length of the file in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "the length of a file, as that of std's")]
    pub const fn len(&self) -> u64 {
        self.top.size
    }

    /// Goes through the file from its root again, up to the position.
    fn begin(&mut self) -> Result<(), ReadError> {
        self.manifest = Manifest::new(0..self.end, Bounds::default());
        let contents = self.manifest.open(&self.root, &self.top)?;
        self.ahead.clear();
        self.put(contents);
        Ok(())
    }

    /// Puts what a block holds before the rest, without what lies before the position.
    fn put(&mut self, contents: Contents) {
        let blocks = contents.segments.into_iter();
        let blocks = blocks.map(|segment| (segment.offset, Part::Block(segment, Request::None)));
        let bytes = contents.extents.into_iter();
        let bytes = bytes.map(|extent| (extent.offset, Part::Bytes(extent.offset, extent.bytes)));
        let mut parts: Vec<(u64, Part)> = blocks.chain(bytes).collect();
        parts.retain(|(_, part)| part.end() > self.position);
        parts.sort_by_key(|(offset, _)| *offset);
        for (_, part) in parts.into_iter().rev() {
            self.ahead.push_front(part);
        }
    }

    /// The next bytes; `None` at the end.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, ReadError>> {
        if self.position >= self.end {
            return Poll::Ready(Ok(None));
        }
        loop {
            self.poll_ahead(context);
            let (segment, request) = match self.ahead.pop_front() {
                None => return Poll::Ready(Ok(None)),
                Some(Part::Bytes(offset, mut bytes)) => {
                    let before = self.position.saturating_sub(offset).min(bytes.len() as u64);
                    let bytes = bytes.split_off(before as usize);
                    self.position += bytes.len() as u64;
                    return Poll::Ready(Ok(Some(bytes)));
                }
                Some(Part::Block(segment, request)) => (segment, request),
            };
            match request {
                Request::Arrived(block) => match self.expand(&segment, *block) {
                    Ok(contents) => self.put(contents),
                    Err(error) => {
                        self.ahead.push_front(Part::Block(segment, Request::None));
                        return Poll::Ready(Err(error));
                    }
                },
                Request::Failed(error) => {
                    self.ahead.push_front(Part::Block(segment, Request::None));
                    return Poll::Ready(Err((*error).into()));
                }
                request @ (Request::Asked(_) | Request::None) => {
                    self.ahead.push_front(Part::Block(segment, request));
                    return Poll::Pending;
                }
            }
        }
    }

    /// What a block holds, whose place is this.
    fn expand(&mut self, segment: &Segment, block: Block) -> Result<Contents, ReadError> {
        let node = self.manifest.read(block.cid(), block.data())?;
        let contents = self.manifest.expand(segment, &node)?;
        if !node.is_leaf() {
            self.keep(block);
        }
        Ok(contents)
    }

    /// Asks for the blocks that come next, and takes those that are there.
    fn poll_ahead(&mut self, context: &mut Context<'_>) {
        for part in self.ahead.iter_mut().take(self.blocks_ahead) {
            let Part::Block(segment, request) = part else { continue };
            if let Request::None = request {
                let known = self.nodes.iter().find(|node| *node.cid() == segment.cid);
                *request = match known {
                    Some(block) => Request::Arrived(Box::new(block.clone())),
                    None => {
                        let (session, cid) = (self.session.clone(), segment.cid);
                        Request::Asked(async move { session.get(cid).await }.boxed())
                    }
                };
            }
            if let Request::Asked(asked) = request
                && let Poll::Ready(result) = asked.poll_unpin(context)
            {
                *request = match result {
                    Ok(block) => Request::Arrived(Box::new(block)),
                    Err(error) => Request::Failed(Box::new(error)),
                };
            }
        }
    }

    fn keep(&mut self, node: Block) {
        if self.nodes.iter().any(|kept| kept.cid() == node.cid()) {
            return;
        }
        if self.nodes.len() == NODES_KEPT {
            self.nodes.pop_front();
        }
        self.nodes.push_back(node);
    }

    /// Where the user is.
    fn at(&self) -> u64 {
        self.position - self.piece.len() as u64
    }

    /// Moves to a position; what is not ahead of it within the window is dropped.
    fn go_to(&mut self, position: u64) -> Result<(), ReadError> {
        if (self.at()..=self.position).contains(&position) {
            let _ = self.piece.split_to((position - self.at()) as usize);
            return Ok(());
        }
        self.piece = Bytes::new();
        let goes_back = position < self.position;
        self.position = position;
        if goes_back {
            return self.begin();
        }
        while self.ahead.front().is_some_and(|part| part.end() <= position) {
            self.ahead.pop_front();
        }
        Ok(())
    }
}

impl AsyncRead for FileReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        while self.piece.is_empty() && !buf.is_empty() {
            match ready!(self.poll_piece(context)) {
                Ok(Some(piece)) => self.piece = piece,
                Ok(None) => return Poll::Ready(Ok(0)),
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        let read = self.piece.len().min(buf.len());
        let (to, _) = buf.split_at_mut(read);
        to.copy_from_slice(&self.piece.split_to(read));
        Poll::Ready(Ok(read))
    }
}

impl AsyncSeek for FileReader {
    fn poll_seek(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        to: SeekFrom,
    ) -> Poll<io::Result<u64>> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.len().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.at().checked_add_signed(offset),
        };
        let Some(position) = position else {
            let why = "a seek to before the beginning of the file";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidInput, why)));
        };
        Poll::Ready(self.go_to(position).map(|()| position).map_err(Into::into))
    }
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        let kind = match &error {
            ReadError::InvalidDag(_) => io::ErrorKind::InvalidData,
            ReadError::Block(GetError::NotFound(_)) => io::ErrorKind::NotFound,
            ReadError::Block(GetError::TimedOut(_)) => io::ErrorKind::TimedOut,
            ReadError::Block(GetError::ConnectionLost { .. }) => io::ErrorKind::NotConnected,
            ReadError::Block(_) => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
