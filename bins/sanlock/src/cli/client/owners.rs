//! Who holds a lease that could not be had: asked for after a failure, told on standard error.

use std::collections::BTreeMap;
use std::time::Duration;

use sanlock_proto::flags::HostState;
use sanlock_proto::state::Attached;
use sanlock_proto::{Client, HostEntry, Name, Resource};

use super::Run;
use crate::cli::number::signed;
use crate::cli::text::Line;

/// How long each question may take: what is told here is not worth waiting for.
const PATIENCE: Duration = Duration::from_secs(3);

/// Results that mean that another host is in the way.
const HELD_ELSEWHERE: [i32; 7] = [-11, -243, -244, -245, -246, -247, -212];

/// -17, EEXIST: a process of this host is in the way.
const HELD_HERE: i32 = -17;

impl Run<'_, '_> {
    /// Tells who holds the leases, if the number means that somebody does.
    pub(super) fn say_who_holds(&mut self, number: i32, wanted: &[Resource]) {
        let client = self.client.clone().with_timeout(PATIENCE);
        let mut lines = Vec::new();
        if number == HELD_HERE {
            lines = held_here(&client, wanted);
        } else if HELD_ELSEWHERE.contains(&number) {
            for resource in wanted {
                lines.extend(held_elsewhere(&client, resource));
            }
        }
        for line in lines {
            let line = String::from_utf8_lossy(line.as_bytes()).into_owned();
            self.console.hint(line);
        }
    }
}

fn held_here(client: &Client, wanted: &[Resource]) -> Vec<Line> {
    let records = client.status(None).unwrap_or_default();
    let holder = |wanted: &Resource| {
        let record = records.iter().find(|record| {
            matches!(&record.attached, Attached::Resource(held)
                if held.lockspace == wanted.lockspace && held.name == wanted.name)
        })?;
        let pid = signed(record.data32);
        Some(named(wanted).show(format_args!(" is held on this host, by process {pid}")))
    };
    wanted.iter().filter_map(holder).collect()
}

fn held_elsewhere(client: &Client, resource: &Resource) -> Vec<Line> {
    let Ok((head, owners)) = client.read_resource_owners(resource) else {
        return Vec::new();
    };
    if owners.is_empty() {
        return vec![named(resource).show(" is free by now")];
    }
    let hosts = Hosts::of(client, head.lockspace);
    owners
        .iter()
        .map(|owner| hosts.line(resource, owner))
        .collect()
}

fn named(resource: &Resource) -> Line {
    Line::new("sanlock: resource ")
        .raw(resource.lockspace.as_bytes())
        .show(":")
        .raw(resource.name.as_bytes())
}

/// What this host's daemon knows of the lockspace's hosts.
struct Hosts {
    names: BTreeMap<u64, String>,
    entries: Vec<HostEntry>,
    ours: Option<u64>,
}

impl Hosts {
    fn of(client: &Client, lockspace: Name) -> Hosts {
        let records = client.host_status(lockspace).unwrap_or_default();
        let names = records
            .iter()
            .filter_map(|record| {
                Some((
                    u64::from(record.data32),
                    record.value("owner_name")?.to_owned(),
                ))
            })
            .collect();
        let entries = client
            .get_hosts(lockspace, 0)
            .map(|list| list.items)
            .unwrap_or_default();
        let joined = client
            .get_lockspaces()
            .map(|list| list.items)
            .unwrap_or_default();
        let ours = joined
            .iter()
            .find(|joined| joined.name == lockspace)
            .map(|ours| ours.host_id);
        Hosts {
            names,
            entries,
            ours,
        }
    }

    fn line(&self, resource: &Resource, owner: &HostEntry) -> Line {
        let id = owner.host_id;
        let how = if owner.timestamp == 0 {
            "shared"
        } else {
            "held"
        };
        let mut line = named(resource).show(format_args!(" is {how} by host id {id}"));
        if let Some(name) = self.names.get(&id) {
            line = line.show(format_args!(" ({name})"));
        }
        line = line.show(format_args!(", generation {}", owner.generation));
        if self.ours == Some(id) {
            return line.show(", which is this host");
        }
        let Some(host) = self.entries.iter().find(|host| host.host_id == id) else {
            return line.show("; nothing is known of that host yet");
        };
        if host.generation > owner.generation {
            return line.show(": that host has restarted since, so the lease can be taken over");
        }
        line.show(match host.state() {
            Some(HostState::Live) => {
                ", which is alive: release the lease there, or ask for it (client request)"
            }
            Some(HostState::Fail) => {
                ", which no longer renews: it is dead, or back, within minutes"
            }
            Some(HostState::Dead) => ", which is dead: the lease can be taken over",
            Some(HostState::Free) => ", which has left the lockspace: the lease can be taken over",
            Some(HostState::Unknown) | None => {
                "; that host has been watched for too short a time to tell whether it is alive"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(state: u32, generation: u64) -> Hosts {
        let host = HostEntry {
            host_id: 2,
            generation,
            timestamp: 9,
            io_timeout: 10,
            flags: state,
        };
        Hosts {
            names: [(2, "two".to_owned())].into(),
            entries: vec![host],
            ours: Some(1),
        }
    }

    fn line(hosts: &Hosts, host_id: u64) -> String {
        let resource = sanlock_proto::text::parse_resource(b"ls:r:/d:0").unwrap();
        let owner = HostEntry {
            host_id,
            generation: 4,
            timestamp: 8,
            ..HostEntry::default()
        };
        String::from_utf8_lossy(hosts.line(&resource, &owner).as_bytes()).into_owned()
    }

    #[test]
    fn the_owner_is_named_with_its_state() {
        let live = line(&hosts(3, 4), 2);
        assert!(
            live.starts_with(
                "sanlock: resource ls:r is held by host id 2 (two), generation 4, which is alive"
            ),
            "{live}"
        );
        assert!(line(&hosts(5, 4), 2).contains("which is dead"));
        assert!(line(&hosts(3, 5), 2).contains("has restarted since"));
        assert!(line(&hosts(3, 4), 1).contains("which is this host"));
        assert!(line(&hosts(3, 4), 7).contains("nothing is known"));
    }
}
