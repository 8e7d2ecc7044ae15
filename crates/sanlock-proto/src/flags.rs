//! Every flag of the public headers, a type for each set so that they cannot be mixed up.
//!
//! Bits without a name are kept: the daemon ignores them, and so can a newer client's be passed on.
//! Flags marked 5.x came after the 3.x protocol; a daemon of that protocol does not know them.

macro_rules! flag_sets {
    ($($(#[$set_doc:meta])* $set:ident { $($flag:ident = $bits:literal, $doc:literal;)* })*) => { $(
        $(#[$set_doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $set(u32);

        impl $set {
            $(#[doc = $doc] pub const $flag: $set = $set($bits);)*

            /// No flag set.
            pub const NONE: $set = $set(0);

            /// The set with exactly these bits, named or not.
            pub const fn from_bits(bits: u32) -> $set {
                $set(bits)
            }

            /// The bits as they stand on the wire.
            pub const fn bits(self) -> u32 {
                self.0
            }

            /// Whether all flags of `other` are set.
            pub const fn contains(self, other: $set) -> bool {
                self.0 & other.0 == other.0
            }

            /// Whether no bit is set.
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// The flags of both sets.
            pub const fn union(self, other: $set) -> $set {
                $set(self.0 | other.0)
            }

            /// These flags without those of `other`.
            pub const fn without(self, other: $set) -> $set {
                $set(self.0 & !other.0)
            }
        }

        impl std::ops::BitOr for $set {
            type Output = $set;
            fn bitor(self, other: $set) -> $set {
                self.union(other)
            }
        }

        impl std::ops::BitOrAssign for $set {
            fn bitor_assign(&mut self, other: $set) {
                *self = self.union(other);
            }
        }

        impl std::fmt::Debug for $set {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write_names(f, self.0, &[$((stringify!($flag), $bits),)*])
            }
        }
    )* };
}

flag_sets! {
    /// `SANLK_LSF_*`: flags of a lockspace.
    LockspaceFlags {
        ADD = 0x1, "The lockspace is being added (only in `get_lockspaces`).";
        REM = 0x2, "The lockspace is being removed (only in `get_lockspaces`).";
        NO_TIMEOUT = 0x4, "A dead host's leases are not freed by time (5.x).";
        USING_CAW = 0x8, "The lease uses compare-and-write (5.x).";
        ALIGN1M = 0x10, "1 MiB between leases.";
        ALIGN2M = 0x20, "2 MiB between leases.";
        ALIGN4M = 0x40, "4 MiB between leases.";
        ALIGN8M = 0x80, "8 MiB between leases.";
        SECTOR512 = 0x100, "512-byte sectors.";
        SECTOR4K = 0x200, "4096-byte sectors.";
    }
    /// `SANLK_RES_*`: flags of a resource.
    ResourceFlags {
        LVER = 0x1, "The lver field is set: acquire only this version of the lease.";
        NUM_HOSTS = 0x2, "data32 is a new num_hosts for the lease.";
        SHARED = 0x4, "Shared, not exclusive.";
        PERSISTENT = 0x8, "If the process ends, the lease becomes an orphan and stays held.";
        ALIGN1M = 0x10, "1 MiB for the lease.";
        ALIGN2M = 0x20, "2 MiB for the lease.";
        ALIGN4M = 0x40, "4 MiB for the lease.";
        ALIGN8M = 0x80, "8 MiB for the lease.";
        SECTOR512 = 0x100, "512-byte sectors.";
        SECTOR4K = 0x200, "4096-byte sectors.";
        USING_CAW = 0x400, "The lease uses compare-and-write (5.x).";
    }
    /// `SANLK_RIF_*`: flags of a resource index.
    RindexFlags {
        ALIGN1M = 0x10, "1 MiB for the index and for each lease.";
        ALIGN2M = 0x20, "2 MiB for the index and for each lease.";
        ALIGN4M = 0x40, "4 MiB for the index and for each lease.";
        ALIGN8M = 0x80, "8 MiB for the index and for each lease.";
        SECTOR512 = 0x100, "512-byte sectors.";
        SECTOR4K = 0x200, "4096-byte sectors.";
    }
    /// `SANLK_ADD_*`: how to add a lockspace.
    AddFlags {
        ASYNC = 0x1, "Answer as soon as the join has begun.";
        NODELAY = 0x2, "Skip the waiting (5.x; can be unsafe).";
        NO_WATCHDOG = 0x4, "Do not tie the lockspace to the watchdog (5.x).";
    }
    /// `SANLK_REM_*`: how to remove a lockspace.
    RemFlags {
        ASYNC = 0x1, "Answer as soon as the removal has begun.";
        UNUSED = 0x2, "Refuse with -16 if the lockspace is in use.";
    }
    /// `SANLK_INQ_*`: how to inquire about a lockspace.
    InqFlags {
        WAIT = 0x1, "Wait until an add or removal in progress is done.";
    }
    /// `SANLK_WRITE_*`: how to format a lease area.
    WriteFlags {
        CLEAR = 0x1, "Write a cleared lease: reading it fails afterwards. For a lockspace in 5.x: update leader flags only (`SANLK_WRITE_LS_FLAGS`).";
        USE_CAW = 0x2, "Use compare-and-write if supported (5.x).";
        NO_CAW = 0x4, "Do not use compare-and-write (5.x).";
    }
    /// `SANLK_GET_HOST_*`: how to list hosts.
    GetHostsFlags {
        LOCAL = 0x1, "Only the local host (5.x).";
    }
    /// `SANLK_CONFIG_*`: what `set_config` does. The value is a command, not a set of bits.
    ConfigCommand {
        USED = 0x1, "The lockspace is used by something outside: if it fails, the watchdog fires.";
        UNUSED = 0x2, "Undo `USED`.";
        USED_BY_ORPHANS = 0x4, "Orphaned resources count as use.";
        UNUSED_BY_ORPHANS = 0x8, "Undo `USED_BY_ORPHANS`.";
        IO_TIMEOUT = 0x10, "Change the io timeout (5.x).";
    }
    /// `SANLK_SETEV_*`: how to set an event.
    SetEventFlags {
        CUR_GENERATION = 0x1, "Fill in the target's current generation if that of the event is 0.";
        CLEAR_HOSTID = 0x2, "Only take the target out of the notification bitmap.";
        CLEAR_EVENT = 0x4, "Only zero the event's values.";
        REPLACE_EVENT = 0x8, "Replace an earlier event that is still being delivered.";
        ALL_HOSTS = 0x10, "Notify every host.";
    }
    /// `SANLK_RESTRICT_*`: what a connection gives up.
    RestrictFlags {
        ALL = 0x1, "No further command on this connection.";
        SIGKILL = 0x2, "The daemon may not SIGKILL the process.";
        SIGTERM = 0x4, "The daemon may not SIGTERM the process.";
    }
    /// `SANLK_KILLPATH_*`: how the kill program is run.
    KillpathFlags {
        PID = 0x1, "Add the pid to the program's arguments.";
    }
    /// `SANLK_ACQUIRE_*`: how to acquire.
    AcquireFlags {
        LVB = 0x1, "Read the lock value block and keep it for `get_lvb` and `set_lvb`.";
        ORPHAN = 0x2, "Take over the lease if it is an orphan here, else acquire as usual.";
        ORPHAN_ONLY = 0x4, "Take over an orphan, else fail with -2.";
        OWNER_NOWAIT = 0x8, "Do not wait for a dead owner's lease to time out, fail with -247.";
        FOR_CLIENT_ID = 0x10, "data2 is a client id instead of a pid (5.x).";
    }
    /// `SANLK_REL_*`: how to release.
    ReleaseFlags {
        ALL = 0x1, "Everything the process holds; resources in the request are ignored.";
        RENAME = 0x2, "Release the first resource and give its lease the name of the second.";
        ORPHAN = 0x4, "Release orphans: one resource's, or all of the lockspace if its name is empty.";
        NO_DISK = 0x8, "Do not touch the disk (5.x).";
        FOR_CLIENT_ID = 0x10, "data2 is a client id instead of a pid (5.x).";
    }
    /// `SANLK_CONVERT_*`: how to convert.
    ConvertFlags {
        OWNER_NOWAIT = 0x8, "As for acquire.";
        FOR_CLIENT_ID = 0x10, "data2 is a client id instead of a pid (5.x).";
    }
    /// Flags of `inquire`; 3.x has none.
    InquireFlags {
        FOR_CLIENT_ID = 0x10, "data2 is a client id instead of a pid (5.x).";
    }
    /// `SANLK_REQUEST_*`: how to request a lease.
    RequestFlags {
        NEXT_LVER = 0x1, "Request the lease's current version plus one.";
    }
    /// `SANLK_RX*`: how to work on a resource index.
    RindexOpFlags {
        NO_LOCKSPACE = 0x1, "Do not use the lockspace's lease around the operation.";
        ADD = 0x10000, "`update_rindex`: add the entry.";
        REM = 0x20000, "`update_rindex`: remove the entry.";
    }
}

/// Name each set bit, and the rest in hexadecimal.
fn write_names(
    f: &mut std::fmt::Formatter<'_>,
    bits: u32,
    names: &[(&str, u32)],
) -> std::fmt::Result {
    if bits == 0 {
        return f.write_str("NONE");
    }
    let mut rest = bits;
    let mut separator = "";
    for (name, value) in names {
        if bits & value == *value {
            write!(f, "{separator}{name}")?;
            separator = "|";
            rest &= !value;
        }
    }
    if rest != 0 {
        write!(f, "{separator}{rest:#x}")?;
    }
    Ok(())
}

/// Alignment and sector size as the flags of lockspaces, resources and indexes give them; the three sets
/// use the same values. Where several flags of a kind are set the smallest size counts, as in the C
/// daemon; a size is `None` if no flag of its kind is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of one lease area.
    pub align: Option<u32>,
    /// Bytes of one sector.
    pub sector: Option<u32>,
}

impl Sizes {
    fn from_bits(bits: u32) -> Sizes {
        const ALIGNS: [(u32, u32); 4] = [
            (0x10, 1 << 20),
            (0x20, 2 << 20),
            (0x40, 4 << 20),
            (0x80, 8 << 20),
        ];
        const SECTORS: [(u32, u32); 2] = [(0x100, 512), (0x200, 4096)];
        let first = |table: &[(u32, u32)]| {
            table
                .iter()
                .find(|(bit, _)| bits & bit != 0)
                .map(|(_, size)| *size)
        };
        Sizes {
            align: first(&ALIGNS),
            sector: first(&SECTORS),
        }
    }
}

impl LockspaceFlags {
    /// The sizes these flags stand for.
    pub fn sizes(self) -> Sizes {
        Sizes::from_bits(self.0)
    }
}

impl ResourceFlags {
    /// The sizes these flags stand for.
    pub fn sizes(self) -> Sizes {
        Sizes::from_bits(self.0)
    }
}

impl RindexFlags {
    /// The sizes these flags stand for.
    pub fn sizes(self) -> Sizes {
        Sizes::from_bits(self.0)
    }
}

/// State of a host, in the low four bits of [`HostEntry::flags`](crate::HostEntry) (`SANLK_HOST_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostState {
    /// 1: watched for too short a time to tell.
    Unknown,
    /// 2: the host's delta lease is free.
    Free,
    /// 3: the host renews its lease.
    Live,
    /// 4: not renewed for so long that the host should be recovering.
    Fail,
    /// 5: not renewed for so long that the host's watchdog has fired.
    Dead,
}

