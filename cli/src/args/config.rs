//! `bitswap config`: the arguments.

use clap::Subcommand;

/// `bitswap config`
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the settings of all commands that are from the configuration file or the environment, or all settings of
    /// one.
    Show(Show),
}

/// `bitswap config show`
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The command, as `get`: all its settings are printed, the defaults too.
    #[arg(value_name = "COMMAND", value_parser = ["add", "cat", "check", "demo", "doctor", "get", "ls", "publish", "resolve", "share", "verify"])]
    pub(crate) command: Option<String>,
}
