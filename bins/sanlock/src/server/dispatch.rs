//! What the daemon does for each command.

use std::sync::Arc;

use sanlock_proto::command::Afterwards;
use sanlock_proto::flags::{AddFlags, InqFlags, KillpathFlags, RemFlags, RequestFlags, WriteFlags};
use sanlock_proto::request::{Release, Target as WireTarget};
use sanlock_proto::{Command, Lockspace, Reply, Request};
use tokio::sync::mpsc;
use tracing::{debug, error};

use crate::host::{KillPath, Pid};
use crate::manager::clients::ClientId;
use crate::manager::lockspaces::LockspaceConfig;
use crate::manager::{AcquireRequest, Code, Manager, ReceivedEvent, ReleaseRequest, errno};
use crate::version;

use super::inquiries::{records, resource_found};
use super::{Farewell, Server, convert, status};

/// An answer to a request.
pub(super) enum Answer {
    /// Nothing is sent.
    None,
    /// This.
    Reply(Reply),
    /// Success, and then events until the connection ends.
    Events(mpsc::Receiver<ReceivedEvent>),
    /// The daemon's end.
    AtTheEnd(Farewell),
}

/// Answers the requests of one connection.
pub(super) struct Dispatcher {
    server: Arc<Server>,
    pub(super) manager: Arc<Manager>,
    client: ClientId,
    peer: Option<Pid>,
}

fn result(done: Result<(), Code>) -> Answer {
    Answer::Reply(Reply::Result(done.err().unwrap_or(0)))
}

impl Dispatcher {
    pub(super) fn new(server: Arc<Server>, client: ClientId, peer: Option<Pid>) -> Self {
        Self {
            manager: Arc::clone(&server.manager),
            server,
            client,
            peer,
        }
    }

    pub(super) async fn answer(&self, header: &sanlock_proto::Header, request: Request) -> Answer {
        let command = request.command();
        if self.manager.settings().logs_command(command.number()) {
            debug!("client {}: {command}", self.client.0);
        }
        self.manager.update_client(self.client, |client| {
            client.suspend = may_take_long(command);
            if client.pid.is_none() && !command.has_target() {
                client.owner_name = shown_name(command).into_bytes();
            }
        });
        let answer = self.carry_out(header, request).await;
        self.manager
            .update_client(self.client, |client| client.suspend = false);
        if let Answer::Reply(reply) = &answer {
            if self.manager.settings().logs_command(command.number()) || reply.result() < 0 {
                debug!(
                    "client {}: {command} result {}",
                    self.client.0,
                    reply.result()
                );
            }
        }
        answer
    }

