//! What can go wrong, with the numbers that C clients know.

use ondisk::{
    DblockFault, Generation, HostBitmap, HostId, LeaderFault, Lver, Name, RequestFault,
    RindexFault, Timestamp,
};
use storage::IoError;

use crate::Undo;
use crate::subject::{LeaseName, Owner, Place, Step};

/// Why a lease operation failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A disk request failed. A write that timed out may still reach the disk.
    #[error("{at}: cannot {action}: {source}")]
    Io {
        /// The lease and disk.
        at: Box<Place>,
        /// What was tried, as in `read the leader`.
        action: String,
        /// What the disk said.
        source: IoError,
    },

    /// What stands where a leader should be is none, or another lease's, or damaged.
    #[error("{at}: {fault}")]
    Leader {
        /// The lease and disk.
        at: Box<Place>,
        /// What is wrong with it.
        #[source]
        fault: Box<LeaderFault>,
    },

    /// A host's sector of the lease is damaged.
    #[error("{at}: the sector of host {host}: {fault}")]
    Dblock {
        /// The lease and disk.
        at: Box<Place>,
        /// The host whose sector it is.
        host: HostId,
        /// What is wrong with it.
        #[source]
        fault: DblockFault,
    },

    /// Too few of the lease's disks did what was asked.
    #[error("{lease}: {step} worked on {done} of {of} disks only: {last}")]
    TooFewDisks {
        /// The lease.
        lease: Box<LeaseName>,
        /// What was tried.
        step: Step,
        /// On how many disks it worked.
        done: usize,
        /// How many disks the lease has.
        of: usize,
        /// What the last failing disk said.
        last: Box<Error>,
    },

    /// No leader stands on most of the lease's disks.
    #[error("{lease}: its disks disagree about the leader")]
    LeadersDiffer {
        /// The lease.
        lease: Box<LeaseName>,
    },

    /// The leader's sector size and flags are no valid pair of sizes, or not those that were asked for.
    #[error(
        "{at}: the leader says {sector_size}-byte sectors and flags {flags:#x}, which is {}",
        match wanted { Some(wanted) => format!("not {wanted}"), None => "no valid size".to_owned() }
    )]
    Sizes {
        /// The lease and disk.
        at: Box<Place>,
        /// The sector size found.
        sector_size: u32,
        /// The flags found.
        flags: u32,
        /// What was asked for, if anything was.
        wanted: Option<ondisk::Geometry>,
    },

    /// A lockspace's sectors are neither 512 nor 4096 bytes.
    #[error("{at}: sectors of {sector_size} bytes: only 512 and 4096 are known")]
    SectorSize {
        /// The lockspace and disk.
        at: Box<Place>,
        /// The sector size found.
        sector_size: u32,
    },

    /// A lockspace's sector size and align size do not go together.
    #[error("{at}: {sector_size}-byte sectors do not go with flags {flags:#x}")]
    SizePair {
        /// The lockspace and disk.
        at: Box<Place>,
        /// The sector size found.
        sector_size: u32,
        /// The flags found.
        flags: u32,
    },

    /// The lease has no sector for this host id.
    #[error("{lease}: there is no host id {host}: they go from 1 to {max}")]
    NoSuchHost {
        /// The lease.
        lease: Box<LeaseName>,
        /// The host id.
        host: HostId,
        /// The largest one.
        max: u64,
    },

    /// The lockspace has no such host id.
    #[error("{at}: host id {host} is too large: this lockspace has {max}")]
    HostIdTooLarge {
        /// The lockspace and disk.
        at: Box<Place>,
        /// The host id.
        host: HostId,
        /// The largest one.
        max: u64,
    },

    /// A number on disk has reached its end.
    #[error("{lease}: the {what} on disk cannot grow any more")]
    Exhausted {
        /// The lease.
        lease: Box<LeaseName>,
        /// Which number.
        what: &'static str,
    },

    /// The resource has another version than the caller wants to acquire.
    #[error("{lease}: it has version {found}, not {wanted}")]
    WrongLver {
        /// The resource.
        lease: Box<LeaseName>,
        /// The version on disk.
        found: Lver,
        /// The version asked for.
        wanted: Lver,
    },

    /// This host is not in the resource's lockspace.
    #[error("{lease}: this host is not in the lockspace")]
    NoLockspace {
        /// The resource.
        lease: Box<LeaseName>,
    },

    /// The lockspace's disk, which tells whether the owner lives, cannot be opened.
    #[error("{lease}: cannot open its lockspace's disk to see whether the owner lives: {source}")]
    LockspaceDisk {
        /// The resource.
        lease: Box<LeaseName>,
        /// What the disk said.
        source: IoError,
    },

    /// Our own host id is not certainly ours any more, so nothing may be acquired with it.
    #[error("{lease}: our host id in the lockspace has expired or is about to be given up")]
    HostIdExpired {
        /// The resource.
        lease: Box<LeaseName>,
    },

    /// A live host owns the resource.
    #[error("{lease}: owned by {owner}; it is alive")]
    OwnerAlive {
        /// The resource.
        lease: Box<LeaseName>,
        /// Its owner.
        owner: Box<Owner>,
    },

    /// A host owns the resource of which nobody knows yet whether it lives, and the caller does not wait.
    #[error("{lease}: owned by {owner}; it is silent and may be dead in {} s", owner.dead_in.unwrap_or_default())]
    OwnerSilent {
        /// The resource.
        lease: Box<LeaseName>,
        /// Its owner.
        owner: Box<Owner>,
    },

    /// Another host won the resource while we tried.
    #[error("{lease}: just acquired by {owner}")]
    Owned {
        /// The resource.
        lease: Box<LeaseName>,
        /// Its owner.
        owner: Box<Owner>,
    },

    /// Our ballot made another host the owner, which had begun before us.
    #[error("{lease}: our ballot made another host its owner: {owner}")]
    MadeOtherOwner {
        /// The resource.
        lease: Box<LeaseName>,
        /// Its owner.
        owner: Box<Owner>,
    },

    /// The resource was held for a moment by hosts that take it shared, again and again.
    #[error("{lease}: not free for a shared hold in {tries} tries, last owned by {owner}")]
    SharedRetry {
        /// The resource.
        lease: Box<LeaseName>,
        /// Its last owner.
        owner: Box<Owner>,
        /// How many times it was tried.
        tries: u32,
    },

    /// Live hosts hold the resource shared.
    #[error("{lease}: held shared by hosts {hosts:?}")]
    HeldShared {
        /// The resource.
        lease: Box<LeaseName>,
        /// The hosts.
        hosts: Box<HostBitmap>,
    },

    /// Our dblock does not stay as we write it: another host uses our host id, or the disk loses writes.
    #[error("{at}: our dblock, of host {host}, does not stay as it was written")]
    OwnDblockLost {
        /// The lease and disk.
        at: Box<Place>,
        /// Our host id.
        host: HostId,
    },

    /// The wait was cancelled.
    #[error("{lease}: cancelled")]
    Cancelled {
        /// The lease.
        lease: Box<LeaseName>,
    },

    /// The leader has another version than the one that is to be released.
    #[error("{lease}: it has version {found}, ours was {ours}")]
    ReleaseLver {
        /// The resource.
        lease: Box<LeaseName>,
        /// The version on disk.
        found: Lver,
        /// The version that we acquired.
        ours: Lver,
    },

    /// The lease that is to be released is free already.
    #[error("{lease}: it is free already")]
    AlreadyFree {
        /// The resource.
        lease: Box<LeaseName>,
    },

    /// The lease that is to be released is not as we left it.
    #[error("{lease}: on disk it is owned by {owner}, not as we left it")]
    ReleaseOwner {
        /// The resource.
        lease: Box<LeaseName>,
        /// The owner on disk.
        owner: Box<Owner>,
    },

    /// Another host uses the host id.
    #[error("{lease}: used by host {name:?}, which renewed it at {timestamp} of its clock")]
    HostIdBusy {
        /// The host id.
        lease: Box<LeaseName>,
        /// The other host's name.
        name: Box<Name>,
        /// When it last renewed.
        timestamp: Timestamp,
    },

    /// The host id that we renew belongs to another host or generation.
    #[error("{lease}: taken by host {name:?} in generation {generation}")]
    RenewOwner {
        /// The host id.
        lease: Box<LeaseName>,
        /// The owning host's name.
        name: Box<Name>,
        /// The owner's generation.
        generation: Generation,
    },

    /// The host id that we renew is ours but not as we wrote it.
    #[error("{lease}: the lease on disk, renewed at {timestamp}, is not what we wrote last")]
    RenewDiff {
        /// The host id.
        lease: Box<LeaseName>,
        /// The timestamp on disk.
        timestamp: Timestamp,
    },

    /// The lease value block lies outside of the lease, inside another one.
    #[error(
        "{lease}: no lease value block with sizes {geometry}: its place, byte {offset}, is outside of the lease"
    )]
    LvbOutside {
        /// The resource.
        lease: Box<LeaseName>,
        /// The resource's sizes.
        geometry: ondisk::Geometry,
        /// Where the block would be, in bytes from the start of the lease.
        offset: u64,
    },

    /// The lease is held in the wanted way already.
    #[error("{lease}: it is held so already")]
    AlreadyHeldSo {
        /// The resource.
        lease: Box<LeaseName>,
    },

    /// A lease value block must have exactly one sector.
    #[error("{lease}: a lease value block has {expected} bytes, not {len}")]
    LvbLength {
        /// The resource.
        lease: Box<LeaseName>,
        /// The bytes given.
        len: usize,
        /// The bytes of a sector.
        expected: usize,
    },

    /// The request record is none.
    #[error("{at}: {fault}")]
    Request {
        /// The resource and disk.
        at: Box<Place>,
        /// What is wrong with it.
        #[source]
        fault: RequestFault,
    },

    /// The version that is asked for has been acquired already.
    #[error("{lease}: version {wanted} is asked for, but it has version {found}")]
    RequestOld {
        /// The resource.
        lease: Box<LeaseName>,
        /// The version asked for.
        wanted: Lver,
        /// The version on disk.
        found: Lver,
    },

    /// Another host asks for a later version.
    #[error("{lease}: version {wanted} is asked for, but another host already asks for {found}")]
    RequestLver {
        /// The resource.
        lease: Box<LeaseName>,
        /// The version asked for.
        wanted: Lver,
        /// The version that the other host asks for.
        found: Lver,
    },

    /// The resource index cannot be used.
    #[error("{at}: {fault}")]
    Index {
        /// The index and disk.
        at: Box<Place>,
        /// What is wrong with it.
        #[source]
        fault: Box<RindexFault>,
    },

    /// No resource of the index can be at this place.
    #[error("{lease}: no resource can be at byte {offset} of the disk")]
    IndexOffset {
        /// The index.
        lease: Box<LeaseName>,
        /// The offset asked for, in bytes.
        offset: u64,
    },

    /// The index has another name for the resource at this place.
    #[error("{lease}: at byte {offset} of the disk it has {found:?}, not {wanted:?}")]
    IndexDiff {
        /// The index.
        lease: Box<LeaseName>,
        /// The offset asked for, in bytes.
        offset: u64,
        /// The name in the index.
        found: Box<Name>,
        /// The name asked for.
        wanted: Box<Name>,
    },

    /// The index has no such resource, or no room for one more.
    #[error("{lease}: {}", match name { Some(name) => format!("no resource {name:?}"), None => "no free entry".to_owned() })]
    NotInIndex {
        /// The index.
        lease: Box<LeaseName>,
        /// The name looked for; none if it was a free entry.
        name: Option<Box<Name>>,
    },

    /// What is asked of the index needs a name or an offset that was not given.
    #[error("{lease}: an update needs an offset, and to add a resource also its name")]
    IndexUpdate {
        /// The index.
        lease: Box<LeaseName>,
    },

    /// The whole area could not be made up in memory.
    #[error("{lease}: {source}")]
    Area {
        /// The lease.
        lease: Box<LeaseName>,
        /// Why not.
        source: ondisk::AreaError,
    },
}

