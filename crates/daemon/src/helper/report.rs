//! What the helper tells its daemon.

use std::fmt;

/// Bytes of a report in the pipe.
pub(super) const LEN: usize = 16;

/// A report of the helper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// It works.
    Alive,
    /// A program that it ran has ended.
    ProgramEnded {
        /// The program's own pid.
        pid: i32,
        /// How; status 127 means that it could not be run.
        how: Ended,
    },
    /// It could not start a program.
    ProgramNotStarted {
        /// Why not.
        errno: i32,
    },
    /// It could not send a signal.
    KillFailed {
        /// To which process.
        pid: i32,
        /// Why not: `ESRCH` if the process was gone.
        errno: i32,
    },
    /// It could not set a block device's `max_sectors_kb`.
    SettingFailed {
        /// Why not; 0 if unknown.
        errno: i32,
    },
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this status, 0 to 255.
    Exited(i32),
    /// This signal killed it.
    Killed(i32),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "exit status {status}"),
            Self::Killed(signal) => write!(f, "term signal {signal}"),
        }
    }
}

const ALIVE: u8 = 1;
const EXITED: u8 = 2;
const KILLED: u8 = 3;
const NOT_STARTED: u8 = 4;
const KILL_FAILED: u8 = 5;
const SETTING_FAILED: u8 = 6;

impl Report {
    pub(super) fn encode(self) -> [u8; LEN] {
        let (kind, pid, value) = match self {
            Self::Alive => (ALIVE, 0, 0),
            Self::ProgramEnded { pid, how } => match how {
                Ended::Exited(status) => (EXITED, pid, status),
                Ended::Killed(signal) => (KILLED, pid, signal),
            },
            Self::ProgramNotStarted { errno } => (NOT_STARTED, 0, errno),
            Self::KillFailed { pid, errno } => (KILL_FAILED, pid, errno),
            Self::SettingFailed { errno } => (SETTING_FAILED, 0, errno),
        };
        let mut record = [0; LEN];
        let fields = [kind, 0, 0, 0]
            .into_iter()
            .chain(pid.to_ne_bytes())
            .chain(value.to_ne_bytes());
        for (to, from) in record.iter_mut().zip(fields) {
            *to = from;
        }
        record
    }

    pub(super) fn decode(record: &[u8; LEN]) -> Option<Self> {
        let number = |at: usize| {
            let bytes = record.get(at..)?.first_chunk()?;
            Some(i32::from_ne_bytes(*bytes))
        };
        let (pid, value) = (number(4)?, number(8)?);
        Some(match *record.first()? {
            ALIVE => Self::Alive,
            EXITED => Self::ProgramEnded {
                pid,
                how: Ended::Exited(value),
            },
            KILLED => Self::ProgramEnded {
                pid,
                how: Ended::Killed(value),
            },
            NOT_STARTED => Self::ProgramNotStarted { errno: value },
            KILL_FAILED => Self::KillFailed { pid, errno: value },
            SETTING_FAILED => Self::SettingFailed { errno: value },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_arrives() {
        for report in [
            Report::Alive,
            Report::ProgramEnded {
                pid: 7,
                how: Ended::Exited(127),
            },
            Report::ProgramEnded {
                pid: i32::MAX,
                how: Ended::Killed(9),
            },
            Report::ProgramNotStarted { errno: 11 },
            Report::KillFailed { pid: 7, errno: 3 },
            Report::SettingFailed { errno: 22 },
        ] {
            assert_eq!(Report::decode(&report.encode()), Some(report));
        }
        assert_eq!(Report::decode(&[0; LEN]), None);
        assert_eq!(Report::decode(&[99; LEN]), None);
    }
}
