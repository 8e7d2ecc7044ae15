//! What can go wrong with a message, and between a client and the daemon.

use std::io;

/// Bytes that are not the message they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end before the struct does.
    #[error("{what}: {got} bytes are too few, {needed} are needed")]
    Short {
        /// The struct that was being read.
        what: &'static str,
        /// Bytes needed so far.
        needed: usize,
        /// Bytes there are.
        got: usize,
    },
    /// Bytes follow the struct that should not be there.
    #[error("{what}: {extra} bytes follow its end")]
    Trailing {
        /// The struct that was read.
        what: &'static str,
        /// Bytes too many.
        extra: usize,
    },
    /// A count or length is out of range.
    #[error("{what} is {value}, at most {limit} can be")]
    TooMany {
        /// What was counted.
        what: &'static str,
        /// The value found.
        value: u64,
        /// The largest value that is accepted.
        limit: u64,
    },
    /// The header does not begin with the magic number.
    #[error("message header has magic {0:#010x} instead of 0x04282010")]
    Magic(u32),
    /// The message's command carries no such message, or is not known.
    #[error("command {0} has no message of this kind")]
    Command(u32),
}

impl DecodeError {
    /// The number that a C program would report: -34 (ERANGE) for counts, else -22 (EINVAL).
    pub fn code(&self) -> i32 {
        match self {
            DecodeError::TooMany { .. } => -34,
            _ => -22,
        }
    }
}

/// Why a call of the [`client`](crate::client) gave no result.
///
/// [`ClientError::code`] gives the number that libsanlock returns in the same situation.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The daemon's socket could not be reached.
    #[error("cannot connect to {path}: {source}")]
    Connect {
        /// The socket's path.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The request could not be sent.
    #[error("cannot send {command} to the sanlock daemon: {source}")]
    Send {
        /// The command's name.
        command: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The answer could not be read.
    #[error("cannot receive the sanlock daemon's answer to {command}: {source}")]
    Receive {
        /// The command's name.
        command: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The daemon closed the connection before it had answered.
    #[error("the sanlock daemon closed the connection before it answered {command}")]
    Closed {
        /// The command's name.
        command: &'static str,
    },
    /// The answer is not what the protocol says.
    #[error("the sanlock daemon's answer to {command} is malformed: {source}")]
    Malformed {
        /// The command's name.
        command: &'static str,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// The arguments were refused before anything was sent.
    #[error("{command}: {why}")]
    Invalid {
        /// The command's name.
        command: &'static str,
        /// The rule that was broken.
        why: &'static str,
    },
    /// The daemon answered with a negative result.
    #[error("{command}: {}", crate::numbers::describe(*result))]
    Refused {
        /// The command's name.
        command: &'static str,
        /// The daemon's result.
        result: i32,
    },
    /// The daemon could not put all that a process holds into words.
    #[error(
        "inquire: {}; the process holds {count} leases, of which the daemon lists only some",
        crate::numbers::describe(*result)
    )]
    InquiryCut {
        /// The daemon's result.
        result: i32,
        /// How many leases the process holds.
        count: u32,
    },
}

impl ClientError {
    /// The number that libsanlock returns: the daemon's result, `-errno` of the system call that
    /// failed, -1 when the connection ended early, -22 (EINVAL) for arguments it refuses.
    pub fn code(&self) -> i32 {
        match self {
            // A socket path that does not fit is cut by the C library, and then not found.
            ClientError::Connect { source, .. } => {
                source.raw_os_error().map_or(-2, i32::wrapping_neg)
            }
            ClientError::Send { source, .. } | ClientError::Receive { source, .. } => {
                source.raw_os_error().map_or(-1, i32::wrapping_neg)
            }
            ClientError::Closed { .. } | ClientError::Malformed { .. } => -1,
            ClientError::Invalid { .. } => -22,
            ClientError::Refused { result, .. } | ClientError::InquiryCut { result, .. } => *result,
        }
    }
}
