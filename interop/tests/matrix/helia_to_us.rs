//! Helia 7 serves, our node fetches.

use bitswap_interop::Helia;
use bitswap_runtime_async_std::AsyncStd;
use bitswap_runtime_tokio::Tokio;

use crate::rows::{Case, FIFTY_MB, FIVE_MB, KIB, MIB_CHUNK, directory_from, file, from};

async fn moves(case: Case) {
    from::<Helia>(Tokio::current(), case).await;
}

#[tokio::test]
async fn one_byte() {
    moves(file(1)).await;
}

#[tokio::test]
async fn one_byte_cidv0() {
    moves(file(1).v0()).await;
}

#[tokio::test]
async fn one_chunk() {
    moves(file(256 * KIB)).await;
}

#[tokio::test]
async fn one_chunk_cidv0() {
    moves(file(256 * KIB).v0()).await;
}

#[tokio::test]
async fn fifty_megabytes_in_256_kib_chunks() {
    moves(file(FIFTY_MB)).await;
}

#[tokio::test]
async fn fifty_megabytes_in_1_mib_chunks() {
    moves(file(FIFTY_MB).chunks(MIB_CHUNK)).await;
}

#[tokio::test]
async fn fifty_megabytes_cidv0_in_256_kib_chunks() {
    moves(file(FIFTY_MB).v0()).await;
}

#[tokio::test]
async fn fifty_megabytes_cidv0_in_1_mib_chunks() {
    moves(file(FIFTY_MB).v0().chunks(MIB_CHUNK)).await;
}

#[tokio::test]
async fn sha2_512_blocks() {
    moves(file(FIVE_MB).hash("sha2-512")).await;
}

#[tokio::test]
async fn a_directory_block_by_block() {
    directory_from::<Helia>(Tokio::current(), None).await;
}

#[tokio::test]
async fn a_sharded_directory_block_by_block() {
    directory_from::<Helia>(Tokio::current(), Some(8)).await;
}

#[tokio::test]
async fn one_byte_on_async_std() {
    from::<Helia>(AsyncStd, file(1)).await;
}

#[tokio::test]
async fn fifty_megabytes_on_async_std() {
    from::<Helia>(AsyncStd, file(FIFTY_MB)).await;
}

#[tokio::test]
async fn five_megabytes_cidv0_on_async_std() {
    from::<Helia>(AsyncStd, file(FIVE_MB).v0()).await;
}
