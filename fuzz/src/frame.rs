//! `frame`: however a stream is cut, it holds the same frames, and memory follows what arrived.
//!
//! Input: the limit (1 byte), the number of pieces' sizes (1), each size (2), then the stream.

use bitswap_core::error::DecodeError;
use bitswap_core::message::FrameDecoder;
use bytes::Bytes;

use crate::Input;

/// What the decoder may hold beyond twice the bytes of the unfinished frame (bytes).
const SLACK: usize = 72 << 10;

/// A decoder of frames.
pub trait Frames {
    /// A decoder of frames of at most `limit` bytes.
    fn new(limit: usize) -> Self;
    /// Where to read the next bytes of the stream into.
    fn buffer_mut(&mut self) -> &mut [u8];
    /// So many were read.
    fn advance(&mut self, received: usize);
    /// The next whole frame.
    ///
    /// # Errors
    ///
    /// The stream cannot be read any further.
    fn next_frame(&mut self) -> Result<Option<Bytes>, DecodeError>;
    /// The stream has ended.
    ///
    /// # Errors
    ///
    /// Within a frame.
    fn finish(&self) -> Result<(), DecodeError>;
    /// Bytes of memory held.
    fn allocated(&self) -> usize;
}

impl Frames for FrameDecoder {
    fn new(limit: usize) -> Self {
        Self::new(limit)
    }

    fn buffer_mut(&mut self) -> &mut [u8] {
        self.buffer_mut()
    }

    fn advance(&mut self, received: usize) {
        self.advance(received);
    }

    fn next_frame(&mut self) -> Result<Option<Bytes>, DecodeError> {
        self.next_frame()
    }

    fn finish(&self) -> Result<(), DecodeError> {
        self.finish()
    }

    fn allocated(&self) -> usize {
        self.allocated()
    }
}

/// Runs the target on our decoder.
pub fn run(data: &[u8]) {
    check::<FrameDecoder>(data);
}

/// Runs the target on a decoder.
///
/// # Panics
///
/// When the decoder breaks a rule.
pub fn check<F: Frames>(data: &[u8]) {
    let mut input = Input::new(data);
    let limit = input.pick(&[4 << 20, 0, 1, 127, 128, 300, 9000, 100_000]);
    let count = input.below(16);
    let sizes: Vec<usize> = (0..count).map(|_| usize::from(input.u16()).max(1)).collect();
    let stream = input.rest();
    let expected = expected(limit, stream);
    for sizes in [&sizes[..], &[usize::MAX], &[1]] {
        assert_eq!(read::<F>(limit, stream, sizes), expected, "in pieces of {sizes:?}");
    }
}

/// The frames of a stream and how it ended.
type Read = (Vec<Bytes>, Result<(), DecodeError>);

/// By the rule, written as plainly as possible.
fn expected(limit: usize, stream: &[u8]) -> Read {
    let mut frames = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let head = &rest[..rest.len().min(9)];
        let Some(last) = head.iter().position(|byte| *byte < 0x80) else {
            let cut = head.len() < 9;
            let error = if cut { DecodeError::Truncated } else { DecodeError::BadLength };
            return (frames, Err(error));
        };
        if last > 0 && head[last] == 0 {
            return (frames, Err(DecodeError::BadLength));
        }
        let number = |sum: u64, byte: &u8| sum << 7 | u64::from(byte & 0x7f);
        let announced = head[..=last].iter().rev().fold(0, number);
        if announced > limit as u64 {
            let limit = limit as u64;
            return (frames, Err(DecodeError::TooLarge { announced, limit }));
        }
        let (body, len) = (&rest[last + 1..], announced as usize);
        if body.len() < len {
            return (frames, Err(DecodeError::Truncated));
        }
        frames.push(Bytes::copy_from_slice(&body[..len]));
        rest = &body[len..];
    }
    (frames, Ok(()))
}

fn read<F: Frames>(limit: usize, stream: &[u8], sizes: &[usize]) -> Read {
    let mut decoder = F::new(limit);
    let (mut rest, mut frames, mut unread) = (stream, Vec::new(), 0);
    let mut sizes = sizes.iter().copied().cycle();
    loop {
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => {
                    unread -= frame.len().min(unread);
                    frames.push(frame);
                }
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.next_frame(), Err(error), "an error repeats");
                    return (frames, Err(error));
                }
            }
        }
        assert!(
            decoder.allocated() <= 2 * unread + SLACK,
            "{} bytes are held for {unread} received",
            decoder.allocated()
        );
        if rest.is_empty() {
            return (frames, decoder.finish());
        }
        let buffer = decoder.buffer_mut();
        assert!(!buffer.is_empty(), "there is room after all frames were taken");
        let size = sizes.next().unwrap_or(usize::MAX).min(rest.len()).min(buffer.len());
        buffer[..size].copy_from_slice(&rest[..size]);
        decoder.advance(size);
        unread += size;
        rest = &rest[size..];
    }
}
