//! What can be wrong with a leader.

use crate::{HostId, Leader, LeaseKind, Name, Timestamp};
use std::fmt;

/// A leader that cannot be used, and the first field that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LeaderFault {
    /// Fewer bytes were given than a leader has.
    #[error("{len} bytes are too few for a leader: it has {}", Leader::LEN)]
    Short {
        /// The bytes there were.
        len: usize,
    },

    /// The resource was removed on purpose.
    #[error("the resource lease was cleared, at {at} of the clock of the host that did it")]
    Cleared {
        /// When, on the clock of the host that cleared it.
        at: Timestamp,
    },

    /// This is no lease of the kind that was looked for.
    #[error("no {kind} here: magic number {found:#010x}{}, expected {:#010x}", MagicOf(*found), kind.magic())]
    Magic {
        /// The kind that was looked for.
        kind: LeaseKind,
        /// The magic number found.
        found: u32,
    },

    /// A lease of a version that cannot be read.
    #[error(
        "{kind} of version {found:#010x}{}, expected {:#06x}xxxx{}",
        VersionOf(*kind, *found),
        kind.version() >> 16,
        NewFlags(*flags)
    )]
    Version {
        /// The kind of lease.
        kind: LeaseKind,
        /// The version found.
        found: u32,
        /// The flags found, which tell what a newer version is used for.
        flags: u32,
    },

    /// The lease belongs to another lockspace.
    #[error("the lease belongs to lockspace {found:?}, expected {expected:?}")]
    Lockspace {
        /// The lockspace found.
        found: Name,
        /// The lockspace that was looked for.
        expected: Name,
    },

    /// The lease is that of another resource.
    #[error("the lease is that of resource {found:?}, expected {expected:?}")]
    Resource {
        /// The resource found.
        found: Name,
        /// The resource that was looked for.
        expected: Name,
    },

    /// The lease has no dblock for the host.
    #[error("the lease has {found} hosts, too few for host id {host}")]
    NumHosts {
        /// The number of hosts found.
        found: u64,
        /// The host that needs a dblock.
        host: HostId,
    },

    /// The leader was damaged, or not written as a whole.
    #[error("leader with checksum {found:#010x}, expected {expected:#010x} for its bytes")]
    Checksum {
        /// The checksum found.
        found: u32,
        /// The checksum that the leader's bytes have.
        expected: u32,
    },
}

impl LeaderFault {
    /// The number that C clients expect (`sanlock_rv.h`): -223, -224 or -226 to -229; -220 for
    /// [`LeaderFault::Short`].
    pub fn code(&self) -> i32 {
        match self {
            Self::Short { .. } => -220,
            Self::Cleared { .. } | Self::Magic { .. } => -223,
            Self::Version { .. } => -224,
            Self::Lockspace { .. } => -226,
            Self::Resource { .. } => -227,
            Self::NumHosts { .. } => -228,
            Self::Checksum { .. } => -229,
        }
    }
}

/// What a magic number that was not expected stands for.
pub(crate) struct MagicOf(pub(crate) u32);

impl fmt::Display for MagicOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0 => " (nothing, or not completely initialised)",
            0x1221_2010 => " (a delta lease: a lockspace)",
            0x0615_2010 => " (a paxos lease: a resource)",
            0x1128_2016 => " (a cleared paxos lease)",
            0x0829_2011 => " (a request record)",
            0x0104_2018 => " (a resource index)",
            _ => "",
        })
    }
}

/// Whose version this is, if not ours.
struct VersionOf(LeaseKind, u32);

impl fmt::Display for VersionOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.0, self.1 >> 16) {
            (LeaseKind::Delta, 4) => " (a newer sanlock's, 4.0 or later)",
            (LeaseKind::Delta, 5) | (LeaseKind::Paxos, 7) => " (a newer sanlock's, 5.0 or later)",
            (kind, major) if major > kind.version() >> 16 => " (a newer sanlock's)",
            _ => "",
        })
    }
}

/// Flags that only newer versions know, learnt from the names that sanlock 5.1.1 prints for them.
struct NewFlags(u32);

impl fmt::Display for NewFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [(0x2, "NO_TIMEOUT"), (0x4, "DEAD_EXT"), (0x8, "CAW")];
        let mut lead = "; it has the flags ";
        for (_, name) in names.iter().filter(|(flag, _)| self.0 & flag != 0) {
            write!(f, "{lead}{name}")?;
            lead = ", ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_sentences_with_what_was_found_and_expected() {
        let name = |name: &str| name.parse::<Name>().unwrap();
        let cases = [
            (
                LeaderFault::Short { len: 7 },
                "7 bytes are too few for a leader: it has 200",
            ),
            (
                LeaderFault::Magic {
                    kind: LeaseKind::Delta,
                    found: 0,
                },
                "no delta lease here: magic number 0x00000000 (nothing, or not completely \
                 initialised), expected 0x12212010",
            ),
            (
                LeaderFault::Magic {
                    kind: LeaseKind::Delta,
                    found: 0x0615_2010,
                },
                "no delta lease here: magic number 0x06152010 (a paxos lease: a resource), \
                 expected 0x12212010",
            ),
            (
                LeaderFault::Version {
                    kind: LeaseKind::Delta,
                    found: 0x0005_0000,
                    flags: 0x1a,
                },
                "delta lease of version 0x00050000 (a newer sanlock's, 5.0 or later), \
                 expected 0x0003xxxx; it has the flags NO_TIMEOUT, CAW",
            ),
            (
                LeaderFault::Version {
                    kind: LeaseKind::Delta,
                    found: 0x0004_0000,
                    flags: 0x10,
                },
                "delta lease of version 0x00040000 (a newer sanlock's, 4.0 or later), \
                 expected 0x0003xxxx",
            ),
            (
                LeaderFault::Version {
                    kind: LeaseKind::Paxos,
                    found: 0x0007_0000,
                    flags: 0,
                },
                "paxos lease of version 0x00070000 (a newer sanlock's, 5.0 or later), \
                 expected 0x0006xxxx",
            ),
            (
                LeaderFault::Version {
                    kind: LeaseKind::Paxos,
                    found: 0x0008_0001,
                    flags: 0,
                },
                "paxos lease of version 0x00080001 (a newer sanlock's), expected 0x0006xxxx",
            ),
            (
                LeaderFault::Version {
                    kind: LeaseKind::Paxos,
                    found: 0x0005_0001,
                    flags: 0,
                },
                "paxos lease of version 0x00050001, expected 0x0006xxxx",
            ),
            (
                LeaderFault::Lockspace {
                    found: name("a"),
                    expected: name("b"),
                },
                "the lease belongs to lockspace \"a\", expected \"b\"",
            ),
            (
                LeaderFault::NumHosts {
                    found: 7,
                    host: HostId(8),
                },
                "the lease has 7 hosts, too few for host id 8",
            ),
            (
                LeaderFault::Checksum {
                    found: 0xab,
                    expected: 0xcd,
                },
                "leader with checksum 0x000000ab, expected 0x000000cd for its bytes",
            ),
        ];
        for (fault, sentence) in cases {
            assert_eq!(fault.to_string(), sentence);
        }
    }
}
