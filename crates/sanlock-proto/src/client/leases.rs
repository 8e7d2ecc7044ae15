//! Resource leases: of other processes, on disk, and in a resource index.

use super::{Client, check, check_acquire, owner, unexpected};
use crate::body::{HostEntry, Lockspace, Resource, ResourceHead, Rindex, RindexEntry};
use crate::command::Command;
use crate::error::ClientError;
use crate::flags::{
    AcquireFlags, ConvertFlags, ForceMode, InquireFlags, ReleaseFlags, RequestFlags, RindexOpFlags,
    WriteFlags,
};
use crate::name::Name;
use crate::reply::Reply;
use crate::request::{Release, Request, Target};

/// What a process holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inquiry {
    /// How many resources; 0 where the daemon sent no text.
    pub count: u32,
    /// Their string forms, see [`text::state_to_resources`](crate::text::state_to_resources).
    pub state: Option<Vec<u8>>,
}

pub(super) fn inquired(reply: Reply) -> Result<Inquiry, ClientError> {
    match reply {
        Reply::Inquire {
            result,
            count,
            state,
        } => {
            if result < 0 && state.is_some() {
                return Err(ClientError::InquiryCut { result, count });
            }
            check(Command::Inquire, result)?;
            let count = if state.is_some() { count } else { 0 };
            Ok(Inquiry { count, state })
        }
        other => Err(unexpected(Command::Inquire, &other)),
    }
}

pub(super) fn release_request(target: Target, flags: ReleaseFlags, what: Release) -> Request {
    Request::Release {
        target,
        flags,
        what,
    }
}

pub(super) fn convert_request(
    target: Target,
    flags: ConvertFlags,
    resource: &ResourceHead,
) -> Request {
    Request::Convert {
        target,
        flags,
        resource: *resource,
    }
}

/// A resource as the commands that open it need it.
fn check_disks(command: Command, resource: &Resource) -> Result<(), ClientError> {
    let command = command.name();
    if resource.disks.is_empty() || resource.disks.len() > crate::MAX_DISKS {
        return Err(ClientError::Invalid {
            command,
            why: "a resource has 1 to 4 disks",
        });
    }
    if resource
        .disks
        .first()
        .is_some_and(|disk| disk.path.is_empty())
    {
        return Err(ClientError::Invalid {
            command,
            why: "the path of the first disk is empty",
        });
    }
    Ok(())
}

fn check_path(command: Command, lockspace: &Lockspace) -> Result<(), ClientError> {
    if lockspace.disk.path.is_empty() {
        let command = command.name();
        return Err(ClientError::Invalid {
            command,
            why: "the path of the lockspace is empty",
        });
    }
    Ok(())
}

impl Client {
    /// Acquires leases for a registered process (`sanlock_acquire` with a pid).
    ///
    /// # Errors
    /// As for [`Registered::acquire`](super::Registered::acquire), and -3 if the process is not registered.
    pub fn acquire(
        &self,
        pid: i32,
        flags: AcquireFlags,
        resources: &[Resource],
        owner_name: Option<Name>,
    ) -> Result<i32, ClientError> {
        check_acquire(resources)?;
        self.result(&Request::Acquire {
            target: Target::Pid(pid),
            flags,
            resources: resources.to_vec(),
            options: owner(owner_name),
        })
    }

    /// Releases leases of a registered process (`sanlock_release` with a pid), or orphans: then the pid is
    /// that of any registered process, and the result counts them.
    ///
    /// # Errors
    /// -3 if the process is not registered, -1 for a resource that is not held.
    pub fn release(
        &self,
        pid: i32,
        flags: ReleaseFlags,
        what: Release,
    ) -> Result<i32, ClientError> {
        self.result(&release_request(Target::Pid(pid), flags, what))
    }

    /// What a registered process holds (`sanlock_inquire` with a pid).
    ///
    /// # Errors
    /// -3 if the process is not registered.
    pub fn inquire(&self, pid: i32) -> Result<Inquiry, ClientError> {
        let request = Request::Inquire {
            target: Target::Pid(pid),
            flags: InquireFlags::NONE,
        };
        inquired(self.call(&request)?)
    }

    /// What a registered process holds, named by the daemon's number for its connection
    /// (`sanlock_inquire` with `SANLK_FOR_CLIENT_ID`).
    ///
    /// # Errors
    /// -3 if there is no such connection.
    pub fn inquire_client_id(&self, client_id: i32) -> Result<Inquiry, ClientError> {
        let target = Target::Pid(client_id);
        let request = Request::Inquire {
            target,
            flags: InquireFlags::FOR_CLIENT_ID,
        };
        inquired(self.call(&request)?)
    }