impl HostState {
    /// The bits of [`HostEntry::flags`](crate::HostEntry) that hold the state (`SANLK_HOST_MASK`).
    pub const MASK: u32 = 0x0f;
    /// Flag beside the state: death was declared from outside (5.x).
    pub const DEAD_EXT: u32 = 0x10;
    /// Flag beside the state: dead because the time has run out (5.x).
    pub const DEAD_SEC: u32 = 0x20;
    /// Flag beside the state: unknown because the data is too old (5.x).
    pub const UNKNOWN_OLD: u32 = 0x40;

    /// The state in these flags, or `None` for a value without meaning.
    pub const fn from_flags(flags: u32) -> Option<HostState> {
        match flags & HostState::MASK {
            1 => Some(HostState::Unknown),
            2 => Some(HostState::Free),
            3 => Some(HostState::Live),
            4 => Some(HostState::Fail),
            5 => Some(HostState::Dead),
            _ => None,
        }
    }

    /// The value on the wire.
    pub const fn bits(self) -> u32 {
        match self {
            HostState::Unknown => 1,
            HostState::Free => 2,
            HostState::Live => 3,
            HostState::Fail => 4,
            HostState::Dead => 5,
        }
    }

    /// The name in capitals as the C command line prints it: `LIVE`.
    pub const fn name(self) -> &'static str {
        match self {
            HostState::Unknown => "UNKNOWN",
            HostState::Free => "FREE",
            HostState::Live => "LIVE",
            HostState::Fail => "FAIL",
            HostState::Dead => "DEAD",
        }
    }
}

