//! The node's counters as OpenMetrics.

mod families;
mod http;
mod server;

pub use server::MetricsServer;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;

use crate::error::NodeClosed;
use crate::node::{Node, NodeHistograms, NodeStats};

/// The counters of a [`Node`] for a registry of the crate `prometheus-client`; made by [`Node::metrics`]. Clones have the
/// same counters.
///
/// A registry encodes without waiting, and the counters are in the node's task: so a program that has a registry of its
/// own calls [`Self::refresh`] before it encodes. `docs/metrics.md` lists all names.
#[derive(Clone)]
pub struct Metrics {
    node: Node,
    latest: Arc<Mutex<Counters>>,
}

/// What is encoded.
#[derive(Clone, Copy)]
struct Counters {
    stats: NodeStats,
    histograms: NodeHistograms,
    held_bytes: u64,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Metrics").field(&self.node).finish()
    }
}

impl Node {
    /// The node's counters as OpenMetrics. It is a handle to the node as any other: the node runs while there is one.
    ///
    /// # Errors
    ///
    /// When the node has stopped.
    pub async fn metrics(&self) -> Result<Metrics, NodeClosed> {
        let latest = Arc::new(Mutex::new(Counters::of(self).await?));
        Ok(Metrics { node: self.clone(), latest })
    }
}

impl Counters {
    async fn of(node: &Node) -> Result<Self, NodeClosed> {
        let (stats, histograms) = (node.stats().await?, node.histograms().await?);
        Ok(Self { stats, histograms, held_bytes: node.held_bytes().await? })
    }
}

impl Metrics {
    /// Asks the node for its counters: what is encoded from now on.
    ///
    /// # Errors
    ///
    /// When the node has stopped.
    pub async fn refresh(&self) -> Result<(), NodeClosed> {
        let now = Counters::of(&self.node).await?;
        // Nothing under the lock panics.
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = now;
        Ok(())
    }

    /// Refreshed, in the text format of OpenMetrics.
    ///
    /// # Errors
    ///
    /// When the node has stopped.
    pub async fn to_text(&self) -> Result<String, NodeClosed> {
        self.refresh().await?;
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self.clone()));
        let mut encoded = String::new();
        text::encode(&mut encoded, &registry).expect("a string takes all that is written");
        Ok(encoded)
    }

    fn latest(&self) -> Counters {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Metrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        families::encode(&self.latest(), self.node.runtime().name(), encoder)
    }
}
