//! What the ids and places of connected peers stand for.

/// A connected peer: the kind of its [`Id`](crate::util::rows::Id) and [`Ref`](crate::util::rows::Ref).
#[derive(Debug)]
pub(crate) enum Peer {}
