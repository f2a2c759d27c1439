//! What real peers do that nobody would guess, one test each: the name says what it guards.

mod common;
mod connections;
mod embedder;
mod late_blocks;
mod many_wants;
mod odd_blocks;
mod presences;
mod streams;
mod wantlists;
