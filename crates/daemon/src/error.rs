//! What went wrong on the host.

use std::io;
use std::path::PathBuf;

/// Something that the host refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel or the C library refused it.
    #[error("{action}: {source}")]
    Os {
        /// What was tried, on what: `lock /run/sanlock/sanlock.pid`.
        action: String,
        /// Why not.
        source: io::Error,
    },
    /// Another process holds the lock of the pid file.
    #[error("another daemon is running: {} is locked by {}", path.display(), holder(*pid))]
    AlreadyRunning {
        /// The pid file.
        path: PathBuf,
        /// Who holds it, where the kernel tells (it does not across pid namespaces).
        pid: Option<i32>,
    },
    /// A process that has threads cannot fork safely.
    #[error("cannot {action}: the process already has {threads} threads")]
    Threads {
        /// What was tried.
        action: &'static str,
        /// How many there are.
        threads: usize,
    },
    /// A process is gone, or its pid now belongs to another one.
    #[error("there is no process {pid} any more")]
    NoSuchProcess {
        /// The pid.
        pid: i32,
    },
    /// A value that cannot be used.
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    pub(crate) fn os(action: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Os {
            action: action.into(),
            source: source.into(),
        }
    }

    /// The last system error.
    pub(crate) fn last_os(action: impl Into<String>) -> Self {
        Self::os(action, io::Error::last_os_error())
    }

    /// The negative errno that C clients expect.
    #[must_use]
    pub fn code(&self) -> i32 {
        match self {
            Self::Os { source, .. } => -source.raw_os_error().unwrap_or(libc::EIO),
            Self::AlreadyRunning { .. } => -libc::EAGAIN,
            Self::Threads { .. } => -libc::EPERM,
            Self::NoSuchProcess { .. } => -libc::ESRCH,
            Self::Invalid(_) => -libc::EINVAL,
        }
    }

    /// Whether rights are missing, rather than something being wrong.
    #[must_use]
    pub fn is_missing_right(&self) -> bool {
        match self {
            Self::Os { source, .. } => {
                matches!(source.raw_os_error(), Some(libc::EPERM | libc::EACCES))
            }
            _ => false,
        }
    }
}

fn holder(pid: Option<i32>) -> String {
    pid.map_or_else(
        || "an unknown process".to_owned(),
        |pid| format!("process {pid}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_and_a_number_for_each() {
        let error = Error::AlreadyRunning {
            path: PathBuf::from("/run/sanlock/sanlock.pid"),
            pid: Some(17),
        };
        assert_eq!(
            error.to_string(),
            "another daemon is running: /run/sanlock/sanlock.pid is locked by process 17"
        );
        assert_eq!(error.code(), -libc::EAGAIN);
        let error = Error::os("open /x", io::Error::from_raw_os_error(libc::EACCES));
        assert_eq!(error.code(), -libc::EACCES);
        assert!(error.is_missing_right());
        assert_eq!(Error::NoSuchProcess { pid: 3 }.code(), -libc::ESRCH);
    }
}