impl Error {
    /// The number that C clients expect: one of `sanlock_rv.h`, or a negative errno.
    #[must_use]
    pub fn code(&self) -> i32 {
        const EPERM: i32 = -1;
        const ENOENT: i32 = -2;
        const EAGAIN: i32 = -11;
        const EINVAL: i32 = -22;
        const ENOSPC: i32 = -28;
        const EALREADY: i32 = -114;
        match self {
            Self::Io { source, .. } => source.code(),
            Self::Leader { fault, .. } => fault.code(),
            Self::Dblock { fault, .. } => fault.code(),
            Self::TooFewDisks { step, .. } => match step {
                Step::ReadLease | Step::ReadDblocks => -210,
                Step::WriteDblock => -211,
                Step::ReadLeader => -220,
            },
            Self::OwnDblockLost { .. } => -210,
            Self::LeadersDiffer { .. } => -222,
            Self::SectorSize { .. } => -225,
            Self::SizePair { .. } => -230,
            Self::HostIdTooLarge { .. } => -231,
            Self::WrongLver { .. } => -240,
            Self::NoLockspace { .. } => -241,
            Self::LockspaceDisk { .. } => -242,
            Self::OwnerAlive { .. } => -243,
            Self::Owned { .. } => -244,
            Self::MadeOtherOwner { .. } => -245,
            Self::SharedRetry { .. } => -246,
            Self::OwnerSilent { .. } => -247,
            Self::ReleaseLver { .. } => -250,
            Self::AlreadyFree { .. } | Self::ReleaseOwner { .. } => -251,
            Self::RenewOwner { .. } => -260,
            Self::RenewDiff { .. } => -261,
            Self::HostIdBusy { .. } => -262,
            Self::Request { fault, .. } => fault.code(),
            Self::RequestOld { .. } => -272,
            Self::RequestLver { .. } => -273,
            Self::Index { fault, .. } => fault.code(),
            Self::IndexOffset { .. } => -277,
            Self::IndexDiff { .. } => -278,
            Self::NotInIndex { .. } => ENOENT,
            Self::HeldShared { .. } => EAGAIN,
            Self::HostIdExpired { .. } => ENOSPC,
            Self::AlreadyHeldSo { .. } => EALREADY,
            Self::Cancelled { lease } => match **lease {
                LeaseName::HostId { .. } => -201,
                _ => EPERM,
            },
            // There is no lease where that host's would be; before the start of a disk nothing can be read.
            Self::NoSuchHost { lease, host, .. } => match **lease {
                LeaseName::HostId { .. } if i64::try_from(host.0).is_err() => EINVAL,
                LeaseName::HostId { .. } => -223,
                _ => EINVAL,
            },
            Self::Sizes { .. }
            | Self::Exhausted { .. }
            | Self::LvbOutside { .. }
            | Self::LvbLength { .. }
            | Self::IndexUpdate { .. } => EINVAL,
            Self::Area { source, .. } => source.code(),
        }
    }

