//! What this crate reads and writes, against what the C sanlock wrote.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fixture;
mod in_use;
mod initial;
mod live;
