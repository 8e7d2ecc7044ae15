//! What an error is about: which lease, which disk, which owner, which step.

use std::fmt;
use std::path::PathBuf;

use ondisk::{Generation, HostId, Leader, LeaderFault, Lver, Name, Timestamp};
use storage::IoError;

use crate::{Area, Error};

/// Which lease an error is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseName {
    /// A lockspace as a whole.
    Lockspace {
        /// Its name.
        space: Name,
    },
    /// A host's delta lease.
    HostId {
        /// The lockspace.
        space: Name,
        /// The host id.
        host: HostId,
    },
    /// A resource lease.
    Resource {
        /// The lockspace.
        space: Name,
        /// The resource.
        name: Name,
    },
    /// A resource index.
    Index {
        /// The lockspace.
        space: Name,
    },
}

impl fmt::Display for LeaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lockspace { space } => write!(f, "lockspace {space:?}"),
            Self::HostId { space, host } => write!(f, "host id {host} of lockspace {space:?}"),
            Self::Resource { space, name } => write!(f, "resource {name:?} of lockspace {space:?}"),
            Self::Index { space } => write!(f, "resource index of lockspace {space:?}"),
        }
    }
}

/// Which lease on which disk an error is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The lease.
    pub lease: LeaseName,
    /// The disk's path.
    pub path: PathBuf,
    /// Where on the disk the lease's area starts, in bytes.
    pub offset: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} at {}:{}",
            self.lease,
            self.path.display(),
            self.offset
        )
    }
}

impl LeaseName {
    pub(crate) fn at(&self, area: &Area) -> Box<Place> {
        let path = area.path().to_owned();
        Box::new(Place {
            lease: self.clone(),
            path,
            offset: area.offset,
        })
    }

    /// Makes an error of a failed request, for `map_err`.
    pub(crate) fn io(
        &self,
        area: &Area,
        action: impl Into<String>,
    ) -> impl FnOnce(IoError) -> Error {
        let (at, action) = (self.at(area), action.into());
        move |source| Error::Io { at, action, source }
    }

    /// Makes an error of a leader that cannot be used, for `map_err`.
    pub(crate) fn leader(&self, area: &Area) -> impl FnOnce(LeaderFault) -> Error {
        let at = self.at(area);
        move |fault| Error::Leader {
            at,
            fault: Box::new(fault),
        }
    }
}

/// Who owns a resource, as its leader tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The owner's host id.
    pub host: HostId,
    /// The owner's generation.
    pub generation: Generation,
    /// When it acquired the lease, on its own clock.
    pub timestamp: Timestamp,
    /// The lease version that it owns.
    pub lver: Lver,
    /// Whether it means to hold the lease for a moment only, to take it shared.
    pub short_hold: bool,
    /// For how many seconds the owner must stay silent from now on before it counts as dead; unknown
    /// where its liveness was not looked at.
    pub dead_in: Option<u64>,
}

impl Owner {
    pub(crate) fn of(leader: &Leader, dead_in: Option<u64>) -> Box<Self> {
        Box::new(Self {
            host: leader.owner_id,
            generation: leader.owner_generation,
            timestamp: leader.timestamp,
            lver: leader.lver,
            short_hold: leader.flags & Leader::SHORT_HOLD != 0,
            dead_in,
        })
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            generation,
            timestamp,
            lver,
            ..
        } = self;
        write!(
            f,
            "host {host} in generation {generation}, which acquired version {lver} at {timestamp} of its clock"
        )
    }
}

/// A step that needs most of a resource's disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Reading the whole lease.
    ReadLease,
    /// Reading the leader.
    ReadLeader,
    /// Writing our dblock in a ballot.
    WriteDblock,
    /// Reading all dblocks in a ballot.
    ReadDblocks,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReadLease => "reading the lease",
            Self::ReadLeader => "reading the leader",
            Self::WriteDblock => "writing our dblock for a ballot",
            Self::ReadDblocks => "reading the dblocks for a ballot",
        })
    }
}
