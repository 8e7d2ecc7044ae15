//! Byte for byte: what the C program leaves on disk, and what we leave there after the same operation on
//! the same bytes at the same time.
//!
//! Skipped if the C program is not installed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod daemon;
mod images;
mod pair;