    /// What is large and seldom is boxed: the others would carry its room about.
    #[allow(clippy::too_many_lines)] // one line or two per command
    async fn carry_out(&self, header: &sanlock_proto::Header, request: Request) -> Answer {
        let manager = &self.manager;
        match request {
            Request::Register => self.register(),
            Request::Restrict { flags } => {
                manager.update_client(self.client, |client| client.restricted = flags.bits());
                result(Ok(()))
            }
            Request::Version => Answer::Reply(Reply::Version {
                version: version::NUMBER,
            }),
            Request::Shutdown { force } => {
                let _ = manager.shut_down(force);
                Answer::None
            }
            Request::ShutdownWait { force } => {
                let farewell = Farewell::expected(&self.server);
                match manager.shut_down(force) {
                    Ok(()) => Answer::AtTheEnd(farewell),
                    Err(code) => result(Err(code)),
                }
            }
            Request::Status { up_to } => records(0, 0, status::all(manager, up_to)),
            Request::LogDump => Answer::Reply(Reply::LogDump(self.server.log.dump())),
            Request::GetLockspaces => self.get_lockspaces(),
            Request::HostStatus { lockspace } => {
                match manager.lockspace(&convert::name(&lockspace.name)) {
                    Some(space) => records(0, 0, status::hosts(&space)),
                    None => records(errno::NOSPC, 0, Vec::new()),
                }
            }
            Request::Renewal { lockspace } => self.renewal(&lockspace),
            Request::GetHosts { lockspace, .. } => self.get_hosts(&lockspace),
            Request::RegEvent { lockspace, .. } => {
                match manager.register_event(&convert::name(&lockspace.name)) {
                    Ok(events) => Answer::Events(events),
                    Err(code) => result(Err(code)),
                }
            }
            Request::EndEvent { lockspace } => {
                result(manager.end_event(&convert::name(&lockspace.name)))
            }
            Request::SetEvent {
                lockspace,
                event,
                flags,
            } => result(manager.set_event(
                &convert::name(&lockspace.name),
                convert::event(&event),
                flags.bits(),
            )),
            Request::SetConfig { lockspace, command } => {
                let name = convert::name(&lockspace.name);
                result(manager.configure_lockspace(&name, config(command)))
            }
            Request::AddLockspace {
                lockspace,
                flags,
                io_timeout,
            } => result(self.add_lockspace(&lockspace, flags, io_timeout).await),
            Request::InqLockspace { lockspace, flags } => {
                let spec = convert::lockspace(&lockspace);
                Answer::Reply(Reply::Result(if flags.contains(InqFlags::WAIT) {
                    manager.inquire_lockspace_settled(&spec).await
                } else {
                    manager.inquire_lockspace(&spec)
                }))
            }
            Request::RemLockspace { lockspace, flags } => {
                result(self.rem_lockspace(&lockspace, flags).await)
            }
            Request::Align { disk } => {
                Answer::Reply(Reply::Result(manager.align(&convert::area(&disk)).await))
            }
            Request::ExamineLockspace { lockspace } => {
                manager.examine(&convert::name(&lockspace.name), None);
                result(Ok(()))
            }
            Request::ExamineResource { resource } => {
                let key = convert::key(&resource);
                manager.examine(&key.space, Some(&key.name));
                result(Ok(()))
            }
            Request::WriteLockspace {
                lockspace,
                io_timeout,
                ..
            } => {
                let spec = convert::lockspace(&lockspace);
                Answer::Reply(Reply::Result(
                    manager.write_lockspace(&spec, io_timeout).await,
                ))
            }
            Request::WriteResource {
                resource,
                flags,
                data,
                ..
            } => {
                let clear = flags.contains(WriteFlags::CLEAR);
                let spec = convert::resource(&resource);
                Answer::Reply(Reply::Result(
                    manager.write_resource(&spec, data, clear).await,
                ))
            }
            Request::ReadLockspace { lockspace } => self.read_lockspace(lockspace).await,
            Request::ReadResource { resource } => {
                let found = manager.read_resource(&convert::resource(&resource)).await;
                let (code, head) = resource_found(resource.head(), found);
                Answer::Reply(Reply::ReadResource {
                    result: code,
                    resource: head,
                })
            }
            Request::ReadResourceOwners { resource } => self.read_owners(&resource).await,
            Request::SetLvb { resource, lvb } => {
                result(manager.set_lvb(&convert::key(&resource), &lvb))
            }
            Request::GetLvb { resource, length } => {
                let (code, lvb) = match manager.get_lvb(&convert::key(&resource), length) {
                    Ok(lvb) => (0, Some(lvb)),
                    Err(code) => (code, None),
                };
                Answer::Reply(Reply::Lvb { result: code, lvb })
            }
            Request::Acquire {
                target,
                flags,
                resources,
                options,
            } => {
                let request = AcquireRequest {
                    flags: flags.bits(),
                    resources: resources.iter().map(convert::resource).collect(),
                    owner_name: options.owner_name.as_bytes().to_vec(),
                };
                match self.target(target, header.command) {
                    Ok(target) => result(manager.acquire(&target, request).await),
                    Err(code) => result(Err(code)),
                }
            }
            Request::Release { target, what, .. } => match self.target(target, header.command) {
                Ok(target) => {
                    let code = manager.release(&target, release(&what)).await;
                    Answer::Reply(Reply::Result(code))
                }
                Err(code) => result(Err(code)),
            },
            Request::Inquire { target, .. } => self.inquire(target, header.command),
            Request::Convert {
                target,
                flags,
                resource,
            } => match self.target(target, header.command) {
                Ok(target) => {
                    let shared = resource
                        .flags
                        .contains(sanlock_proto::flags::ResourceFlags::SHARED);
                    let key = convert::key(&resource);
                    let converted = manager.convert(&target, &key, shared, flags.bits());
                    result(Box::pin(converted).await)
                }
                Err(code) => result(Err(code)),
            },
            Request::Killpath {
                target,
                flags,
                path,
                args,
            } => match self.target(target, header.command) {
                Ok(target) => {
                    let kill_path = KillPath {
                        path: path.as_bytes().to_vec(),
                        args: args.as_bytes().to_vec(),
                    };
                    let with_pid = flags.contains(KillpathFlags::PID);
                    manager.set_kill_path(&target, kill_path, with_pid);
                    result(Ok(()))
                }
                Err(code) => result(Err(code)),
            },
            Request::Request {
                resource,
                flags,
                force_mode,
            } => {
                let next = flags.contains(RequestFlags::NEXT_LVER);
                let spec = convert::resource(&resource);
                result(manager.request(&spec, force_mode.0, next).await)
            }
            Request::FormatRindex { rindex, .. } => {
                result(manager.format_rindex(&convert::rindex(&rindex)).await)
            }
            Request::RebuildRindex { rindex, .. } => {
                result(Box::pin(manager.rebuild_rindex(&convert::rindex(&rindex))).await)
            }
            Request::UpdateRindex {
                rindex,
                entry,
                flags,
            } => rindex_entry(
                manager
                    .update_rindex(
                        &convert::rindex(&rindex),
                        &convert::rindex_entry(&entry),
                        flags.bits(),
                    )
                    .await,
            ),
            Request::LookupRindex {
                rindex,
                entry,
                flags,
            } => rindex_entry(
                manager
                    .lookup_rindex(
                        &convert::rindex(&rindex),
                        &convert::rindex_entry(&entry),
                        flags.bits(),
                    )
                    .await,
            ),
            Request::CreateResource {
                rindex,
                entry,
                data,
                data2,
                ..
            } => rindex_entry(
                Box::pin(manager.create_resource(
                    &convert::rindex(&rindex),
                    &convert::rindex_entry(&entry),
                    data,
                    data2,
                ))
                .await,
            ),
            Request::DeleteResource { rindex, entry, .. } => rindex_entry(
                Box::pin(
                    manager
                        .delete_resource(&convert::rindex(&rindex), &convert::rindex_entry(&entry)),
                )
                .await,
            ),
        }
    }

