//! Compares with the C daemon: our client gets what libsanlock gets, replies decoded and encoded again are the
//! daemon's own bytes, and malformed requests are answered as our decoder says.
//!
//! The daemon is `/usr/sbin/sanlock` or what `$SANLOCK_UPSTREAM` names.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../../../daemon/tests/common/harness.rs"]
mod harness;

mod client;
mod daemon;
mod wire;

use std::process::ExitCode;

fn main() -> ExitCode {
    harness::run(&[
        ("the_client_gets_on_with_the_c_daemon", client::client),
        ("resource_indexes_work_with_the_c_daemon", client::rindexes),
        ("replies_encoded_again_are_the_daemons_bytes", wire::replies),
        (
            "malformed_requests_are_answered_as_the_decoder_says",
            wire::malformed,
        ),
    ])
}
