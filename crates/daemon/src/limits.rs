//! Limits of the process, and how a daemon goes on when it may not raise them.

use std::fmt;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

use crate::Error;

/// How much a daemon needs something that the host may refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The administrator asked for it: without it the daemon does not start.
    Demanded,
    /// It is a default: without the right to it the daemon goes on and says so.
    Wished,
}

/// What became of something that a daemon needs from the host.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// It is so.
    Done,
    /// Rights are missing, it was only [`Need::Wished`], and the daemon goes on without. The sentence
    /// is for a warning in the log.
    Without(String),
}

impl Outcome {
    /// The sentence to warn with, if there is one.
    #[must_use]
    pub fn warning(&self) -> Option<&str> {
        match self {
            Self::Done => None,
            Self::Without(sentence) => Some(sentence),
        }
    }

    /// An error as an outcome: missing rights degrade what is only wished for.
    pub(crate) fn or_without(
        result: Result<(), Error>,
        need: Need,
        consequence: &str,
    ) -> Result<Self, Error> {
        match result {
            Ok(()) => Ok(Self::Done),
            Err(error) if need == Need::Wished => {
                Ok(Self::Without(format!("{error}; {consequence}")))
            }
            Err(error) => Err(error),
        }
    }
}

/// A limit that a daemon wants away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// `RLIMIT_MEMLOCK`: how much memory may be locked once the daemon is no longer root.
    LockedMemory,
    /// `RLIMIT_RTPRIO`: which real-time priority it may take then.
    RealtimePriority,
    /// `RLIMIT_CORE`: how large a core dump may be.
    CoreSize,
}

impl Limit {
    fn resource(self) -> Resource {
        match self {
            Self::LockedMemory => Resource::RLIMIT_MEMLOCK,
            Self::RealtimePriority => Resource::RLIMIT_RTPRIO,
            Self::CoreSize => Resource::RLIMIT_CORE,
        }
    }

    fn consequence(self) -> &'static str {
        match self {
            Self::LockedMemory => "memory may be paged out under pressure",
            Self::RealtimePriority => "the daemon competes with others for the processor",
            Self::CoreSize => "a crash may leave no core dump",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LockedMemory => "locked memory (RLIMIT_MEMLOCK)",
            Self::RealtimePriority => "real-time priority (RLIMIT_RTPRIO)",
            Self::CoreSize => "core dumps (RLIMIT_CORE)",
        })
    }
}

/// Takes a limit away; needs root (`CAP_SYS_RESOURCE`) unless it is away already.
///
/// Upstream's daemon ends when it may not, even where nothing that needs it was asked for.
///
/// # Errors
/// If it is [`Need::Demanded`] and refused.
pub fn raise(limit: Limit, need: Need) -> Result<Outcome, Error> {
    let resource = limit.resource();
    if matches!(getrlimit(resource), Ok((RLIM_INFINITY, _))) {
        return Ok(Outcome::Done);
    }
    let raised = setrlimit(resource, RLIM_INFINITY, RLIM_INFINITY).or_else(|error| {
        // What the hard limit allows needs no right, and is better than nothing.
        if let Ok((_, hard)) = getrlimit(resource) {
            setrlimit(resource, hard, hard)?;
            if hard == RLIM_INFINITY {
                return Ok(());
            }
        }
        Err(error)
    });
    Outcome::or_without(
        raised.map_err(|error| Error::os(format!("take away the limit of {limit}"), error)),
        need,
        limit.consequence(),
    )
}
