//! SIGUSR1: one executable takes the place of another, with all locks and clients. The same text for the C daemon by
//! itself, for ours by itself, and for both in turn.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    dead_code
)]

#[path = "../lock_program/client.rs"]
mod client;
#[path = "../../../../crates/daemon/tests/common/harness.rs"]
mod harness;
#[path = "../lock_program/scratch.rs"]
mod scratch;
#[path = "../../../../crates/libvirt-rpc/tests/common/virtlockd.rs"]
mod virtlockd;

mod held;
mod host;
mod load;
mod owners;
mod session;
mod settings;
mod signals;
mod trouble;
mod watchers;

use std::process::ExitCode;

use harness::Outcome;
use host::Series;

fn main() -> ExitCode {
    watchers::obey();
    owners::obey();
    macro_rules! in_series {
        ($($case:path),* $(,)?) => {
            [$(
                (concat!(stringify!($case), " (C)"), (|| host::run(Series::C, $case)) as fn() -> Outcome),
                (concat!(stringify!($case), " (ours)"), || host::run(Series::Ours, $case)),
                (concat!(stringify!($case), " (C, ours, C, ours)"), || host::run(Series::Both, $case)),
            )*]
        };
    }
    macro_rules! ours {
        ($($case:path),* $(,)?) => {
            [$((stringify!($case), (|| host::run(Series::Ours, $case)) as fn() -> Outcome)),*]
        };
    }
    let everywhere = in_series![
        load::many_locks,
        owners::guests,
        settings::limits_and_clients,
        settings::the_background,
        settings::sockets_of_a_service_manager,
        session::of_a_user,
    ];
    let only_ours = ours![
        trouble::a_program_that_cannot_run,
        trouble::a_mistake_in_the_configuration,
        trouble::messages_that_are_halfway,
        trouble::an_owner_that_is_being_ended,
        trouble::again_and_again,
        trouble::a_state_that_cannot_be_written,
        session::a_state_that_may_not_be_written,
        held::locks_that_cannot_be_taken_over,
        held::a_state_of_another_time,
    ];
    let others = [
        (
            "signals::a_request_to_end_meanwhile (C)",
            (|| host::run(Series::C, signals::a_request_to_end_meanwhile)) as fn() -> Outcome,
        ),
        ("signals::a_request_to_end_meanwhile (ours)", || {
            host::run(Series::Ours, signals::a_request_to_end_meanwhile)
        }),
        (
            "signals::a_request_to_end_meanwhile (ours, C, ours)",
            || host::run(Series::Back, signals::a_request_to_end_meanwhile),
        ),
        ("trouble::clients_without_an_owner (ours, C, ours)", || {
            host::run(Series::Back, trouble::clients_without_an_owner)
        }),
        ("owners::one_that_does_not_end", || {
            host::run_as_root(Series::Ours, owners::one_that_does_not_end)
        }),
    ];
    harness::run_at_a_time(&[&everywhere[..], &only_ours, &others].concat(), 2)
}
