//! The actions that only look.

use sanlock_proto::{ClientError, HostEntry, Lockspace, Resource, StateKind};

use super::{Run, number};
use crate::cli::failure;
use crate::cli::json::{self, document};
use crate::cli::text::status::{Order, status};
use crate::cli::text::{Line, hosts, leases, versions};

/// Longest log that the original takes; one that is announced as longer is not printed.
const MAX_LOG: usize = 1024 * 1024;

/// -11, EAGAIN: a lockspace's hosts have not been looked at yet.
const NOT_READY: i32 = -11;

/// -28, ENOSPC: not all of a list came.
const NOT_ALL: i32 = -28;

impl Run<'_, '_> {
    pub(super) fn status(&mut self) -> i32 {
        match self.client.status(None) {
            Err(error) => self.silent_failure(error),
            Ok(records) => {
                if self.options.json {
                    self.console.json(&document(json::Status::of(&records)));
                } else {
                    let order = Order::from_letter(self.options.sort);
                    self.console
                        .lines(&status(&records, order, self.options.debug));
                }
                0
            }
        }
    }

    pub(super) fn host_status(&mut self) -> i32 {
        let name = self.options.lockspace.name;
        if name.is_empty() {
            return self.all_host_status();
        }
        match self.client.host_status(name) {
            Err(error) => self.silent_failure(error),
            Ok(records) if self.options.json => {
                let hosts = json::LockspaceHosts::of(name.as_bytes(), &records);
                self.console.json(&document(json::HostStatus {
                    lockspaces: vec![hosts],
                }));
                0
            }
            Ok(records) => {
                self.console
                    .lines(&hosts::host_status(&records, self.options.debug));
                0
            }
        }
    }

    fn all_host_status(&mut self) -> i32 {
        let records = match self.client.status(Some(StateKind::Lockspace)) {
            Ok(records) => records,
            Err(error) => return self.silent_failure(error),
        };
        let mut lockspaces = Vec::new();
        for record in records
            .iter()
            .filter(|record| record.kind() == StateKind::Lockspace)
        {
            // One that is left meanwhile has no hosts, and is no failure.
            let found = self.client.host_status(record.name).unwrap_or_default();
            if self.options.json {
                lockspaces.push(json::LockspaceHosts::of(record.name.as_bytes(), &found));
            } else {
                self.console
                    .line(&Line::new("lockspace ").raw(record.name.as_bytes()));
                self.console
                    .lines(&hosts::host_status(&found, self.options.debug));
            }
        }
        if self.options.json {
            self.console
                .json(&document(json::HostStatus { lockspaces }));
        }
        0
    }

    pub(super) fn renewal(&mut self) -> i32 {
        let name = self.options.lockspace.name;
        let records = if name.is_empty() {
            Err(self.missing("-s LOCKSPACE is needed"))
        } else {
            self.client.renewal(name)
        };
        match records {
            Err(error) => self.silent_failure(error),
            Ok(records) => {
                if self.options.json {
                    self.console
                        .json(&document(json::Renewals::of(name.as_bytes(), &records)));
                } else {
                    self.console.lines(&hosts::renewals(&records));
                }
                0
            }
        }
    }

    /// The original's result is the number of bytes, so that it never succeeds.
    pub(super) fn log_dump(&mut self) -> i32 {
        match self.client.log_dump() {
            Err(error) => self.silent_failure(error),
            Ok(log) => {
                if log.announced > 0 && log.announced <= MAX_LOG {
                    self.console.raw(&log.text);
                    self.console.raw(b"\n");
                    if log.text.len() < log.announced {
                        let (part, all) = (log.text.len(), log.announced);
                        self.console
                            .say(format_args!("partial dump {part} of {all}"));
                    }
                }
                1
            }
        }
    }

    pub(super) fn version(&mut self) -> i32 {
        let (version, proto) = match self.client.version() {
            Ok(versions) => versions,
            Err(error) => {
                self.console
                    .say(format_args!("daemon version error {}", error.code()));
                self.explain(&Err(error));
                (0, 0)
            }
        };
        self.console.lines(&versions(version, proto));
        0
    }

    pub(super) fn gets(&mut self) -> i32 {
        let list = match self.client.get_lockspaces() {
            Ok(list) => list,
            Err(error) if self.options.json => return self.silent_failure(error),
            Err(error) => {
                self.console
                    .say(format_args!("gets error {}", error.code()));
                return self.failed(error);
            }
        };
        if self.options.json {
            let lockspaces = list
                .items
                .iter()
                .map(|lockspace| self.listed(lockspace))
                .collect();
            let total = list.total;
            self.console
                .json(&document(json::ListedLockspaces { lockspaces, total }));
            return 0;
        }
        if list.items.len() < list.total {
            self.console.say(format_args!("gets error {NOT_ALL}"));
        }
        for lockspace in &list.items {
            self.console.line(&leases::listed_lockspace(lockspace));
            if self.options.hosts {
                self.hosts_of(lockspace);
            }
        }
        0
    }