/// How a request is to be honoured by the lease's owner (`SANLK_REQ_*`); travels in the header's data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ForceMode(
    /// The value on the wire; values without a name are passed on to the disk.
    pub u32,
);

impl ForceMode {
    /// Only note the request.
    pub const NONE: ForceMode = ForceMode(0);
    /// Kill the process that holds the lease (`SANLK_REQ_FORCE`, once `SANLK_REQ_KILL_PID`).
    pub const FORCE: ForceMode = ForceMode(1);
    /// Run its kill program, or terminate it (`SANLK_REQ_GRACEFUL`).
    pub const GRACEFUL: ForceMode = ForceMode(2);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_names_known_bits_and_shows_the_rest() {
        let flags =
            ResourceFlags::SHARED | ResourceFlags::LVER | ResourceFlags::from_bits(0x8000_0000);
        assert_eq!(format!("{flags:?}"), "LVER|SHARED|0x80000000");
        assert_eq!(format!("{:?}", ResourceFlags::NONE), "NONE");
    }

    #[test]
    fn sizes_take_the_smallest_of_several() {
        let sizes = ResourceFlags::from_bits(0x2f0).sizes();
        assert_eq!((sizes.align, sizes.sector), (Some(1 << 20), Some(4096)));
        assert_eq!(LockspaceFlags::NONE.sizes().align, None);
        assert_eq!(RindexFlags::from_bits(0x300).sizes().sector, Some(512));
    }
}
