//! Memory follows what a peer sent, not what it announced.
//!
//! A process of one thread and without a test harness, so that nothing else allocates meanwhile.

use std::alloc::System;

use bitswap_core::message::{FrameDecoder, decode};
use bytes::Bytes;
use cap::Cap;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// The memory of everything that is allocated, less `before`.
fn used(before: usize) -> usize {
    ALLOCATOR.allocated().saturating_sub(before)
}

fn feed(decoder: &mut FrameDecoder, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        assert_eq!(decoder.next_frame(), Ok(None));
        let buffer = decoder.buffer_mut();
        let size = bytes.len().min(buffer.len()).min(1000);
        buffer[..size].copy_from_slice(&bytes[..size]);
        decoder.advance(size);
        bytes = &bytes[size..];
    }
    assert_eq!(decoder.next_frame(), Ok(None));
}

fn main() {
    memory_follows_what_arrived();
    decoding_takes_the_memory_of_a_limited_number_of_items();
    println!("2 passed, 0 failed");
}

fn memory_follows_what_arrived() {
    // A peer announces 4 MiB, of which one more kilobyte arrives at a time.
    let before = ALLOCATOR.allocated();
    let mut decoder = FrameDecoder::default();
    assert_eq!(used(before), 0);
    feed(&mut decoder, &[0x80, 0x80, 0x80, 0x02]);
    let piece = [7; 1024];
    for arrived in (0..4 << 20).step_by(piece.len()) {
        let held = used(before);
        assert_eq!(held, decoder.allocated());
        assert!(held <= 2 * arrived + (72 << 10), "{held} bytes held for {arrived}");
        if arrived + piece.len() < 4 << 20 {
            feed(&mut decoder, &piece);
        }
    }
    drop(decoder);
    assert_eq!(used(before), 0);

    // Many frames leave nothing behind but the chunk.
    let mut decoder = FrameDecoder::default();
    for _ in 0..1000 {
        let buffer = decoder.buffer_mut();
        buffer[..4].copy_from_slice(&[3, 1, 2, 3]);
        decoder.advance(4);
        assert_eq!(decoder.next_frame().unwrap().unwrap(), [1, 2, 3].as_slice());
        assert_eq!(decoder.next_frame(), Ok(None));
    }
    assert_eq!(used(before), decoder.allocated());
}

fn decoding_takes_the_memory_of_a_limited_number_of_items() {
    // 4 MiB of the smallest items of each kind, and of empty fields of all kinds.
    let empty_prefix: &[u8] = &[0x1a, 0x06, 0x0a, 0x04, 0x01, 0x55, 0x12, 0x20];
    for item in [&[0x12, 0x00][..], empty_prefix, &[0x0a, 0x00], &[0x78, 0x00], &[0x7a, 0x00]] {
        hostile(item.repeat((4 << 20) / item.len()));
    }
    let entry: &[u8] = &[0x0a, 0x08, 0x0a, 0x06, 0x0a, 0x04, 0x01, 0x55, 0x00, 0x00];
    hostile(entry.repeat((4 << 20) / entry.len()));
    let presence: &[u8] = &[0x22, 0x06, 0x0a, 0x04, 0x01, 0x55, 0x00, 0x00];
    hostile(presence.repeat((4 << 20) / presence.len()));
}

/// Beyond the frame itself, decoding takes the memory of 8192 items, twice while their list grows, and a
/// number for each while those of one CID are merged.
fn hostile(frame: Vec<u8>) {
    let frame = Bytes::from(frame);
    let before = ALLOCATOR.allocated();
    let total = ALLOCATOR.total_allocated();
    let decoded = decode(&frame).unwrap();
    assert!(used(before) <= 2 << 20, "{} bytes held", used(before));
    let total = ALLOCATOR.total_allocated() - total;
    assert!(total <= 3 << 20, "{total} bytes in all");
    drop(decoded);
    // What is left is the frame's own count of its holders.
    assert!(used(before) <= 64, "{} bytes left", used(before));
}