    fn listed(&self, lockspace: &Lockspace) -> json::ListedLockspace {
        let hosts = match self.options.hosts {
            true => self.client.get_hosts(lockspace.name, 0).ok(),
            false => None,
        };
        json::ListedLockspace::of(
            lockspace,
            hosts.as_ref().map(|hosts| hosts.items.as_slice()),
        )
    }

    fn hosts_of(&mut self, lockspace: &Lockspace) {
        match self.client.get_hosts(lockspace.name, 0) {
            Ok(list) if list.items.len() < list.total => {
                self.console.say(format_args!("hosts error {NOT_ALL}"));
            }
            Ok(list) => {
                let lines: Vec<Line> = list.items.iter().map(hosts::listed_host).collect();
                self.console.lines(&lines);
            }
            Err(error) if error.code() == NOT_READY => self.console.say("hosts not ready"),
            Err(error) => self
                .console
                .say(format_args!("hosts error {}", error.code())),
        }
    }

    pub(super) fn read(&mut self) -> i32 {
        let outcome = if self.options.is_about_lockspace() {
            self.read_lockspace()
        } else {
            self.read_resource()
        };
        match outcome {
            Ok(number) => number,
            Err(error) if self.options.json => self.silent_failure(error),
            Err(error) => {
                self.console
                    .say(format_args!("read error {}", error.code()));
                self.failed(error)
            }
        }
    }

    fn read_lockspace(&mut self) -> Result<i32, ClientError> {
        let (lockspace, io_timeout) = self
            .client
            .read_lockspace(&self.options.sized_lockspace())?;
        if self.options.json {
            self.console
                .json(&document(json::ReadLockspace::of(&lockspace, io_timeout)));
        } else {
            let lines = leases::read_lockspace(&lockspace, io_timeout, self.options.debug);
            self.console.lines(&lines);
        }
        Ok(0)
    }

    fn read_resource(&mut self) -> Result<i32, ClientError> {
        let Some(resource) = self.options.sized_resource() else {
            return Err(self.missing("-s LOCKSPACE with a path, or -r RESOURCE, is needed"));
        };
        let (head, owners) = if self.options.hosts {
            let (head, owners) = self.client.read_resource_owners(&resource)?;
            (head, Some(owners))
        } else {
            (self.client.read_resource(&resource)?, None)
        };
        let resource = Resource::from_head(head, resource.disks);
        if self.options.json {
            self.console.json(&document(json::ReadResource::of(
                &resource,
                owners.as_deref(),
            )));
            return Ok(0);
        }
        Ok(self.print_resource(&resource, owners.as_deref()))
    }

    fn print_resource(&mut self, resource: &Resource, owners: Option<&[HostEntry]>) -> i32 {
        match leases::read_resource(resource, self.options.debug) {
            Err(error) => {
                self.console
                    .say(format_args!("res_to_str error {}", error.code()));
                error.code()
            }
            Ok(lines) => {
                self.console.lines(&lines);
                let owners = owners.unwrap_or_default().iter().map(hosts::owner);
                self.console.lines(&owners.collect::<Vec<_>>());
                0
            }
        }
    }

    pub(super) fn inquire_json(&mut self) -> i32 {
        let outcome = match (self.options.pid, self.options.client_id) {
            (pid, client_id) if pid < 0 && client_id >= 0 => {
                self.client.inquire_client_id(client_id)
            }
            (pid, _) => self.client.inquire(pid.max(-1)),
        };
        match outcome {
            Err(error) => self.silent_failure(error),
            Ok(inquiry) => {
                let state = inquiry.state.unwrap_or_default();
                let resources = match state.is_empty() {
                    true => Ok(Vec::new()),
                    false => sanlock_proto::text::state_to_resources(&state),
                };
                match resources {
                    Ok(resources) => {
                        self.console.json(&document(json::Inquiry::of(&resources)));
                        0
                    }
                    Err(error) => {
                        self.console
                            .json(&document(failure::json_failure(error.code(), error)));
                        error.code()
                    }
                }
            }
        }
    }

    /// A failure of which the original prints nothing; with `--json`, a document about it.
    fn silent_failure(&mut self, error: ClientError) -> i32 {
        if self.options.json {
            self.console.json(&document(failure::json_of(&error)));
        }
        self.failed(error)
    }

    fn failed(&mut self, error: ClientError) -> i32 {
        let outcome = Err(error);
        self.explain(&outcome);
        number(&outcome)
    }
}
