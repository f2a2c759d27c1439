//! Our node and each real peer, both ways. A row is `server_to_client::what_is_moved`; what a row proves
//! is in `rows`.

mod helia_to_us;
mod kubo_old_to_us;
mod kubo_to_us;
mod peer;
mod rows;
mod us_to_helia;
mod us_to_kubo;
mod us_to_kubo_old;
