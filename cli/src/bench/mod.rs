//! `bitswap bench`: how fast blocks of each size go between two machines, beside a bare stream.

mod bare;
mod content;
mod get;
mod serve;

use std::sync::Arc;

use bitswap_node::Runtime;

use crate::args::{self, Role};
use crate::failure::Failure;
use crate::say::Say;

pub(crate) async fn run(
    args: args::Bench,
    runtime: &Arc<dyn Runtime>,
    say: &Say,
) -> Result<(), Failure> {
    match &args.role {
        Role::Serve => serve::run(&args, runtime, say).await,
        Role::Get(address) => get::run(address.clone(), &args, runtime, say).await,
    }
}
