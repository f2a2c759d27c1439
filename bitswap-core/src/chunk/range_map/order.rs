//! The order in which ranges are requested.

/// In which order ranges are requested.
///
/// It is that in which a download wants blocks. An engine may ask for those that are not urgent in another one while some of
/// the session's peers fetch themselves ([`Want::priority`](crate::Want::priority)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Order {
    /// By position.
    #[default]
    Sequential,
    /// Nodes first, then the block that the fewest peers have, as far as the host says (see
    /// [`Download::set_holders`](crate::chunk::Download::set_holders)); equals by position.
    Rarest,
    /// From the reader's position (see [`Download::seek`](crate::chunk::Download::seek)) to the end, then from the start.
    Deadline,
    /// Nodes first, then blocks in an order drawn from the seed.
    Random,
}
