//! The connection that stands for this process.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use super::leases::{convert_request, inquired, release_request};
use super::{Connection, check_acquire, owner};
use crate::body::{Resource, ResourceHead};
use crate::error::ClientError;
use crate::flags::{
    AcquireFlags, ConvertFlags, InquireFlags, KillpathFlags, ReleaseFlags, RestrictFlags,
};
use crate::name::{HelperText, Name};
use crate::request::{Release, Request, Target};

use super::leases::Inquiry;

/// A registered connection (`sanlock_register`'s descriptor). The daemon watches it: when it is closed, by
/// whatever end of the process, the daemon releases the leases acquired on it.
#[derive(Debug)]
pub struct Registered {
    connection: Connection,
}

impl AsFd for Registered {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.stream.as_fd()
    }
}

/// To hand the connection to a program that this process becomes. It is close-on-exec until that is
/// cleared.
impl From<Registered> for OwnedFd {
    fn from(registered: Registered) -> OwnedFd {
        registered.connection.stream.into()
    }
}

/// A connection that was registered earlier, for example by the program that became this one.
impl From<OwnedFd> for Registered {
    fn from(fd: OwnedFd) -> Registered {
        Registered::new(Connection {
            stream: UnixStream::from(fd),
        })
    }
}

impl Registered {
    pub(super) fn new(connection: Connection) -> Registered {
        Registered { connection }
    }

    /// Acquires leases for this process (`sanlock_acquire` with a descriptor); all of them or none.
    ///
    /// # Errors
    /// -22 for more than 8 resources or 4 disks; -17 held already, -28 lockspace not joined, -243 held by
    /// another host, and the other lease errors.
    pub fn acquire(
        &mut self,
        flags: AcquireFlags,
        resources: &[Resource],
        owner_name: Option<Name>,
    ) -> Result<i32, ClientError> {
        check_acquire(resources)?;
        self.connection.result(&Request::Acquire {
            target: Target::ThisConnection,
            flags,
            resources: resources.to_vec(),
            options: owner(owner_name),
        })
    }

    /// Releases leases of this process (`sanlock_release` with a descriptor).
    ///
    /// # Errors
    /// -1 for a resource that is not held; the others are released all the same.
    pub fn release(&mut self, flags: ReleaseFlags, what: Release) -> Result<i32, ClientError> {
        self.connection
            .result(&release_request(Target::ThisConnection, flags, what))
    }

    /// What this process holds (`sanlock_inquire` with a descriptor).
    ///
    /// # Errors
    /// Those of the connection, -16 while another command for this process is active.
    pub fn inquire(&mut self) -> Result<Inquiry, ClientError> {
        let request = Request::Inquire {
            target: Target::ThisConnection,
            flags: InquireFlags::NONE,
        };
        inquired(self.connection.call(&request)?)
    }

    /// Makes a held lease shared or exclusive, as the resource's flags say (`sanlock_convert`).
    ///
    /// # Errors
    /// -2 not held, -114 in that mode already, -11 and lease errors when others are in the way.
    pub fn convert(
        &mut self,
        flags: ConvertFlags,
        resource: &ResourceHead,
    ) -> Result<i32, ClientError> {
        self.connection
            .result(&convert_request(Target::ThisConnection, flags, resource))
    }

    /// Gives up rights (`sanlock_restrict`).
    ///
    /// # Errors
    /// Only those of the connection. After [`RestrictFlags::ALL`] no command is answered any more.
    pub fn restrict(&mut self, flags: RestrictFlags) -> Result<i32, ClientError> {
        self.connection.result(&Request::Restrict { flags })
    }

    /// Sets the program that is run when this process should give up its leases (`sanlock_killpath`); path
    /// and arguments are cut after 126 bytes.
    ///
    /// # Errors
    /// Those of the connection, -16 while another command for this process is active.
    pub fn killpath(
        &mut self,
        flags: KillpathFlags,
        path: &[u8],
        args: &[u8],
    ) -> Result<i32, ClientError> {
        self.connection.result(&Request::Killpath {
            target: Target::ThisConnection,
            flags,
            path: HelperText::truncated(path),
            args: HelperText::truncated(args),
        })
    }
}
