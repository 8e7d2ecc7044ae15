//! A cluster of lease daemons on one simulated disk, in one process, from one seed, under virtual time.
//!
//! Each simulated host runs the daemon's real manager over simulated storage and wdmd's real state machine over
//! a simulated watchdog device, with a clock and processes of its own. A plan of faults follows from the seed. A checker watches what
//! processes were told that they hold and what lands on the disk, and says when something happens that must
//! never happen; at the end, when the faults are over, everything must work again soon.

pub mod admin;
pub mod checker;
pub mod clock;
pub mod connection;
pub mod device;
mod disk;
pub mod faults;
pub mod gate;
#[cfg(feature = "hazards")]
pub mod hazards;
pub mod host;
pub mod inject;
pub mod layout;
pub mod log;
pub mod machine;
pub mod moments;
pub mod process;
pub mod quiet;
pub mod random;
pub mod report;
pub mod run;
pub mod scenario;
pub mod theme;
pub mod trace;
pub mod watchdog;
pub mod world;