    /// Makes a lease held by a registered process shared or exclusive (`sanlock_convert` with a pid).
    ///
    /// # Errors
    /// As for [`Registered::convert`](super::Registered::convert), and -3.
    pub fn convert(
        &self,
        pid: i32,
        flags: ConvertFlags,
        resource: &ResourceHead,
    ) -> Result<i32, ClientError> {
        self.result(&convert_request(Target::Pid(pid), flags, resource))
    }

    /// Asks the owner of a lease to give it up (`sanlock_request`); `resource.lver` is the version wanted,
    /// 0 to clear an earlier request.
    ///
    /// # Errors
    /// -28 lockspace not joined, -272 the lease has that version already, and lease errors.
    pub fn request(
        &self,
        flags: RequestFlags,
        force_mode: ForceMode,
        resource: &Resource,
    ) -> Result<i32, ClientError> {
        self.result(&Request::Request {
            resource: resource.clone(),
            flags,
            force_mode,
        })
    }

    /// Sets the lock value block of a held lease (`sanlock_set_lvb`); it is written on release.
    ///
    /// # Errors
    /// -22 for an empty block or a lease acquired without one, -7 longer than a sector, -2 not held.
    pub fn set_lvb(&self, resource: &ResourceHead, lvb: &[u8]) -> Result<i32, ClientError> {
        let command = Command::SetLvb.name();
        if lvb.is_empty() {
            return Err(ClientError::Invalid {
                command,
                why: "the lock value block is empty",
            });
        }
        self.result(&Request::SetLvb {
            resource: *resource,
            lvb: lvb.to_vec(),
        })
    }

    /// The lock value block of a held lease, a whole sector (`sanlock_get_lvb`).
    ///
    /// # Errors
    /// -2 not held, -22 acquired without one.
    pub fn get_lvb(&self, resource: &ResourceHead) -> Result<Vec<u8>, ClientError> {
        match self.call(&Request::GetLvb {
            resource: *resource,
            length: 0,
        })? {
            Reply::Lvb { result, lvb } => {
                check(Command::GetLvb, result).map(|_| lvb.unwrap_or_default())
            }
            other => Err(unexpected(Command::GetLvb, &other)),
        }
    }

    /// Formats a lockspace (`sanlock_write_lockspace`); `max_hosts` is ignored by the daemon, `io_timeout` in
    /// seconds or 0 for the daemon's own.
    ///
    /// # Errors
    /// -22 no path, -19 cannot be opened, and write errors.
    pub fn write_lockspace(
        &self,
        lockspace: &Lockspace,
        max_hosts: u32,
        flags: WriteFlags,
        io_timeout: u32,
    ) -> Result<i32, ClientError> {
        check_path(Command::WriteLockspace, lockspace)?;
        self.result(&Request::WriteLockspace {
            lockspace: lockspace.clone(),
            flags,
            max_hosts,
            io_timeout,
        })
    }

    /// Formats a resource lease (`sanlock_write_resource`). The C daemon takes `max_hosts` for num_hosts and
    /// ignores `num_hosts`.
    ///
    /// # Errors
    /// -22 no path or a wrong number of disks, errors of opening and writing.
    pub fn write_resource(
        &self,
        resource: &Resource,
        max_hosts: u32,
        num_hosts: u32,
        flags: WriteFlags,
    ) -> Result<i32, ClientError> {
        check_disks(Command::WriteResource, resource)?;
        self.result(&Request::WriteResource {
            resource: resource.clone(),
            flags,
            data: max_hosts,
            data2: num_hosts,
        })
    }

    /// Reads the delta lease of `lockspace.host_id`, or of host 1 for 0 (`sanlock_read_lockspace`): the
    /// lockspace and its io timeout in seconds.
    ///
    /// # Errors
    /// -22 no path, -19 cannot be opened, -223 no lockspace there, -226 another name.
    pub fn read_lockspace(&self, lockspace: &Lockspace) -> Result<(Lockspace, u32), ClientError> {
        let command = Command::ReadLockspace;
        check_path(command, lockspace)?;
        match self.call(&Request::ReadLockspace {
            lockspace: lockspace.clone(),
        })? {
            Reply::ReadLockspace {
                result,
                io_timeout,
                lockspace,
            } => check(command, result).map(|_| (lockspace, io_timeout)),
            other => Err(unexpected(command, &other)),
        }
    }

    /// Reads a resource lease (`sanlock_read_resource`).
    ///
    /// # Errors
    /// -22 no path or a wrong number of disks, -2 no such file, -223 no lease there, -226 and -227 other
    /// names.
    pub fn read_resource(&self, resource: &Resource) -> Result<ResourceHead, ClientError> {
        let command = Command::ReadResource;
        check_disks(command, resource)?;
        match self.call(&Request::ReadResource {
            resource: resource.clone(),
        })? {
            Reply::ReadResource { result, resource } => check(command, result).map(|_| resource),
            other => Err(unexpected(command, &other)),
        }
    }

