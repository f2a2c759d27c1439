//! Small containers that know nothing of Bitswap.

pub(crate) mod deque;
pub(crate) mod list;
pub(crate) mod rows;
pub(crate) mod side_table;
pub(crate) mod ticket_queue;
