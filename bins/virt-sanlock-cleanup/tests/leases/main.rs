//! The program, with lease daemons: two hosts that share a directory of leases.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    dead_code
)]

#[path = "../../../../crates/daemon/tests/common/harness.rs"]
mod harness;

mod hostile;
mod hosts;
mod races;
mod replaced;

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::var_os(hosts::DAEMON).is_some() {
        return sanlock::cli::main(sanlock::server::run);
    }
    harness::run_at_a_time(
        &[
            (
                "what_is_no_lease_is_left_alone",
                hostile::what_is_no_lease_is_left_alone,
            ),
            ("without_a_daemon", hostile::without_a_daemon),
            ("nobody_loses_a_lease", races::nobody_loses_a_lease),
            (
                "nobody_loses_a_lease_on_slow_storage",
                races::nobody_loses_a_lease_on_slow_storage,
            ),
            (
                "files_that_are_replaced_have_one_owner",
                replaced::files_that_are_replaced_have_one_owner,
            ),
            (
                "an_owner_in_a_replaced_file_is_waited_for",
                replaced::an_owner_in_a_replaced_file_is_waited_for,
            ),
            (
                "who_removes_without_the_lease_is_found_out",
                races::who_removes_without_the_lease,
            ),
            (
                "who_gives_the_lease_back_first_is_found_out",
                races::who_gives_the_lease_back_first,
            ),
        ],
        2,
    )
}
