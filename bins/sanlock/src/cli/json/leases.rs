//! `gets`, `inquire`, `renewal` and `read`.

use sanlock_proto::flags::{HostState, LockspaceFlags, ResourceFlags, Sizes};
use sanlock_proto::{Disk, HostEntry, StateRecord};
use serde::Serialize;

use super::status::number;
use super::text;

/// Where a lease is.
#[derive(Debug, Serialize)]
pub struct Place {
    /// Path of a file or block device.
    pub path: String,
    /// Bytes from its start.
    pub offset: u64,
}

impl Place {
    pub(super) fn of(disk: &Disk) -> Place {
        Place {
            path: text(disk.path.as_bytes()),
            offset: disk.offset,
        }
    }
}

pub(super) fn places(disks: &[Disk]) -> Vec<Place> {
    disks.iter().map(Place::of).collect()
}

/// `gets --json`.
#[derive(Debug, Serialize)]
pub struct ListedLockspaces {
    /// All lockspaces.
    pub lockspaces: Vec<ListedLockspace>,
    /// How many there are; more than are listed if the daemon's buffer was full.
    pub total: usize,
}

/// A lockspace in a list.
#[derive(Debug, Serialize)]
pub struct ListedLockspace {
    /// Its name.
    pub name: String,
    /// This host's id in it.
    pub host_id: u64,
    /// Where it is.
    #[serde(flatten)]
    pub place: Place,
    /// `add` while it is being joined, `rem` while it is being left.
    pub change: Option<&'static str>,
    /// Its hosts, where they were asked for and are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<ListedHost>>,
}

/// A host in a list.
#[derive(Debug, Serialize)]
pub struct ListedHost {
    /// Its host id.
    pub host_id: u64,
    /// Its generation.
    pub generation: u64,
    /// When it renewed, in seconds of its own monotonic clock; 0 if it has left.
    pub timestamp: u64,
    /// Seconds.
    pub io_timeout: u32,
    /// `UNKNOWN`, `FREE`, `LIVE`, `FAIL` or `DEAD`.
    pub state: Option<&'static str>,
}

impl ListedLockspace {
    /// A lockspace, and its hosts if they were asked for.
    #[must_use]
    pub fn of(
        lockspace: &sanlock_proto::Lockspace,
        hosts: Option<&[HostEntry]>,
    ) -> ListedLockspace {
        let change = if lockspace.flags.contains(LockspaceFlags::ADD) {
            Some("add")
        } else if lockspace.flags.contains(LockspaceFlags::REM) {
            Some("rem")
        } else {
            None
        };
        ListedLockspace {
            name: text(lockspace.name.as_bytes()),
            host_id: lockspace.host_id,
            place: Place::of(&lockspace.disk),
            change,
            hosts: hosts.map(|hosts| hosts.iter().map(ListedHost::of).collect()),
        }
    }
}

impl ListedHost {
    fn of(host: &HostEntry) -> ListedHost {
        ListedHost {
            host_id: host.host_id,
            generation: host.generation,
            timestamp: host.timestamp,
            io_timeout: host.io_timeout,
            state: host.state().map(HostState::name),
        }
    }
}

/// `inquire --json`.
#[derive(Debug, Serialize)]
pub struct Inquiry {
    /// What is held.
    pub resources: Vec<HeldResource>,
}

/// A resource that a process holds.
#[derive(Debug, Serialize)]
pub struct HeldResource {
    /// Its lockspace.
    pub lockspace: String,
    /// Its name.
    pub name: String,
    /// Where its lease is.
    pub disks: Vec<Place>,
    /// Whether it is held shared; the version is not known then.
    pub shared: bool,
    /// Version of the lease.
    pub lver: Option<u64>,
}

impl Inquiry {
    /// What is held.
    #[must_use]
    pub fn of(resources: &[sanlock_proto::Resource]) -> Inquiry {
        let held = |resource: &sanlock_proto::Resource| {
            let shared = resource.flags.contains(ResourceFlags::SHARED);
            HeldResource {
                lockspace: text(resource.lockspace.as_bytes()),
                name: text(resource.name.as_bytes()),
                disks: places(&resource.disks),
                shared,
                lver: (!shared).then_some(resource.lver),
            }
        };
        Inquiry {
            resources: resources.iter().map(held).collect(),
        }
    }
}

/// `renewal --json`.
#[derive(Debug, Serialize)]
pub struct Renewals {
    /// The lockspace's name.
    pub lockspace: String,
    /// Past renewals, the oldest first.
    pub renewals: Vec<Renewal>,
}

/// A renewal that succeeded, and what went wrong between it and the next.
#[derive(Debug, Serialize)]
pub struct Renewal {
    /// When, in seconds of this host's monotonic clock.
    pub timestamp: Option<i64>,
    /// Milliseconds that its read took.
    pub read_ms: Option<i64>,
    /// Milliseconds that its write took.
    pub write_ms: Option<i64>,
    /// Requests that were not answered in time until the next success.
    pub next_timeouts: Option<i64>,
    /// Requests that failed until the next success.
    pub next_errors: Option<i64>,
}

impl Renewals {
    /// The daemon's records about a lockspace's renewals.
    #[must_use]
    pub fn of(lockspace: &[u8], records: &[StateRecord]) -> Renewals {
        let renewal = |record: &StateRecord| Renewal {
            timestamp: number(record, "timestamp"),
            read_ms: number(record, "read_ms"),
            write_ms: number(record, "write_ms"),
            next_timeouts: number(record, "next_timeouts"),
            next_errors: number(record, "next_errors"),
        };
        Renewals {
            lockspace: text(lockspace),
            renewals: records.iter().map(renewal).collect(),
        }
    }
}

