//! What this build is.

/// The version, the commit that it was built from if that is known, and what was built in.
pub(crate) fn long() -> String {
    let commit = option_env!("BITSWAP_COMMIT").map(|commit| format!(" ({commit})"));
    let features = if cfg!(feature = "quic") { "quic" } else { "none" };
    let version = env!("CARGO_PKG_VERSION");
    format!("{version}{}\nfeatures: {features}", commit.unwrap_or_default())
}
