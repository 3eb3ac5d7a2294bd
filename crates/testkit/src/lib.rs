//! Test tools: simulated time and seeded chance, objects that fail on purpose, and disks made of
//! a model.
//!
//! Everything here is deterministic: a test that prints its seed can be run again.

mod disk;
mod fault;
mod sim;

pub use disk::{Memory, Progress, Rng, Target};
pub use fault::{Fault, Faulty, Operation};
pub use sim::{SimClock, SimChance, sim_env};
