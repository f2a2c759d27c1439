//! Something for each of the two streams.

use bitswap_core::StreamKind;

/// A value for each stream.
#[derive(Debug, Default)]
pub(crate) struct PerStream<T> {
    requests: T,
    responses: T,
}

impl<T> PerStream<T> {
    pub(crate) const fn get(&self, kind: StreamKind) -> &T {
        match kind {
            StreamKind::Requests => &self.requests,
            StreamKind::Responses => &self.responses,
        }
    }

    pub(crate) const fn get_mut(&mut self, kind: StreamKind) -> &mut T {
        match kind {
            StreamKind::Requests => &mut self.requests,
            StreamKind::Responses => &mut self.responses,
        }
    }
}
