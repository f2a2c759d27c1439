//! The server half through the engine's front door: exact outputs at exact times.

mod harness;
mod limits;
mod loads;
mod new_blocks;
mod sent;
mod shares;
mod slow_readers;
mod wants;
