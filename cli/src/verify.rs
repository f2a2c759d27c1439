//! `bitswap verify`

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bitswap_core::ByteSize;
use bitswap_node::{Difference, Hashed, Node, OnDisk, Runtime, ShareError, Verified};
use serde_json::{Value, json};

use crate::args;
use crate::failure::Failure;
use crate::peers::{self, Fetcher};
use crate::plain::Plain;
use crate::progress::Shown;
use crate::resolve;
use crate::say::Say;

pub(crate) async fn run(
    mut args: args::Verify,
    runtime: &Arc<dyn Runtime>,
    say: &Say,
) -> Result<(), Failure> {
    args.sources.node.must_not_be_denied(&args.what)?;
    args.sources.ask_where([&args.what]);
    if args.what.path.is_empty() && is_reproduced(&args, runtime, say).await? {
        equal(&args, None, 0, say);
        return Ok(());
    }
    let Fetcher { node, mut late, metrics: _metrics } =
        peers::connected(&args.sources, runtime, say).await?;
    let mut root = args.what.cid;
    if !args.what.path.is_empty() {
        root = resolve::resolved(&node, &mut late, &args.sources, &args.what, say).await?.cid;
    }
    let report = |path: &Path, difference: Difference| {
        let shown = if path.as_os_str().is_empty() { &args.path } else { path };
        say.result(Line(shown, &difference), &object(path, &difference));
    };
    let verifying =
        async { Ok(node.verify(&args.path, root, peers::session(&args.sources), report).await?) };
    let verified = resolve::attend(&node, &mut late, &args.sources, say, verifying).await?;
    let received = node.stats().await?.bitswap.engine.fetched.bytes;
    node.shutdown().await;
    if verified.differences == 0 {
        equal(&args, Some(verified), received, say);
        return Ok(());
    }
    say.object(&json!({
        "event": "verified", "equal": false, "differences": verified.differences,
        "equal_files": verified.files, "equal_bytes": verified.size, "bytes_from_peers": received,
    }));
    let (path, cid) = (args.path, args.what.to_string());
    Err(Failure::Differs { path, cid, differences: verified.differences })
}

/// Whether what is on disk has the CID when it is cut as usual. Nobody is asked for that.
async fn is_reproduced(
    args: &args::Verify,
    runtime: &Arc<dyn Runtime>,
    say: &Say,
) -> Result<bool, Failure> {
    let node = Node::builder(runtime.clone()).start().await?;
    let (mut shown, start) = (Shown::new(say), Instant::now());
    let progress = |hashed: Hashed| shown.hashing(hashed, start.elapsed());
    let has_cid = node.has_cid(&args.path, args.what.cid, progress).await;
    node.shutdown().await;
    match has_cid {
        Err(ShareError::NodeClosed(error)) => Err(error.into()),
        // What cannot be cut, such as a folder with a pipe in it, can still be compared.
        has_cid => Ok(has_cid.unwrap_or(false)),
    }
}

fn equal(args: &args::Verify, verified: Option<Verified>, received: u64, say: &Say) {
    let (path, cid) = (args.path.display().to_string(), args.what.to_string());
    let mut object = json!({
        "event": "verified", "equal": true, "differences": 0, "bytes_from_peers": received,
    });
    let how = match verified {
        Some(Verified { files, size, .. }) => {
            (object["equal_files"], object["equal_bytes"]) = (json!(files), json!(size));
            format!("{files} files, {}", ByteSize(size))
        }
        None => "it is cut into the same blocks".to_owned(),
    };
    say.result(format_args!("{}: equal to {cid} ({how})", Plain(&path)), &object);
}

fn object(path: &Path, difference: &Difference) -> Value {
    let mut object = json!({"event": "difference", "path": path.to_string_lossy()});
    object["difference"] = json!(kind(difference));
    match difference {
        Difference::Type { expected, found } => {
            (object["expected"], object["found"]) = (json!(name(*expected)), json!(name(*found)));
        }
        Difference::Target { expected, found } => {
            (object["expected"], object["found"]) = (json!(expected), json!(found));
        }
        Difference::Bytes { size, ranges } => {
            object["size"] = json!(size);
            let ranges = ranges.iter().map(|range| json!([range.start, range.end]));
            object["ranges"] = ranges.collect();
        }
        _ => {}
    }
    object
}

const fn kind(difference: &Difference) -> &'static str {
    match difference {
        Difference::Missing => "missing",
        Difference::Extra => "extra",
        Difference::Type { .. } => "type",
        Difference::Target { .. } => "target",
        _ => "bytes",
    }
}

const fn name(kind: OnDisk) -> &'static str {
    match kind {
        OnDisk::File => "file",
        OnDisk::Directory => "directory",
        OnDisk::Symlink => "symlink",
        _ => "special",
    }
}

/// Ranges of a file that are shown to people; programs get all of them.
const RANGES_SHOWN: usize = 8;

/// A difference for people.
struct Line<'a>(&'a Path, &'a Difference);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(path, difference) = self;
        write!(f, "{:<8} {}", kind(difference), Plain(&path.to_string_lossy()))?;
        match difference {
            Difference::Type { expected, found } => {
                write!(f, ": {}, not {}", name(*found), name(*expected))
            }
            Difference::Target { expected, found } => {
                let found = found.to_string_lossy();
                write!(f, ": -> {}, not {}", Plain(&found), Plain(expected))
            }
            Difference::Bytes { ranges, .. } => {
                for (at, Range { start, end }) in ranges.iter().take(RANGES_SHOWN).enumerate() {
                    write!(f, "{} {start}-{}", if at == 0 { ":" } else { "," }, end - 1)?;
                }
                match ranges.len().saturating_sub(RANGES_SHOWN) {
                    0 => Ok(()),
                    more => write!(f, ", and {more} more ranges"),
                }
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_one_line_whatever_it_is() {
        let line = |difference: Difference| Line(Path::new("a\nb"), &difference).to_string();
        assert_eq!(line(Difference::Missing), "missing  a\\nb");
        assert_eq!(line(Difference::Extra), "extra    a\\nb");
        let difference = Difference::Type { expected: OnDisk::File, found: OnDisk::Directory };
        assert_eq!(line(difference), "type     a\\nb: directory, not file");
        let difference = Difference::Target { expected: "x\x07".to_owned(), found: "y".into() };
        assert_eq!(line(difference), "target   a\\nb: -> y, not x\\u{7}");
        let ranges = (0..10).map(|at| at * 10..at * 10 + 5).collect();
        assert_eq!(
            line(Difference::Bytes { size: Some(100), ranges }),
            "bytes    a\\nb: 0-4, 10-14, 20-24, 30-34, 40-44, 50-54, 60-64, 70-74, and 2 more ranges"
        );
    }
}
