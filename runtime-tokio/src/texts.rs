//! What a domain says of itself: TXT records.

use std::io;
use std::net::SocketAddr;

use futures::future::BoxFuture;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use tokio::runtime::Handle;

/// Asks the system's resolver, or one server.
pub(super) fn lookup(
    runtime: Handle,
    domain: String,
    server: Option<SocketAddr>,
) -> BoxFuture<'static, io::Result<Vec<String>>> {
    let asked = async move {
        let answer = resolver(server)?.lookup(domain, RecordType::TXT).await;
        let answer = answer.map_err(|error| match error.is_no_records_found() {
            true => io::Error::new(io::ErrorKind::NotFound, error),
            false => io::Error::other(error),
        })?;
        let text = |data: &RData| match data {
            RData::TXT(text) => String::from_utf8(text.txt_data.concat()).ok(),
            _ => None,
        };
        Ok(answer.answers().iter().filter_map(|record| text(&record.data)).collect())
    };
    // The resolver starts tasks, whoever waits for it.
    let task = runtime.spawn(asked);
    Box::pin(async move { task.await.map_err(io::Error::other)? })
}

fn resolver(server: Option<SocketAddr>) -> io::Result<TokioResolver> {
    let builder = match server {
        None => TokioResolver::builder_tokio().map_err(io::Error::other)?,
        Some(server) => {
            let mut asked = NameServerConfig::udp_and_tcp(server.ip());
            asked.connections.iter_mut().for_each(|by| by.port = server.port());
            let config = ResolverConfig::from_parts(None, Vec::new(), vec![asked]);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        }
    };
    builder.build().map_err(io::Error::other)
}
