//! One test text, for Debian's virtlockd (or what `$VIRTLOCKD_UPSTREAM` names) first and then for ours. Where ours
//! differs on purpose, the case says so; `docs/undocumented.md` says why.

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
#[path = "../../../../crates/libvirt-rpc/tests/common/virtlockd.rs"]
mod virtlockd;

mod admin;
mod client;
mod connections;
mod conversation;
mod inhibitor;
mod list;
mod owners;
mod program;
mod scratch;
mod session;
mod settings;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use harness::{Outcome, skipped};
use scratch::Scratch;
use virtlockd::Daemon;

fn main() -> ExitCode {
    if let Some(order) = std::env::var_os(owners::ORDER) {
        owners::obey(&order.into_string().unwrap());
    }
    macro_rules! on_both {
        ($($case:path),* $(,)?) => {
            [$(
                (concat!(stringify!($case), " (C)"), (|| on(Subject::C, $case)) as fn() -> Outcome),
                (concat!(stringify!($case), " (ours)"), || on(Subject::Ours, $case)),
            )*]
        };
    }
    harness::run_at_a_time(
        &on_both![
            conversation::orders_and_errors,
            conversation::sharing,
            conversation::files,
            owners::one_that_heeds_the_request_to_end,
            owners::one_that_does_not,
            owners::one_without_locks_is_left_alone,
            owners::another_connection_frees_nothing,
            owners::the_daemons_end,
            connections::half_a_packet_disturbs_nobody,
            connections::more_than_may_connect_wait,
            connections::many,
            connections::the_admin_socket,
            connections::names_at_their_limit,
            connections::five_thousand,
            connections::warnings,
            admin::what_is_asked,
            settings::limits,
            settings::workers,
            settings::log,
            settings::the_time_out,
            admin::the_rest,
            admin::a_security_context,
            settings::bad_arguments,
            list::who_holds_what,
            list::many_locks,
            inhibitor::while_locks_are_held,
            session::of_a_login,
            session::without_a_login,
            program::options,
            program::configuration,
            program::one_at_a_time,
            program::the_end_without_clients,
            program::sockets_of_a_service_manager,
            program::in_the_background,
        ],
        2,
    )
}

/// Which program is tested.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    C,
    Ours,
}

/// What a case works with.
pub struct Lab {
    pub subject: Subject,
    pub program: PathBuf,
    scratch: Scratch,
}

impl std::ops::Deref for Lab {
    type Target = Scratch;

    fn deref(&self) -> &Scratch {
        &self.scratch
    }
}

impl Lab {
    /// A daemon with these lines of configuration.
    pub fn daemon(&self, conf: &str) -> Daemon {
        let path = self.path("virtlockd.conf");
        std::fs::write(&path, conf).unwrap();
        Daemon::start(&self.program, &["-f", &path])
    }
}

fn on(subject: Subject, case: fn(&Lab)) -> Outcome {
    let program = match subject {
        Subject::Ours => Path::new(env!("CARGO_BIN_EXE_virtlockd")).to_owned(),
        Subject::C => match virtlockd::original() {
            Ok(program) => program,
            Err(why) => return skipped(why),
        },
    };
    if let Some(why) = virtlockd::cannot_be_isolated() {
        return skipped(format!("no mount namespace: {why}"));
    }
    let scratch = Scratch::new("virtlockd-test");
    let lab = Lab {
        subject,
        program,
        scratch,
    };
    case(&lab);
    lab.scratch.remove();
    Outcome::Passed
}
