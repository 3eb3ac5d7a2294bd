//! Test tools: simulated time and seeded chance, objects that fail on purpose, a file system
//! that loses power, a network that fails, disks in memory, and the promises of object stores as
//! tests for any of them.
//!
//! Everything here is deterministic: a test that prints its seed can be run again.

mod calm;
pub mod conformance;
mod crash;
mod disk;
mod fault;
mod files;
mod journal;
pub mod journey;
mod room;
mod sample;
mod sim;
mod stage;
mod wire;

pub use crash::{CrashFiles, Flush, Luck};
pub use disk::{Memory, Progress, Rng, Target};
pub use fault::{Fault, Faulty, Operation};
pub use files::{FaultyFiles, FileOperation};
pub use journal::{Image, Journal, Replay, Sync};
pub use room::Room;
pub use sample::{key, secret, small};
pub use sim::{SimChance, SimClock, sim_env};
pub use stage::{Actor, Stage, Step};
pub use wire::{Wire, WireFault, WireRequest};
