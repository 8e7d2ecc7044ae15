//! What can go wrong.

use std::io;

/// Bytes that are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Fewer bytes than a message has.
    #[error("{got} bytes are too few for a message of wdmd, {needed} are needed")]
    Short {
        /// Bytes of a message.
        needed: usize,
        /// Bytes there are.
        got: usize,
    },
    /// No command has this number.
    #[error("unknown command {0} of wdmd")]
    Command(u32),
}

/// Why a call failed. [`ClientError::code`] gives libwdmd's number.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The daemon could not be reached.
    #[error("cannot connect to wdmd at {path}: {source}")]
    Connect {
        /// The socket's path.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The message could not be sent in time or at all.
    #[error("cannot send {command} to wdmd: {source}")]
    Send {
        /// The command's name.
        command: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The answer could not be read.
    #[error("cannot receive wdmd's answer to {command}: {source}")]
    Receive {
        /// The command's name.
        command: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// wdmd did not answer, or not take the message, in time. The connection cannot be used any more.
    #[error("wdmd did not deal with {command} in time")]
    TimedOut {
        /// The command's name.
        command: &'static str,
    },
    /// wdmd closed the connection.
    #[error("wdmd closed the connection before it answered {command}")]
    Closed {
        /// The command's name.
        command: &'static str,
    },
    /// wdmd answered something else.
    #[error("wdmd answered {command} with something else")]
    OutOfStep {
        /// The command's name.
        command: &'static str,
    },
    /// An earlier call timed out or failed half-way.
    #[error("{command} not sent: an earlier call on this connection failed half-way")]
    Broken {
        /// The command's name.
        command: &'static str,
    },
    /// The name does not fit.
    #[error("a name of {len} bytes is too long for wdmd, at most 128 fit")]
    NameTooLong {
        /// Bytes of the name.
        len: usize,
    },
    /// wdmd could not give the fire timeout: it could not open its device, the device does not allow this
    /// timeout, or it is open with another one.
    #[error("wdmd cannot give a fire timeout of {wanted} seconds (it has {found})")]
    FireTimeout {
        /// Seconds asked for.
        wanted: u32,
        /// Seconds in use, 0 for none.
        found: u32,
    },
}

impl ClientError {
    /// The number that libwdmd returns: `-errno`, -36 for a name that is too long, -1 for a fire timeout that
    /// cannot be had. libwdmd waits for ever; a timeout is -11 (EAGAIN), as for a socket with a timeout.
    pub fn code(&self) -> i32 {
        match self {
            ClientError::Connect { source, .. }
            | ClientError::Send { source, .. }
            | ClientError::Receive { source, .. } => {
                source.raw_os_error().map_or(-1, i32::wrapping_neg)
            }
            ClientError::TimedOut { .. } => -11,
            ClientError::Closed { .. }
            | ClientError::OutOfStep { .. }
            | ClientError::FireTimeout { .. } => -1,
            ClientError::Broken { .. } => -32,
            ClientError::NameTooLong { .. } => -36,
        }
    }
}
