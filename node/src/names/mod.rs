//! Names that can change: those of IPNS, which belong to a key, and those of DNSLink, which belong to a domain.
//!
//! A name stands for a path, `/ipfs/CID/…`, or for another name. Records of IPNS are looked for in the DHT and believed
//! only with their signature; the records of a domain are as good as the DNS server that is asked.

mod cache;
mod name;
mod path;
mod protobuf;
mod publish;
mod record;
mod resolve;

pub use name::{IpnsName, NoIpnsName};
pub use path::{NamePath, NamePathError, Root};
pub use publish::{PublishError, PublishOptions};
pub use record::{IpnsRecord, RecordFault};
pub use resolve::{NameError, ResolvedName};

pub(crate) use cache::Names;
#[cfg(test)]
pub(crate) use record::Terms;
pub(crate) use resolve::DhtFault;