    /// Whether a request timed out, so that trying again later may help and nothing is known about what
    /// was being written.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.is_timeout(),
            Self::TooFewDisks { last, .. } => last.is_timeout(),
            _ => false,
        }
    }

    /// Whether it was the storage that failed, in a way that may pass: the same may work later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.may_pass(),
            Self::TooFewDisks { last, .. } => last.may_pass(),
            _ => false,
        }
    }

    /// The resource's owner, for errors that are about one.
    #[must_use]
    pub fn owner(&self) -> Option<&Owner> {
        match self {
            Self::OwnerAlive { owner, .. }
            | Self::OwnerSilent { owner, .. }
            | Self::Owned { owner, .. }
            | Self::MadeOtherOwner { owner, .. }
            | Self::SharedRetry { owner, .. }
            | Self::ReleaseOwner { owner, .. } => Some(owner),
            _ => None,
        }
    }
}

/// Why an acquire or a conversion failed, and what it may have left on disk.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error}")]
pub struct AcquireError {
    /// Why.
    #[source]
    pub error: Error,
    /// What has to be taken back, with [`undo`](crate::undo): others may yet make us the owner. Until that
    /// has succeeded nobody else may get the lease while this host lives.
    pub undo: Option<Box<Undo>>,
}

impl AcquireError {
    /// The number that C clients expect.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.error.code()
    }
}

impl From<Error> for AcquireError {
    /// An error that left nothing behind.
    fn from(error: Error) -> Self {
        Self { error, undo: None }
    }
}
