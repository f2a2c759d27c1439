//! From the bytes of a stream to frames: a varint length, then that many bytes.

use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::error::DecodeError;
use crate::limits::MESSAGE_BYTES_MAX;
use crate::varint;

/// Room for lengths and small frames. A stream that sends one small message, as most do, costs
/// this much memory; of a larger frame at most this much is copied once.
const CHUNK: usize = 8 << 10;
/// The first piece of memory for a frame that does not fit the chunk.
const FIRST_PIECE: usize = 64 << 10;

/// Cuts the bytes of one stream into frames, however they arrive.
///
/// The bytes are read straight into the decoder's own memory:
///
/// ```
/// # use bitswap_core::message::FrameDecoder;
/// # let mut stream: &[u8] = &[2, 0x0a, 0x00];
/// # let mut read = |to: &mut [u8]| { let n = stream.len().min(to.len()).min(1);
/// #     to[..n].copy_from_slice(&stream[..n]); stream = &stream[n..]; n };
/// let mut decoder = FrameDecoder::default();
/// let mut frames = Vec::new();
/// loop {
///     while let Some(frame) = decoder.next_frame()? {
///         frames.push(frame);
///     }
///     let received = read(decoder.buffer_mut());
///     if received == 0 {
///         break;
///     }
///     decoder.advance(received);
/// }
/// decoder.finish()?;
/// assert_eq!(frames, [[0x0a, 0x00].as_slice()]);
/// # Ok::<(), bitswap_core::error::DecodeError>(())
/// ```
///
/// An announced length is checked before anything of the frame is kept, and is never trusted with
/// memory: the decoder holds at most twice what arrived of a frame plus 72 KiB. A frame is handed
/// out in memory of its own, so keeping it (or a slice of it) keeps nothing else alive.
#[derive(Clone, Debug)]
pub struct FrameDecoder {
    limit: usize,
    /// Received bytes are at `start..filled`; the rest is room.
    chunk: Vec<u8>,
    start: usize,
    filled: usize,
    large: Option<Large>,
}

/// A frame that does not fit the chunk, while it arrives.
#[derive(Clone, Debug)]
struct Large {
    len: usize,
    /// Grows to `len` in pieces; what was received is at its start.
    body: Vec<u8>,
    filled: usize,
}

impl Default for FrameDecoder {
    /// A decoder of frames up to 4 MiB.
    fn default() -> Self {
        Self::new(MESSAGE_BYTES_MAX)
    }
}

impl FrameDecoder {
    /// A decoder of frames of at most `limit` bytes, without their length.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { limit, chunk: Vec::new(), start: 0, filled: 0, large: None }
    }

    /// Where to read the next bytes of the stream into; then call [`FrameDecoder::advance`].
    ///
    /// Never empty once [`FrameDecoder::next_frame`] has returned `None`.
    pub fn buffer_mut(&mut self) -> &mut [u8] {
        if let Some(large) = &mut self.large {
            large.grow();
            return large.body.get_mut(large.filled..).unwrap_or_default();
        }
        if self.chunk.is_empty() {
            self.chunk = vec![0; CHUNK];
        }
        if self.start > 0 {
            self.chunk.copy_within(self.start..self.filled, 0);
            self.filled -= self.start;
            self.start = 0;
        }
        self.chunk.get_mut(self.filled..).unwrap_or_default()
    }

    /// Says that the first `received` bytes of [`FrameDecoder::buffer_mut`] were filled. More than
    /// it has room for counts as all of it.
    pub fn advance(&mut self, received: usize) {
        let (filled, room) = match &mut self.large {
            Some(large) => (&mut large.filled, large.body.len()),
            None => (&mut self.filled, self.chunk.len()),
        };
        *filled = filled.saturating_add(received).min(room);
    }

    /// The next whole frame, without its length; `None` until more bytes have arrived.
    ///
    /// # Errors
    ///
    /// [`DecodeError::BadLength`] and [`DecodeError::TooLarge`]: the stream cannot be read any
    /// further and must be reset. The error repeats.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, DecodeError> {
        if let Some(large) = self.large.take_if(|large| large.filled == large.len) {
            return Ok(Some(Bytes::from(large.body)));
        }
        if self.large.is_some() {
            return Ok(None);
        }
        let received = self.chunk.get(self.start..self.filled).unwrap_or_default();
        let length = varint::read(received).map_err(|_| DecodeError::BadLength)?;
        let Some((announced, body)) = length else { return Ok(None) };
        let limit = self.limit;
        let len = usize::try_from(announced).ok().filter(|len| *len <= limit);
        let len = len.ok_or(DecodeError::TooLarge { announced, limit: limit as u64 })?;
        if let Some(frame) = body.get(..len) {
            // Copied, so that a small block that is kept does not keep the whole chunk.
            let frame = Bytes::copy_from_slice(frame);
            self.start = self.filled - (body.len() - len);
            return Ok(Some(frame));
        }
        let header = received.len() - body.len();
        if header + len > self.chunk.len() {
            self.large = Some(Large::new(len, body));
            (self.start, self.filled) = (0, 0);
        }
        Ok(None)
    }

    /// Says that the stream has ended.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] within a frame.
    pub const fn finish(&self) -> Result<(), DecodeError> {
        if self.start < self.filled || self.large.is_some() {
            return Err(DecodeError::Truncated);
        }
        Ok(())
    }

    /// Whether a frame has begun and not ended: a peer that stops now keeps this memory in use.
    #[must_use]
    pub const fn is_mid_frame(&self) -> bool {
        self.finish().is_err()
    }

    /// The length of the frame that is arriving, in bytes, when it is one of more than 8 KiB: mostly one
    /// that carries a block. Shorter ones arrive at once, as good as always.
    #[must_use]
    pub fn arriving(&self) -> Option<usize> {
        self.large.as_ref().map(|large| large.len)
    }

    /// Gives back the memory in which nothing is waiting, while no more bytes are there to be read. A stream
    /// that rests costs nothing then.
    pub fn shrink(&mut self) {
        if self.start == self.filled {
            self.chunk = Vec::new();
            (self.start, self.filled) = (0, 0);
        }
    }

    /// Memory held for bytes of the stream (bytes).
    #[must_use]
    pub fn allocated(&self) -> usize {
        self.chunk.capacity() + self.large.as_ref().map_or(0, |large| large.body.capacity())
    }

    /// Memory that will be held for bytes of the stream once [`FrameDecoder::buffer_mut`] was called
    /// (bytes): whoever has no room for it does not call that.
    #[must_use]
    pub fn will_allocate(&self) -> usize {
        match &self.large {
            Some(large) => self.chunk.capacity() + large.body.capacity().max(large.next_len()),
            None => self.chunk.capacity().max(CHUNK),
        }
    }
}

