//! What is moved: one list, so that every peer gets the same rows in both directions.

/// One row for each case.
macro_rules! rows {
    ($act:ident<$peer:ident>($runtime:expr, ...) $($name:ident: $case:expr,)*) => {$(
        #[tokio::test]
        async fn $name() {
            $act::<$peer>($runtime, $case).await;
        }
    )*};
}

/// The rows that every peer can do.
macro_rules! common {
    ($file:ident, $directory:ident, $peer:ident) => {
        use bitswap_runtime_async_std::AsyncStd;
        use bitswap_runtime_tokio::Tokio;

        use crate::rows::{FIFTY_MB, FIVE_MB, KIB, MIB_CHUNK, file};

        rows! { $file<$peer>(Tokio::current(), ...)
            one_byte: file(1),
            one_byte_cidv0: file(1).v0(),
            one_chunk: file(256 * KIB),
            one_chunk_cidv0: file(256 * KIB).v0(),
            fifty_megabytes_in_256_kib_chunks: file(FIFTY_MB),
            fifty_megabytes_in_1_mib_chunks: file(FIFTY_MB).chunks(MIB_CHUNK),
            fifty_megabytes_cidv0_in_256_kib_chunks: file(FIFTY_MB).v0(),
            fifty_megabytes_cidv0_in_1_mib_chunks: file(FIFTY_MB).v0().chunks(MIB_CHUNK),
            sha2_512_blocks: file(FIVE_MB).hash("sha2-512"),
        }
        rows! { $directory<$peer>(Tokio::current(), ...)
            a_directory: None,
            a_sharded_directory: Some(8),
        }
        rows! { $file<$peer>(AsyncStd, ...)
            one_byte_on_async_std: file(1),
            fifty_megabytes_on_async_std: file(FIFTY_MB),
            five_megabytes_cidv0_on_async_std: file(FIVE_MB).v0(),
        }
    };
}

/// The rows that need QUIC, older protocols or hashes that only Kubo has. They stand beside [`common!`].
macro_rules! kubo_only {
    ($file:ident, $peer:ident) => {
        use bitswap_core::Version;

        rows! { $file<$peer>(Tokio::current(), ...)
            fifty_megabytes_over_quic: file(FIFTY_MB).quic(),
            one_byte_over_quic: file(1).quic(),
            five_megabytes_cidv0_over_quic: file(FIVE_MB).v0().quic(),
            cidv1_on_1_1_0: file(FIVE_MB).speaking(Version::V1_1),
            cidv0_on_1_1_0: file(FIVE_MB).v0().speaking(Version::V1_1),
            cidv0_on_1_0_0: file(FIVE_MB).v0().speaking(Version::V1_0),
            cidv0_unversioned: file(FIVE_MB).v0().speaking(Version::Unversioned),
            blake2b_256_blocks: file(FIVE_MB).hash("blake2b-256"),
            blake3_blocks: file(FIVE_MB).hash("blake3"),
        }
    };
}
