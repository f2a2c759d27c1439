//! Tells the command which commit it is built from, where that is known.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=BITSWAP_COMMIT");
    // Packagers who build from an archive say it; a clone knows it; and otherwise nobody needs to.
    let commit = std::env::var("BITSWAP_COMMIT").ok().or_else(|| {
        // A crate of the registry is unpacked where another project's repository may be around it.
        git(&["ls-files", "--error-unmatch", "build.rs"])?;
        // It changes with the head, and with what the head leads to.
        let head = git(&["rev-parse", "--git-path", "HEAD"])?;
        println!("cargo::rerun-if-changed={head}");
        if let Some(branch) = git(&["symbolic-ref", "-q", "HEAD"])
            && let Some(file) = git(&["rev-parse", "--git-path", &branch])
            && std::path::Path::new(&file).exists()
        {
            println!("cargo::rerun-if-changed={file}");
        }
        git(&["rev-parse", "--short=10", "HEAD"])
    });
    if let Some(commit) = commit {
        println!("cargo::rustc-env=BITSWAP_COMMIT={commit}");
    }
}

/// What git says; nothing where there is no git, or this is no clone.
fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
