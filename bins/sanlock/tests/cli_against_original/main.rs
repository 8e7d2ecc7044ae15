//! Every action of the command line, with the original program and with ours, against the original's
//! daemon and on equal disks. What programs may read, standard output and exit status, must be equal.
//!
//! The original is looked for at `$SANLOCK_ORIGINAL` or `/usr/sbin/sanlock`; where it is missing these
//! tests say so and do nothing. Both 3.8.5 and 3.9.5 will do: where the two differ ours is as 3.9.5, and
//! such lines are compared only with that.

#![allow(
    clippy::unwrap_used,
    reason = "a test says by panicking that it failed"
)]

mod client;
mod direct;
mod original;
mod parsing;
