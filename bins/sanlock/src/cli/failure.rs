//! Failures in words, on standard error: the number, its symbol, what happened, what to do.

use std::fmt::Display;

use sanlock_proto::{ClientError, describe, explain, numbers};

use super::actions::ClientAction;
use super::console::Console;
use super::json;

/// Says why the daemon, or the way to it, gave no result.
pub(super) fn of_client(action: ClientAction, error: &ClientError, console: &mut Console<'_>) {
    let what = action.name();
    match error {
        ClientError::Refused { result, .. } => of_number(what, *result, console),
        ClientError::Connect { .. } => {
            console.hint(format_args!("sanlock: {what}: {error}"));
            let advice = match error.code() {
                CANNOT_OPEN => "the socket is for root and the daemon's group only",
                _ => {
                    "the daemon does not run (systemctl start sanlock), or uses another SANLOCK_RUN_DIR"
                }
            };
            console.hint(format_args!("sanlock: {advice}"));
        }
        // It names the action itself.
        ClientError::Invalid { .. } | ClientError::InquiryCut { .. } => {
            console.hint(format_args!("sanlock: {error}"))
        }
        other => console.hint(format_args!("sanlock: {what}: {other}")),
    }
}

/// -13, EACCES.
const CANNOT_OPEN: i32 = -13;

/// Says what a negative result means and what to do about it.
pub(super) fn of_number(what: &str, number: i32, console: &mut Console<'_>) {
    console.hint(format_args!("sanlock: {what}: {}", describe(number)));
    if let Some(reading) = explain(number).main() {
        console.hint(format_args!(
            "sanlock: {} {}",
            reading.advice,
            reading.retry.sentence()
        ));
    }
}

/// The document that `--json` prints in place of a result.
pub(super) fn json_of(error: &ClientError) -> json::Failure {
    json_failure(error.code(), error)
}

/// The same for a failure without daemon.
pub(super) fn json_failure(code: i32, message: impl Display) -> json::Failure {
    let symbol = numbers::symbol(code).map(str::to_owned);
    json::Failure {
        error: json::Reason {
            code,
            symbol,
            message: message.to_string(),
        },
    }
}
