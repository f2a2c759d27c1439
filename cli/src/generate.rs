//! `bitswap generate`: files that packages have beside the command.

use std::path::Path;

use clap::ValueEnum as _;
use clap_complete::Shell;

use crate::args::{Generate, parser};
use crate::failure::Failure;

/// Writes completions for every shell, and a manual page for every command.
pub(crate) fn run(args: &Generate) -> Result<(), Failure> {
    let directory = &args.directory;
    let failed = |source| Failure::Generate { directory: directory.clone(), source };
    write(directory).map_err(failed)
}

fn write(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    for shell in Shell::value_variants() {
        clap_complete::generate_to(*shell, &mut parser(), "bitswap", directory)?;
    }
    clap_mangen::generate_to(parser().disable_help_subcommand(true), directory)
}
