//! `bitswap ls`

use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use bitswap_core::ByteSize;
use bitswap_core::chunk::{EntryKind, Link, TreeEntry};
use bitswap_node::Runtime;
use futures::StreamExt as _;
use serde_json::json;

use crate::args;
use crate::failure::Failure;
use crate::peers::{self, Fetcher};
use crate::plain::Plain;
use crate::resolve;
use crate::say::Say;

pub(crate) async fn run(
    mut args: args::Ls,
    runtime: &Arc<dyn Runtime>,
    say: &Say,
) -> Result<(), Failure> {
    args.sources.ask_where(args.what.cid());
    let Fetcher { node, mut late, metrics: _metrics } =
        peers::connected(&args.sources, runtime, say).await?;
    let sources = &args.sources;
    let what = &resolve::known(&node, &mut late, sources, &args.what, say).await?;
    let root = resolve::resolved(&node, &mut late, sources, what, say).await?;
    let is_directory = resolve::is_directory(&root);
    let listing = async {
        let mut entries = pin!(node.list(root.cid, peers::session(sources)).await?);
        while let Some(entry) = entries.next().await {
            let mut entry = entry?;
            // The first is the folder itself, and a file the only one.
            if entry.path.is_root() {
                if is_directory {
                    continue;
                }
                entry.link = Link::Block(root.cid);
            }
            let name = match entry.path.is_root() {
                true => what.name().unwrap_or_default().to_owned(),
                false => entry.path.name().to_owned(),
            };
            print(&name, &entry, say);
        }
        Ok(())
    };
    resolve::attend(&node, &mut late, sources, say, listing).await?;
    node.shutdown().await;
    Ok(())
}

fn print(name: &str, entry: &TreeEntry, say: &Say) {
    let cid = match &entry.link {
        Link::Block(cid) => Some(cid.to_string()),
        Link::Inline { .. } => None,
    };
    let (kind, size, target) = match &entry.kind {
        EntryKind::File { size, .. } => ("file", *size, None),
        EntryKind::Directory(_) => ("directory", entry.tsize, None),
        EntryKind::Symlink { target } => ("symlink", 0, Some(target.as_str())),
        EntryKind::Other { .. } => ("other", entry.tsize, None),
    };
    let mut object = json!({"event": "entry", "name": name, "type": kind, "size": size});
    if let Some(cid) = &cid {
        object["cid"] = json!(cid);
    }
    if let Some(target) = target {
        object["target"] = json!(target);
    }
    if let EntryKind::Other { codec } = entry.kind {
        object["codec"] = json!(codec);
    }
    let cid = cid.as_deref().unwrap_or("(inline)");
    let line = Line { kind, size, cid, name, target };
    say.result(line, &object);
}

/// An entry for people: what it is, its size, its CID, its name. Characters that could do something to a
/// terminal are written out.
struct Line<'a> {
    kind: &'a str,
    size: u64,
    cid: &'a str,
    name: &'a str,
    target: Option<&'a str>,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, size, cid, name, target } = self;
        let size = match *kind {
            "symlink" => String::new(),
            _ => ByteSize(*size).to_string(),
        };
        write!(f, "{kind:<9} {size:>10}  {cid}  {}", Plain(name))?;
        match (*kind, target) {
            ("directory", _) => f.write_str("/"),
            (_, Some(target)) => write!(f, " -> {}", Plain(target)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_write_over_the_terminal() {
        let line = |kind, name, target| {
            Line { kind, size: 1 << 20, cid: "bafy", name, target }.to_string()
        };
        assert_eq!(
            line("file", "a\x1b[2Jé\n", None),
            "file         1.0 MiB  bafy  a\\u{1b}[2Jé\\n"
        );
        assert_eq!(line("directory", "d", None), "directory    1.0 MiB  bafy  d/");
        assert_eq!(
            line("symlink", "l", Some("../x\x07")),
            "symlink               bafy  l -> ../x\\u{7}"
        );
    }
}
