//! `status` and `host_status`.

use std::collections::BTreeMap;

use sanlock_proto::flags::ResourceFlags;
use sanlock_proto::state::Attached;
use sanlock_proto::{StateKind, StateRecord};
use serde::Serialize;

use super::leases::{Place, places};
use super::text;
use crate::cli::number::signed;
use crate::cli::text::status::WORKER;

/// The daemon's own `key=value` pairs, as text: what it calls internal state. Keys come and go with
/// the daemon's version.
type Internal = BTreeMap<String, String>;

/// `status --json`.
#[derive(Debug, Default, Serialize)]
pub struct Status {
    /// The daemon itself.
    pub daemon: Option<Daemon>,
    /// Connections.
    pub clients: Vec<Client>,
    /// Lockspaces.
    pub lockspaces: Vec<Lockspace>,
    /// Resource leases held here.
    pub resources: Vec<Resource>,
    /// Worker threads of a daemon that has some.
    pub workers: Vec<Worker>,
}

/// The daemon.
#[derive(Debug, Serialize)]
pub struct Daemon {
    /// Its host's name in delta leases.
    pub host_name: String,
    /// The version it stands for.
    pub version: Option<String>,
    /// Its other state.
    pub internal: Internal,
}

/// A connection.
#[derive(Debug, Serialize)]
pub struct Client {
    /// Process that registered on it.
    pub pid: Option<i32>,
    /// The daemon's number for it, as `-C` takes it.
    pub client_id: Option<i64>,
    /// What the process calls itself.
    pub name: String,
    /// Its other state.
    pub internal: Internal,
}

/// A lockspace.
#[derive(Debug, Serialize)]
pub struct Lockspace {
    /// Its name.
    pub name: String,
    /// This host's id in it.
    pub host_id: u64,
    /// This host's generation in it.
    pub generation: Option<i64>,
    /// Where it is.
    #[serde(flatten)]
    pub place: Place,
    /// `add` while it is being joined, `rem` while it is being left.
    pub change: Option<&'static str>,
    /// Seconds.
    pub io_timeout: Option<i64>,
    /// Bytes.
    pub sector_size: Option<i64>,
    /// Bytes.
    pub align_size: Option<i64>,
    /// Result of the last renewal: 1 is success.
    pub renewal_last_result: Option<i64>,
    /// Seconds of this host's monotonic clock.
    pub renewal_last_attempt: Option<i64>,
    /// Seconds of this host's monotonic clock.
    pub renewal_last_success: Option<i64>,
    /// Whether it is failing: its processes are being killed.
    pub killing: Option<bool>,
    /// Whether the time for its leases has run out.
    pub dead: Option<bool>,
    /// Its other state.
    pub internal: Internal,
}

/// A resource lease that is held here.
#[derive(Debug, Serialize)]
pub struct Resource {
    /// Its lockspace.
    pub lockspace: String,
    /// Its name.
    pub name: String,
    /// Where its lease is.
    pub disks: Vec<Place>,
    /// Whether it is held shared.
    pub shared: bool,
    /// Version of the lease.
    pub lver: u64,
    /// Process that holds it, or held it if it is an orphan.
    pub pid: i32,
    /// `add` while it is being acquired, `rem` while it is being released, `orphan` if its process is gone.
    pub change: Option<&'static str>,
    /// Its other state.
    pub internal: Internal,
}

/// A worker thread.
#[derive(Debug, Serialize)]
pub struct Worker {
    /// Which.
    pub number: u32,
    /// Its state.
    pub internal: Internal,
}

impl Status {
    /// Sorts the daemon's records by what they are about.
    #[must_use]
    pub fn of(records: &[StateRecord]) -> Status {
        let mut status = Status::default();
        for record in records {
            match &record.attached {
                Attached::Lockspace(lockspace) => {
                    status.lockspaces.push(Lockspace::of(record, lockspace));
                }
                Attached::Resource(resource) => {
                    status.resources.push(Resource::of(record, resource))
                }
                Attached::Nothing(StateKind::Daemon) => status.daemon = Some(Daemon::of(record)),
                Attached::Nothing(StateKind::Client) => status.clients.push(Client::of(record)),
                Attached::Nothing(WORKER) => status.workers.push(Worker {
                    number: record.data32,
                    internal: internal(record),
                }),
                Attached::Nothing(_) => {}
            }
        }
        status
    }
}

impl Daemon {
    fn of(record: &StateRecord) -> Daemon {
        Daemon {
            host_name: text(record.name.as_bytes()),
            version: record.value("version_str").map(str::to_owned),
            internal: internal(record),
        }
    }
}

impl Client {
    fn of(record: &StateRecord) -> Client {
        let pid = signed(record.data32);
        Client {
            pid: (pid != -1).then_some(pid),
            client_id: number(record, "ci"),
            name: text(record.name.as_bytes()),
            internal: internal(record),
        }
    }
}

