//! Why an action on storage failed.

use std::fmt::Display;

use ondisk::LeaderFault;
use storage::IoError;

use super::INVALID;
use crate::cli::console::Console;
use crate::cli::failure;

/// The original's number, and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Negative.
    pub(super) code: i32,
    /// What happened to what.
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(code: i32, message: impl Display) -> Fault {
        Fault {
            code,
            message: message.to_string(),
        }
    }

    /// The sentence, the number with its symbol, and what to do, on standard error.
    pub(super) fn report(&self, what: &str, console: &mut Console<'_>) {
        let Fault { code, message } = self;
        if [FAILED, INVALID].contains(code) {
            // These say no more than the sentence does.
            console.hint(format_args!("sanlock: {what}: {message} ({code})"));
        } else {
            console.hint(format_args!("sanlock: {what}: {message}"));
            failure::of_number(what, *code, console);
        }
    }
}

/// -1: it failed.
const FAILED: i32 = -1;

impl From<paxos::Error> for Fault {
    fn from(error: paxos::Error) -> Fault {
        Fault::new(error.code(), error)
    }
}

impl From<IoError> for Fault {
    fn from(error: IoError) -> Fault {
        Fault::new(error.code(), error)
    }
}

impl From<LeaderFault> for Fault {
    fn from(fault: LeaderFault) -> Fault {
        Fault::new(fault.code(), fault)
    }
}
