//! What `bitswap get` may choose from.

use bitswap_core::chunk::Order;
use clap::ValueEnum;

/// What to do when the target exists.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum IfExistsArg {
    /// Fail, with exit code 5. The same file again is not fetched and no failure.
    #[default]
    Refuse,
    /// Replace it, once the new file is complete.
    Replace,
    /// Put a number into the new file's name.
    Unique,
}

/// In which order blocks are asked for.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum OrderArg {
    /// From the beginning of the file to its end.
    #[default]
    Sequential,
    /// What the fewest of the connected machines have: all count as having it but those that want it themselves.
    Rarest,
    /// In random order: several who get a file from one machine then have different parts to give to each other.
    Random,
    /// From the beginning, and what comes next before everything else that is asked of the same machines.
    Deadline,
}

impl OrderArg {
    /// The order.
    pub(crate) const fn order(self) -> Order {
        match self {
            Self::Sequential => Order::Sequential,
            Self::Rarest => Order::Rarest,
            Self::Random => Order::Random,
            Self::Deadline => Order::Deadline,
        }
    }
}

/// What of an interrupted get is hashed again.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum CheckArg {
    /// All of it. With the others the file is called verified only if all of it was hashed after all.
    #[default]
    Full,
    /// A few pieces, and all of it if one is wrong or the file was written to since.
    Sample,
    /// Nothing, or all of it if the file was written to since.
    Changed,
}