    fn register(&self) -> Answer {
        match self.peer {
            Some(pid) => self.manager.register(self.client, pid),
            None => error!(
                "client {}: the kernel does not say which process it is",
                self.client.0
            ),
        }
        Answer::None
    }

    pub(super) fn target(
        &self,
        target: WireTarget,
        command: u32,
    ) -> Result<crate::manager::Target, Code> {
        let pid = match target {
            WireTarget::ThisConnection => None,
            WireTarget::Pid(pid) => Some(Pid(pid)),
        };
        self.manager.begin_command(self.client, pid, command)
    }

    async fn add_lockspace(
        &self,
        lockspace: &Lockspace,
        flags: AddFlags,
        io_timeout: u32,
    ) -> Result<(), Code> {
        let space = self
            .manager
            .join_lockspace(convert::lockspace(lockspace), io_timeout)?;
        if flags.contains(AddFlags::ASYNC) {
            return Ok(());
        }
        self.manager.lockspace_joined(&space).await
    }

    async fn rem_lockspace(&self, lockspace: &Lockspace, flags: RemFlags) -> Result<(), Code> {
        let unused = flags.contains(RemFlags::UNUSED);
        let space = self
            .manager
            .leave_lockspace(&convert::lockspace(lockspace), unused)?;
        if !flags.contains(RemFlags::ASYNC) {
            space.gone().await;
        }
        Ok(())
    }
}

/// Whether the connection counts as suspended meanwhile, as status shows it.
fn may_take_long(command: Command) -> bool {
    command.afterwards() == Afterwards::StaysOpen
        && !matches!(
            command,
            Command::Register | Command::Restrict | Command::Version
        )
}

/// What status shows for a connection without a process: the C program's names, which are numbers for
/// the commands that its workers carry out.
fn shown_name(command: Command) -> String {
    let by_name = !may_take_long(command)
        || matches!(
            command,
            Command::AddLockspace | Command::InqLockspace | Command::RemLockspace
        );
    if by_name {
        command.name().to_owned()
    } else {
        format!("cmd{}", command.number())
    }
}

fn rindex_entry(done: Result<crate::manager::RindexEntrySpec, Code>) -> Answer {
    let (code, entry) = match done {
        Ok(entry) => (0, convert::wire_rindex_entry(&entry)),
        Err(code) => (code, sanlock_proto::RindexEntry::default()),
    };
    Answer::Reply(Reply::RindexEntry {
        result: code,
        entry,
    })
}

fn release(what: &Release) -> ReleaseRequest {
    match what {
        Release::All => ReleaseRequest::All,
        Release::Orphan(resource) => ReleaseRequest::Orphans(convert::key(resource)),
        Release::Rename { resource, new_name } => {
            ReleaseRequest::Rename(convert::key(resource), convert::name(&new_name.name))
        }
        Release::Resources(resources) => {
            ReleaseRequest::These(resources.iter().map(convert::key).collect())
        }
    }
}

fn config(command: sanlock_proto::flags::ConfigCommand) -> LockspaceConfig {
    use sanlock_proto::flags::ConfigCommand;
    match command {
        ConfigCommand::USED => LockspaceConfig::Used(true),
        ConfigCommand::UNUSED => LockspaceConfig::Used(false),
        ConfigCommand::USED_BY_ORPHANS => LockspaceConfig::UsedByOrphans(true),
        ConfigCommand::UNUSED_BY_ORPHANS => LockspaceConfig::UsedByOrphans(false),
        other => LockspaceConfig::Unknown(other.bits()),
    }
}
