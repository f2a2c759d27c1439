//! The server half through the engine's front door: exact outputs at exact times.

mod limits;
mod loads;
mod new_blocks;
mod rig;
mod sent;
mod shares;
mod slow_readers;
mod wants;
