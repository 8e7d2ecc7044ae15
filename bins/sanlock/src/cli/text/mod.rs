//! The original's text, made from typed answers. Programs read it: every blank counts.

pub mod dump;
pub mod hosts;
pub mod leader;
pub mod leases;
mod line;
pub mod status;
mod version;

pub use line::Line;
#[cfg(test)]
pub(crate) use line::joined;
pub use version::versions;