impl Large {
    /// A frame of `len` bytes of which `received`, less than that, have arrived.
    fn new(len: usize, received: &[u8]) -> Self {
        Self { len, body: received.to_vec(), filled: received.len() }
    }

    /// How long the body is once there is room after what was received: twice as much in all, up to the
    /// frame's end.
    fn next_len(&self) -> usize {
        if self.filled < self.body.len() {
            return self.body.len();
        }
        self.len.min(self.filled.saturating_mul(2).max(FIRST_PIECE))
    }

    fn grow(&mut self) {
        let len = self.next_len();
        self.body.reserve_exact(len - self.body.len());
        self.body.resize(len, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `stream` in pieces of these sizes, over and over; the frames and how it ended.
    fn frames(
        limit: usize,
        stream: &[u8],
        sizes: &[usize],
    ) -> (Vec<Bytes>, Result<(), DecodeError>) {
        let mut decoder = FrameDecoder::new(limit);
        let mut rest = stream;
        let mut sizes = sizes.iter().cycle();
        let mut out = Vec::new();
        loop {
            loop {
                match decoder.next_frame() {
                    Ok(Some(frame)) => out.push(frame),
                    Ok(None) => break,
                    Err(error) => {
                        assert_eq!(decoder.next_frame(), Err(error), "errors repeat");
                        return (out, Err(error));
                    }
                }
            }
            if rest.is_empty() {
                assert_eq!(decoder.is_mid_frame(), decoder.finish().is_err());
                assert!(decoder.arriving().is_none_or(|len| len > CHUNK - 5));
                return (out, decoder.finish());
            }
            let expected = decoder.will_allocate();
            let buffer = decoder.buffer_mut();
            assert!(!buffer.is_empty());
            let size = (*sizes.next().unwrap()).min(rest.len()).min(buffer.len());
            buffer[..size].copy_from_slice(&rest[..size]);
            assert_eq!(decoder.allocated(), expected);
            decoder.advance(size);
            rest = &rest[size..];
        }
    }

    fn framed(body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        varint::put(&mut out, body.len() as u64);
        out.extend_from_slice(body);
        out
    }

    fn body(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at * 7 + at / 251) as u8).collect()
    }