/// `read -s --json`.
#[derive(Debug, Serialize)]
pub struct ReadLockspace {
    /// What the delta lease tells.
    pub lockspace: FoundLockspace,
}

/// A lockspace on disk.
#[derive(Debug, Serialize)]
pub struct FoundLockspace {
    /// Its name.
    pub name: String,
    /// The host id whose delta lease was read.
    pub host_id: u64,
    /// Where it is.
    #[serde(flatten)]
    pub place: Place,
    /// Seconds.
    pub io_timeout: u32,
    /// Bytes.
    pub sector_size: Option<u32>,
    /// Bytes.
    pub align_size: Option<u32>,
}

impl ReadLockspace {
    /// A lockspace as the daemon read it.
    #[must_use]
    pub fn of(lockspace: &sanlock_proto::Lockspace, io_timeout: u32) -> ReadLockspace {
        let Sizes { align, sector } = lockspace.flags.sizes();
        ReadLockspace {
            lockspace: FoundLockspace {
                name: text(lockspace.name.as_bytes()),
                host_id: lockspace.host_id,
                place: Place::of(&lockspace.disk),
                io_timeout,
                sector_size: sector,
                align_size: align,
            },
        }
    }
}

/// `read -r --json`.
#[derive(Debug, Serialize)]
pub struct ReadResource {
    /// What the leader tells.
    pub resource: FoundResource,
}

/// A resource on disk.
#[derive(Debug, Serialize)]
pub struct FoundResource {
    /// Its lockspace.
    pub lockspace: String,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub disks: Vec<Place>,
    /// Version of the lease.
    pub lver: u64,
    /// Bytes.
    pub sector_size: Option<u32>,
    /// Bytes.
    pub align_size: Option<u32>,
    /// Who holds it, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owners: Option<Vec<Owner>>,
}

/// A host that holds a resource.
#[derive(Debug, Serialize)]
pub struct Owner {
    /// Its host id.
    pub host_id: u64,
    /// Its generation.
    pub generation: u64,
    /// When it acquired the lease, in seconds of its monotonic clock; `null` if it shares it.
    pub timestamp: Option<u64>,
}

impl ReadResource {
    /// A resource as the daemon read it, and its owners if they were asked for.
    #[must_use]
    pub fn of(resource: &sanlock_proto::Resource, owners: Option<&[HostEntry]>) -> ReadResource {
        let Sizes { align, sector } = resource.flags.sizes();
        let owner = |host: &HostEntry| Owner {
            host_id: host.host_id,
            generation: host.generation,
            timestamp: (host.timestamp != 0).then_some(host.timestamp),
        };
        ReadResource {
            resource: FoundResource {
                lockspace: text(resource.lockspace.as_bytes()),
                name: text(resource.name.as_bytes()),
                disks: places(&resource.disks),
                lver: resource.lver,
                sector_size: sector,
                align_size: align,
                owners: owners.map(|owners| owners.iter().map(owner).collect()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::shown;
    use super::*;
    use sanlock_proto::text::{parse_lockspace, parse_resource};

    #[test]
    fn hosts_are_listed_only_when_asked_for() {
        let lockspace = parse_lockspace(b"ls:3:/d:0");
        let host = HostEntry {
            host_id: 3,
            generation: 1,
            timestamp: 9,
            io_timeout: 10,
            flags: 3,
        };
        let list = |hosts| ListedLockspaces {
            lockspaces: vec![ListedLockspace::of(&lockspace, hosts)],
            total: 1,
        };
        assert_eq!(
            shown(list(None)),
            "{\"format\":1,\"lockspaces\":[{\"name\":\"ls\",\"host_id\":3,\"path\":\"/d\",\
             \"offset\":0,\"change\":null}],\"total\":1}"
        );
        assert!(shown(list(Some(&[host]))).contains(
            "\"hosts\":[{\"host_id\":3,\"generation\":1,\"timestamp\":9,\"io_timeout\":10,\
             \"state\":\"LIVE\"}]"
        ));
    }

    #[test]
    fn a_shared_lease_has_no_version() {
        let held: Vec<_> = [b"ls:r:/d:0:SH".as_slice(), b"ls:q:/d:0:4"]
            .iter()
            .filter_map(|text| parse_resource(text).ok())
            .collect();
        assert_eq!(
            shown(Inquiry::of(&held)),
            "{\"format\":1,\"resources\":[{\"lockspace\":\"ls\",\"name\":\"r\",\
             \"disks\":[{\"path\":\"/d\",\"offset\":0}],\"shared\":true,\"lver\":null},\
             {\"lockspace\":\"ls\",\"name\":\"q\",\"disks\":[{\"path\":\"/d\",\"offset\":0}],\
             \"shared\":false,\"lver\":4}]}"
        );
    }

    #[test]
    fn what_was_read() {
        let mut lockspace = parse_lockspace(b"ls:3:/d:0");
        lockspace.flags = LockspaceFlags::ALIGN1M | LockspaceFlags::SECTOR512;
        assert_eq!(
            shown(ReadLockspace::of(&lockspace, 10)),
            "{\"format\":1,\"lockspace\":{\"name\":\"ls\",\"host_id\":3,\"path\":\"/d\",\"offset\":0,\
             \"io_timeout\":10,\"sector_size\":512,\"align_size\":1048576}}"
        );
        let resource = parse_resource(b"ls:r:/d:0:4").unwrap();
        let owner = HostEntry {
            host_id: 1,
            generation: 2,
            ..HostEntry::default()
        };
        assert!(
            shown(ReadResource::of(&resource, Some(&[owner]))).ends_with(
                "\"lver\":4,\"sector_size\":null,\"align_size\":null,\
             \"owners\":[{\"host_id\":1,\"generation\":2,\"timestamp\":null}]}}"
            )
        );
    }
}
