//! The client half through the engine's front door: exact outputs at exact times.

mod answers;
mod asking;
mod deadlines;
mod download_limits;
mod driver;
mod end_game;
mod ends;
mod missing;
mod preferring;
mod sessions;
mod streams;
mod unsolicited;