    /// Reads a resource lease and who holds it (`sanlock_read_resource_owners`).
    ///
    /// # Errors
    /// As for [`Client::read_resource`].
    pub fn read_resource_owners(
        &self,
        resource: &Resource,
    ) -> Result<(ResourceHead, Vec<HostEntry>), ClientError> {
        let command = Command::ReadResourceOwners;
        check_disks(command, resource)?;
        match self.call(&Request::ReadResourceOwners {
            resource: resource.clone(),
        })? {
            Reply::Owners {
                result,
                resource,
                hosts,
                ..
            } => check(command, result).map(|_| (resource, hosts)),
            other => Err(unexpected(command, &other)),
        }
    }

    /// Formats a resource index (`sanlock_format_rindex`).
    ///
    /// # Errors
    /// -22 no name or path, errors of opening and writing.
    pub fn format_rindex(&self, rindex: &Rindex, flags: RindexOpFlags) -> Result<i32, ClientError> {
        check_rindex(Command::FormatRindex, rindex)?;
        self.result(&Request::FormatRindex {
            rindex: rindex.clone(),
            flags,
        })
    }

    /// Makes a resource index anew from the leases found (`sanlock_rebuild_rindex`).
    ///
    /// # Errors
    /// As for [`Client::update_rindex`].
    pub fn rebuild_rindex(
        &self,
        rindex: &Rindex,
        flags: RindexOpFlags,
    ) -> Result<i32, ClientError> {
        check_rindex(Command::RebuildRindex, rindex)?;
        self.result(&Request::RebuildRindex {
            rindex: rindex.clone(),
            flags,
        })
    }

    /// Adds or removes an index entry (`sanlock_update_rindex`).
    ///
    /// # Errors
    /// -22 no name or path, -2 lockspace not joined or entry not found, -274 to -278 for a bad index.
    pub fn update_rindex(
        &self,
        rindex: &Rindex,
        flags: RindexOpFlags,
        entry: RindexEntry,
    ) -> Result<RindexEntry, ClientError> {
        self.rindex_entry(
            &Request::UpdateRindex {
                rindex: rindex.clone(),
                entry,
                flags,
            },
            rindex,
        )
    }

    /// Finds the entry with a name, or with an offset, or with neither the first free one
    /// (`sanlock_lookup_rindex`).
    ///
    /// # Errors
    /// As for [`Client::update_rindex`].
    pub fn lookup_rindex(
        &self,
        rindex: &Rindex,
        flags: RindexOpFlags,
        entry: RindexEntry,
    ) -> Result<RindexEntry, ClientError> {
        self.rindex_entry(
            &Request::LookupRindex {
                rindex: rindex.clone(),
                entry,
                flags,
            },
            rindex,
        )
    }

    /// Formats a resource lease in a free place and adds it to the index (`sanlock_create_resource`).
    ///
    /// # Errors
    /// As for [`Client::update_rindex`].
    pub fn create_resource(
        &self,
        rindex: &Rindex,
        flags: RindexOpFlags,
        entry: RindexEntry,
        max_hosts: u32,
        num_hosts: u32,
    ) -> Result<RindexEntry, ClientError> {
        let request = Request::CreateResource {
            rindex: rindex.clone(),
            entry,
            flags,
            data: max_hosts,
            data2: num_hosts,
        };
        self.rindex_entry(&request, rindex)
    }

    /// Clears a lease and takes it out of the index (`sanlock_delete_resource`).
    ///
    /// # Errors
    /// As for [`Client::update_rindex`].
    pub fn delete_resource(
        &self,
        rindex: &Rindex,
        flags: RindexOpFlags,
        entry: RindexEntry,
    ) -> Result<RindexEntry, ClientError> {
        self.rindex_entry(
            &Request::DeleteResource {
                rindex: rindex.clone(),
                entry,
                flags,
            },
            rindex,
        )
    }

    fn rindex_entry(&self, request: &Request, rindex: &Rindex) -> Result<RindexEntry, ClientError> {
        let command = request.command();
        check_rindex(command, rindex)?;
        match self.call(request)? {
            Reply::RindexEntry { result, entry } => check(command, result).map(|_| entry),
            other => Err(unexpected(command, &other)),
        }
    }
}

fn check_rindex(command: Command, rindex: &Rindex) -> Result<(), ClientError> {
    if rindex.lockspace.is_empty() || rindex.disk.path.is_empty() {
        let command = command.name();
        return Err(ClientError::Invalid {
            command,
            why: "an index needs a lockspace name and a path",
        });
    }
    Ok(())
}