    #[test]
    fn a_stream_cut_anywhere_gives_the_same_frames() {
        let bodies = [0, 1, 127, 128, 0, 300].map(body);
        let stream = bodies.iter().flat_map(|body| framed(body)).collect::<Vec<u8>>();
        for first in 0..=stream.len() {
            for second in [1, 2, 3, 200, stream.len()] {
                let (out, end) = frames(1 << 20, &stream, &[first.max(1), second]);
                assert_eq!(out, bodies);
                assert_eq!(end, Ok(()));
            }
        }
        for end in 0..stream.len() {
            let (out, result) = frames(1 << 20, &stream[..end], &[7]);
            let ends: Vec<usize> = (0..=bodies.len())
                .map(|count| bodies[..count].iter().map(|body| framed(body).len()).sum())
                .collect();
            assert_eq!(out.len(), ends.iter().filter(|at| **at <= end).count() - 1);
            let whole = ends.contains(&end);
            assert_eq!(result, if whole { Ok(()) } else { Err(DecodeError::Truncated) });
        }
    }

    #[test]
    fn frames_around_the_sizes_where_memory_changes() {
        let lens = [
            CHUNK - 3,
            CHUNK - 2,
            CHUNK - 1,
            CHUNK,
            CHUNK + 1,
            FIRST_PIECE - 1,
            FIRST_PIECE,
            FIRST_PIECE + 1,
            2 * FIRST_PIECE + 1,
            0,
        ];
        for len in lens {
            let bodies = [body(len), body(5), body(len), body(0)];
            let stream = bodies.iter().flat_map(|body| framed(body)).collect::<Vec<u8>>();
            for sizes in [&[usize::MAX][..], &[1000], &[CHUNK, 1], &[1, CHUNK - 1, 3]] {
                let (out, end) = frames(1 << 20, &stream, sizes);
                assert_eq!(out, bodies, "{len} {sizes:?}");
                assert_eq!(end, Ok(()));
            }
        }
    }

    #[test]
    fn four_mebibytes_are_the_most() {
        let whole = framed(&body(4 << 20));
        assert_eq!(frames(4 << 20, &whole, &[100_000]).0, [body(4 << 20)]);
        let mut decoder = FrameDecoder::default();
        let announced = (4 << 20) + 1;
        let length = [0x81, 0x80, 0x80, 0x02];
        decoder.buffer_mut()[..4].copy_from_slice(&length);
        decoder.advance(4);
        let error = DecodeError::TooLarge { announced, limit: 4 << 20 };
        assert_eq!(decoder.next_frame(), Err(error));
        assert_eq!(decoder.allocated(), CHUNK);
        let max = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        let error = DecodeError::TooLarge { announced: (1 << 63) - 1, limit: 9 };
        assert_eq!(frames(9, &max, &[1]), (vec![], Err(error)));
    }

    #[test]
    fn lengths_are_minimal_varints() {
        for bad in [&[0x80, 0x00][..], &[0x82, 0x80, 0x00, 1, 2], &[0xff; 9], &[0x80; 9]] {
            for size in 1..=bad.len() {
                assert_eq!(frames(100, bad, &[size]), (vec![], Err(DecodeError::BadLength)));
            }
        }
        // One byte short of being wrong it is only unfinished.
        assert_eq!(frames(100, &[0x80; 8], &[1]), (vec![], Err(DecodeError::Truncated)));
    }

    #[test]
    fn a_frame_keeps_only_itself_alive() {
        let stream = [framed(&body(100)), framed(&body(1 << 20))].concat();
        let (out, _) = frames(4 << 20, &stream, &[usize::MAX]);
        let starts: Vec<_> = out.iter().map(|frame| frame.as_ptr()).collect();
        for (frame, start) in out.into_iter().zip(starts) {
            let len = frame.len();
            let unique = frame.try_into_mut().unwrap();
            assert_eq!((unique.as_ptr(), unique.capacity()), (start, len));
        }
    }

    #[test]
    fn a_stream_that_rests_gives_its_memory_back_unless_something_waits_in_it() {
        let mut decoder = FrameDecoder::new(100);
        assert_eq!((decoder.allocated(), decoder.will_allocate()), (0, CHUNK));
        let feed = |decoder: &mut FrameDecoder, bytes: &[u8]| {
            decoder.buffer_mut()[..bytes.len()].copy_from_slice(bytes);
            decoder.advance(bytes.len());
        };
        feed(&mut decoder, &[2, 7]);
        assert_eq!(decoder.next_frame(), Ok(None));
        decoder.shrink();
        assert_eq!((decoder.allocated(), decoder.is_mid_frame()), (CHUNK, true));
        feed(&mut decoder, &[8]);
        assert_eq!(decoder.next_frame(), Ok(Some(Bytes::from_static(&[7, 8]))));
        decoder.shrink();
        assert_eq!((decoder.allocated(), decoder.is_mid_frame()), (0, false));
        feed(&mut decoder, &[1, 9]);
        assert_eq!(decoder.next_frame(), Ok(Some(Bytes::from_static(&[9]))));
    }
}
