//! What this build is.

/// The version, the commit that it was built from if that is known, and what was built in.
pub(crate) fn long() -> String {
    let commit = option_env!("BITSWAP_COMMIT").map(|commit| format!(" ({commit})"));
    let features = [
        ("quic", cfg!(feature = "quic")),
        ("tls", cfg!(feature = "tls")),
        ("websocket", cfg!(feature = "websocket")),
    ];
    let built: Vec<_> = features.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
    let features = if built.is_empty() { "none".to_owned() } else { built.join(", ") };
    let version = env!("CARGO_PKG_VERSION");
    format!("{version}{}\nfeatures: {features}", commit.unwrap_or_default())
}
