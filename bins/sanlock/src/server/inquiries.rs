//! Requests that only ask: what the daemon knows, and what is on disk.

use ondisk::HostId;
use sanlock_proto::flags::{LockspaceFlags, ResourceFlags};
use sanlock_proto::request::Target as WireTarget;
use sanlock_proto::{HostEntry, Lockspace, Reply, Resource, ResourceHead, StateRecord};

use crate::manager::lockspaces::List;
use crate::manager::storage_commands::ResourceFacts;
use crate::manager::{Code, errno};

use super::dispatch::{Answer, Dispatcher};
use super::{convert, status};

impl Dispatcher {
    pub(super) fn get_lockspaces(&self) -> Answer {
        let lockspaces: Vec<_> = self
            .manager
            .lockspaces()
            .iter()
            .map(|listed| Lockspace {
                flags: match listed.list {
                    List::Spaces => LockspaceFlags::NONE,
                    List::Add => LockspaceFlags::ADD,
                    List::Rem => LockspaceFlags::REM,
                },
                ..convert::wire_lockspace(&listed.space.spec)
            })
            .collect();
        Answer::Reply(Reply::Lockspaces {
            result: 0,
            count: count_of(&lockspaces),
            lockspaces,
        })
    }

    pub(super) fn renewal(&self, lockspace: &Lockspace) -> Answer {
        if self.manager.settings().renewal_history_size == 0 {
            return records(0, 0, Vec::new());
        }
        let Some(space) = self.manager.lockspace(&convert::name(&lockspace.name)) else {
            return records(errno::NOSPC, 0, Vec::new());
        };
        let renewals = status::renewals(&space);
        let io_timeout = if renewals.is_empty() {
            0
        } else {
            space.io_timeout.0
        };
        records(0, io_timeout, renewals)
    }

    pub(super) fn get_hosts(&self, lockspace: &Lockspace) -> Answer {
        let failed = |code| {
            Answer::Reply(Reply::Hosts {
                result: code,
                count: 0,
                hosts: Vec::new(),
            })
        };
        let manager = &self.manager;
        let Some(space) = manager.joined_lockspace(&convert::name(&lockspace.name)) else {
            return failed(errno::NOENT);
        };
        let max_hosts = space
            .geometry
            .get()
            .map_or(0, |geometry| geometry.max_hosts());
        let hosts = crate::manager::locked(&space.hosts);
        if !hosts.is_scanned() {
            return failed(errno::AGAIN);
        }
        let wanted: Vec<_> = match lockspace.host_id {
            0 => hosts
                .hosts()
                .filter(|(_, host)| !host.seen.timestamp.is_free())
                .collect(),
            id if id > max_hosts => Vec::new(),
            id => vec![(HostId(id), hosts.host(HostId(id)))],
        };
        let hosts: Vec<_> = wanted
            .into_iter()
            .map(|(id, host)| HostEntry {
                host_id: id.0,
                generation: host.seen.generation.0,
                timestamp: host.seen.timestamp.0,
                io_timeout: host.seen.io_timeout.map_or(0, |seconds| seconds.0),
                flags: convert::wire_host_state(manager.host_state(&space, &host)),
            })
            .collect();
        Answer::Reply(Reply::Hosts {
            result: 0,
            count: count_of(&hosts),
            hosts,
        })
    }

    pub(super) async fn read_lockspace(&self, mut lockspace: Lockspace) -> Answer {
        let (code, io_timeout) = match self
            .manager
            .read_lockspace(&convert::lockspace(&lockspace))
            .await
        {
            Ok(found) => {
                lockspace.name = convert::wire_name(&found.name);
                lockspace.host_id = found.host_id.0;
                lockspace.flags = LockspaceFlags::from_bits(found.flags);
                (0, found.io_timeout.0)
            }
            Err(code) => (code, 0),
        };
        Answer::Reply(Reply::ReadLockspace {
            result: code,
            io_timeout,
            lockspace,
        })
    }

    pub(super) async fn read_owners(&self, resource: &Resource) -> Answer {
        match self.manager.read_owners(&convert::resource(resource)).await {
            Err(code) => Answer::Reply(Reply::Owners {
                result: code,
                count: 0,
                resource: resource.head(),
                hosts: Vec::new(),
            }),
            Ok(owners) => {
                let mut head = resource.head();
                head.lver = owners.lver.0;
                if owners.shared {
                    head.flags = head.flags.union(ResourceFlags::SHARED);
                }
                let hosts: Vec<_> = owners
                    .hosts
                    .iter()
                    .map(|owner| HostEntry {
                        host_id: owner.host_id.0,
                        generation: owner.generation.0,
                        timestamp: owner.timestamp.0,
                        ..HostEntry::default()
                    })
                    .collect();
                Answer::Reply(Reply::Owners {
                    result: 0,
                    count: count_of(&hosts),
                    resource: head,
                    hosts,
                })
            }
        }
    }

    pub(super) fn inquire(&self, target: WireTarget, command: u32) -> Answer {
        let nothing = |code| {
            Answer::Reply(Reply::Inquire {
                result: code,
                count: 0,
                state: None,
            })
        };
        let target = match self.target(target, command) {
            Ok(target) => target,
            Err(code) => return nothing(code),
        };
        let held = self.manager.inquire(&target);
        if held.is_empty() {
            return nothing(0);
        }
        let resources: Vec<_> = held
            .iter()
            .map(|token| Resource {
                lockspace: convert::wire_name(&token.key.space),
                name: convert::wire_name(&token.key.name),
                lver: token.lver.0,
                flags: if token.shared {
                    ResourceFlags::SHARED
                } else {
                    ResourceFlags::NONE
                },
                disks: token.areas.iter().map(convert::wire_disk).collect(),
                ..Resource::default()
            })
            .collect();
        let (code, state) = match sanlock_proto::text::resources_to_state(&resources) {
            Ok(state) => (0, Some(state)),
            Err(failed) => (failed.code(), None),
        };
        Answer::Reply(Reply::Inquire {
            result: code,
            count: count_of(&held),
            state,
        })
    }
}

/// How many there are, as replies say it.
fn count_of<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}

pub(super) fn records(code: Code, data2: u32, records: Vec<StateRecord>) -> Answer {
    Answer::Reply(Reply::Records {
        result: code,
        data2,
        records,
    })
}

pub(super) fn resource_found(
    mut head: ResourceHead,
    found: Result<ResourceFacts, Code>,
) -> (Code, ResourceHead) {
    match found {
        Err(code) => (code, head),
        Ok(found) => {
            head.lockspace = convert::wire_name(&found.key.space);
            head.name = convert::wire_name(&found.key.name);
            head.lver = found.lver.0;
            head.flags = ResourceFlags::from_bits(found.flags);
            (0, head)
        }
    }
}