impl Lockspace {
    fn of(record: &StateRecord, lockspace: &sanlock_proto::Lockspace) -> Lockspace {
        Lockspace {
            name: text(lockspace.name.as_bytes()),
            host_id: lockspace.host_id,
            generation: number(record, "host_generation"),
            place: Place::of(&lockspace.disk),
            change: change(record),
            io_timeout: number(record, "io_timeout"),
            sector_size: number(record, "sector_size"),
            align_size: number(record, "align_size"),
            renewal_last_result: number(record, "renewal_last_result"),
            renewal_last_attempt: number(record, "renewal_last_attempt"),
            renewal_last_success: number(record, "renewal_last_success"),
            killing: number(record, "killing_pids").map(|value| value != 0),
            dead: number(record, "space_dead").map(|value| value != 0),
            internal: internal(record),
        }
    }
}

impl Resource {
    fn of(record: &StateRecord, resource: &sanlock_proto::Resource) -> Resource {
        Resource {
            lockspace: text(resource.lockspace.as_bytes()),
            name: text(resource.name.as_bytes()),
            disks: places(&resource.disks),
            shared: resource.flags.contains(ResourceFlags::SHARED),
            lver: record.data64,
            pid: signed(record.data32),
            change: change(record),
            internal: internal(record),
        }
    }
}

/// `host_status --json`.
#[derive(Debug, Serialize)]
pub struct HostStatus {
    /// The lockspaces asked about.
    pub lockspaces: Vec<LockspaceHosts>,
}

/// The hosts of one lockspace.
#[derive(Debug, Serialize)]
pub struct LockspaceHosts {
    /// The lockspace's name.
    pub name: String,
    /// Its hosts, this one included.
    pub hosts: Vec<Host>,
}

/// A host as the last renewal saw it.
#[derive(Debug, Serialize)]
pub struct Host {
    /// Its host id.
    pub host_id: u32,
    /// Its name in its delta lease.
    pub name: Option<String>,
    /// Its generation.
    pub generation: Option<i64>,
    /// When it renewed, in seconds of its own monotonic clock; 0 if it has left.
    pub timestamp: u64,
    /// Seconds.
    pub io_timeout: Option<i64>,
    /// When its lease was last read, in seconds of this host's monotonic clock.
    pub last_check: Option<i64>,
    /// When it was last seen renewed, in seconds of this host's monotonic clock.
    pub last_live: Option<i64>,
    /// Its other state.
    pub internal: Internal,
}

impl LockspaceHosts {
    /// The hosts among the daemon's records about a lockspace.
    #[must_use]
    pub fn of(name: &[u8], records: &[StateRecord]) -> LockspaceHosts {
        let hosts = records
            .iter()
            .filter(|record| record.kind() == StateKind::Host);
        LockspaceHosts {
            name: text(name),
            hosts: hosts.map(Host::of).collect(),
        }
    }
}

impl Host {
    fn of(record: &StateRecord) -> Host {
        Host {
            host_id: record.data32,
            name: record.value("owner_name").map(str::to_owned),
            generation: number(record, "owner_generation"),
            timestamp: record.data64,
            io_timeout: number(record, "io_timeout"),
            last_check: number(record, "last_check"),
            last_live: number(record, "last_live"),
            internal: internal(record),
        }
    }
}

pub(super) fn number(record: &StateRecord, key: &str) -> Option<i64> {
    record.value(key)?.parse().ok()
}

fn change(record: &StateRecord) -> Option<&'static str> {
    match record.value("list")? {
        "add" => Some("add"),
        "rem" => Some("rem"),
        "orphan" | "orphans" => Some("orphan"),
        _ => None,
    }
}

fn internal(record: &StateRecord) -> Internal {
    let pairs = text(&record.text);
    pairs
        .split(' ')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::shown;
    use super::*;

    #[test]
    fn a_lockspace_in_status() {
        let lockspace = sanlock_proto::text::parse_lockspace(b"ls:3:/d:0");
        let mut record = StateRecord::new(Attached::Lockspace(lockspace));
        record.text = b"list=add io_timeout=10 renewal_last_result=-202 space_dead=1".to_vec();
        assert_eq!(
            shown(Status::of(&[record])),
            "{\"format\":1,\"daemon\":null,\"clients\":[],\"lockspaces\":[{\"name\":\"ls\",\
             \"host_id\":3,\"generation\":null,\"path\":\"/d\",\"offset\":0,\"change\":\"add\",\
             \"io_timeout\":10,\"sector_size\":null,\"align_size\":null,\
             \"renewal_last_result\":-202,\"renewal_last_attempt\":null,\
             \"renewal_last_success\":null,\"killing\":null,\"dead\":true,\
             \"internal\":{\"io_timeout\":\"10\",\"list\":\"add\",\"renewal_last_result\":\"-202\",\
             \"space_dead\":\"1\"}}],\"resources\":[],\"workers\":[]}"
        );
    }

    #[test]
    fn a_host_in_host_status() {
        let mut record = StateRecord::new(Attached::Nothing(StateKind::Host));
        record.data32 = 2;
        record.data64 = 99;
        record.text =
            b"last_check=7 last_live=6 owner_generation=4 io_timeout=10 owner_name=two".to_vec();
        let shown = shown(HostStatus {
            lockspaces: vec![LockspaceHosts::of(b"ls", &[record])],
        });
        assert!(shown.starts_with(
            "{\"format\":1,\"lockspaces\":[{\"name\":\"ls\",\"hosts\":[{\"host_id\":2,\
             \"name\":\"two\",\"generation\":4,\"timestamp\":99,\"io_timeout\":10,\
             \"last_check\":7,\"last_live\":6,\"internal\":{"
        ));
    }
}
