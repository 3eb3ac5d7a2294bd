//! Test tools: simulated time and seeded chance, objects that fail on purpose, a file system
//! that loses power, and disks in memory.
//!
//! Everything here is deterministic: a test that prints its seed can be run again.

mod crash;
mod disk;
mod fault;
mod files;
mod journal;
mod sim;
mod stage;

pub use crash::{CrashFiles, Flush, Luck};
pub use disk::{Memory, Progress, Rng, Target};
pub use fault::{Fault, Faulty, Operation};
pub use files::{FaultyFiles, FileOperation};
pub use journal::{Image, Journal, Replay, Sync};
pub use sim::{SimChance, SimClock, sim_env};
pub use stage::{Actor, Stage, Step};
