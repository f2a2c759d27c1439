//! Memory that is used again and again stays with the process.

use std::hint::black_box;

/// The largest block whose release glibc learns from is 32 MiB, its own bookkeeping included.
const LEARNT: usize = (32 << 20) - (64 << 10);

/// Teaches the allocator that large blocks come and go.
///
/// glibc takes each block of more than 128 KiB from the kernel and gives it back at once, until it
/// sees one released: from then on it keeps blocks of that size, and free memory of twice as much. The
/// blocks of a file have a size of up to 2 MiB, so without this most of them are new memory, which
/// the kernel has to find and to clear: a seventh of the speed of a transfer. Other allocators see
/// a block that is never touched, which costs nothing.
pub(crate) fn keep_large_blocks() {
    drop(black_box(Vec::<u8>::with_capacity(LEARNT)));
}
