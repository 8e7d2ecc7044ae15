//! A blocking client that behaves like libsanlock: one method per function, the same bytes on the socket,
//! and with [`ClientError::code`] the same numbers.
//!
//! [`Client`] connects anew for each call, as the library does for everything that is not about the calling
//! process's own leases. [`Registered`] is the connection that stands for this process: while it is open
//! the daemon counts the leases acquired on it as this process's, and when it is closed it releases them.
//! [`EventStream`] is a connection that delivers host events.
//!
//! Where the library returns 0 or more, a method returns `Ok`; the number itself where it can be other than
//! 0. Calls wait as long as the daemon does unless [`Client::with_timeout`] limits them.

mod connection;
mod events;
mod leases;
mod registered;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::body::{Disk, HostEntry, Lockspace, Options, Resource, ResourceHead};
use crate::command::Command;
use crate::error::ClientError;
use crate::flags::{AddFlags, ConfigCommand, GetHostsFlags, HostState, InqFlags, RemFlags};
use crate::name::Name;
use crate::reply::Reply;
use crate::request::Request;
use crate::state::{StateKind, StateRecord};

use connection::Connection;
pub use events::EventStream;
pub use leases::Inquiry;
pub use registered::Registered;

/// Where the daemon's socket is: `$SANLOCK_RUN_DIR/sanlock.sock`, or in `/run/sanlock`.
pub fn default_socket() -> PathBuf {
    socket_in(
        &std::env::var_os(crate::RUN_DIR_VARIABLE)
            .map_or_else(|| PathBuf::from(crate::DEFAULT_RUN_DIR), PathBuf::from),
    )
}

/// The socket in this run directory.
pub fn socket_in(run_dir: &Path) -> PathBuf {
    run_dir.join(crate::SOCKET_NAME)
}

/// A list, and how many entries there would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    /// What came.
    pub items: Vec<T>,
    /// How many there are; more than came if the daemon's buffer of 1 MiB was full, which is -28 (ENOSPC)
    /// in C.
    pub total: usize,
}

/// The log buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogText {
    /// The text, without a NUL; less than announced if the connection ended early.
    pub text: Vec<u8>,
    /// Bytes that the daemon announced.
    pub announced: usize,
}

/// Asks the daemon at a socket; holds no connection.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
    timeout: Option<Duration>,
}

impl Default for Client {
    fn default() -> Self {
        Client::new()
    }
}

impl Client {
    /// A client of the daemon at [`default_socket`].
    pub fn new() -> Client {
        Client::at(default_socket())
    }

    /// A client of the daemon at this socket.
    pub fn at(socket: impl Into<PathBuf>) -> Client {
        Client {
            socket: socket.into(),
            timeout: None,
        }
    }

    /// Limits how long each send and each receive of a call may wait; the error is -11 (EAGAIN) then. The
    /// daemon goes on with what was asked.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Client {
        Client {
            timeout: Some(timeout),
            ..self
        }
    }

    /// The socket's path.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    fn connect(&self) -> Result<Connection, ClientError> {
        Connection::open(&self.socket, self.timeout)
    }

    fn call(&self, request: &Request) -> Result<Reply, ClientError> {
        self.connect()?.call(request)
    }

    /// The result of a call that answers with nothing else: the daemon's if 0 or more.
    fn result(&self, request: &Request) -> Result<i32, ClientError> {
        self.connect()?.result(request)
    }

    /// Joins a lockspace (`sanlock_add_lockspace_timeout`); `io_timeout` in seconds, 0 for the daemon's own.
    ///
    /// # Errors
    /// -17 joined already, -115 being joined, -11 being left, -22 bad host id or name, and lease errors.
    pub fn add_lockspace(
        &self,
        lockspace: &Lockspace,
        flags: AddFlags,
        io_timeout: u32,
    ) -> Result<i32, ClientError> {
        self.result(&Request::AddLockspace {
            lockspace: lockspace.clone(),
            flags,
            io_timeout,
        })
    }

    /// Whether this lockspace is joined (`sanlock_inq_lockspace`): `Ok` if so.
    ///
    /// # Errors
    /// -2 not joined, -115 being joined or left.
    pub fn inq_lockspace(
        &self,
        lockspace: &Lockspace,
        flags: InqFlags,
    ) -> Result<i32, ClientError> {
        self.result(&Request::InqLockspace {
            lockspace: lockspace.clone(),
            flags,
        })
    }

    /// Leaves a lockspace (`sanlock_rem_lockspace`).
    ///
    /// # Errors
    /// -2 not joined, -115 being left, -16 in use and [`RemFlags::UNUSED`] given.
    pub fn rem_lockspace(
        &self,
        lockspace: &Lockspace,
        flags: RemFlags,
    ) -> Result<i32, ClientError> {
        self.result(&Request::RemLockspace {
            lockspace: lockspace.clone(),
            flags,
        })
    }

    /// All lockspaces (`sanlock_get_lockspaces`), with [`LockspaceFlags`](crate::flags::LockspaceFlags) ADD
    /// or REM for those that are being joined or left.
    ///
    /// # Errors
    /// Only those of the connection.
    pub fn get_lockspaces(&self) -> Result<Listed<Lockspace>, ClientError> {
        match self.call(&Request::GetLockspaces)? {
            Reply::Lockspaces {
                result,
                count,
                lockspaces,
            } => listed(Command::GetLockspaces, result, count, lockspaces),
            other => Err(unexpected(Command::GetLockspaces, &other)),
        }
    }

    /// The hosts of a lockspace (`sanlock_get_hosts`): the one with this id, or for 0 all seen alive.
    ///
    /// # Errors
    /// -2 lockspace not joined, -11 nothing known yet.
    pub fn get_hosts(
        &self,
        lockspace: Name,
        host_id: u64,
    ) -> Result<Listed<HostEntry>, ClientError> {
        let lockspace = Lockspace {
            host_id,
            ..Lockspace::named(lockspace)
        };
        match self.call(&Request::GetHosts {
            lockspace,
            flags: GetHostsFlags::NONE,
        })? {
            Reply::Hosts {
                result,
                count,
                hosts,
            } => listed(Command::GetHosts, result, count, hosts),
            other => Err(unexpected(Command::GetHosts, &other)),
        }
    }

    /// Marks a lockspace used or unused (`sanlock_set_config`).
    ///
    /// # Errors
    /// -2 not joined, -28 failed already, -22 no such command.
    pub fn set_config(&self, lockspace: Name, command: ConfigCommand) -> Result<i32, ClientError> {
        self.result(&Request::SetConfig {
            lockspace: Lockspace::named(lockspace),
            command,
        })
    }

    /// Alignment in bytes that a disk needs for leases (`sanlock_align`).
    ///
    /// # Errors
    /// -19 if it cannot be opened.
    pub fn align(&self, disk: &Disk) -> Result<i32, ClientError> {
        self.result(&Request::Align { disk: disk.clone() })
    }

    /// The daemon's version, 0xMMmmpp00, and its protocol version (`sanlock_version`).
    ///
    /// # Errors
    /// Only those of the connection.
    pub fn version(&self) -> Result<(u32, u32), ClientError> {
        let (header, reply) = self.connect()?.call_with_header(&Request::Version)?;
        match reply {
            Reply::Version { version } => Ok((version, header.version)),
            other => Err(unexpected(Command::Version, &other)),
        }
    }

    /// Records of everything the daemon knows, up to a kind (`sanlock status`).
    ///
    /// # Errors
    /// Only those of the connection. A stream that ends early gives what came.
    pub fn status(&self, up_to: Option<StateKind>) -> Result<Vec<StateRecord>, ClientError> {
        self.records(&Request::Status { up_to })
    }

    /// Records of the hosts of a lockspace (`sanlock host_status`).
    ///
    /// # Errors
    /// -28 not joined.
    pub fn host_status(&self, lockspace: Name) -> Result<Vec<StateRecord>, ClientError> {
        self.records(&Request::HostStatus {
            lockspace: Lockspace::named(lockspace),
        })
    }

    /// Records of a lockspace's last renewals (`sanlock renewal`).
    ///
    /// # Errors
    /// -28 not joined.
    pub fn renewal(&self, lockspace: Name) -> Result<Vec<StateRecord>, ClientError> {
        self.records(&Request::Renewal {
            lockspace: Lockspace::named(lockspace),
        })
    }

    fn records(&self, request: &Request) -> Result<Vec<StateRecord>, ClientError> {
        match self.call(request)? {
            Reply::Records {
                result, records, ..
            } => check(request.command(), result).map(|_| records),
            other => Err(unexpected(request.command(), &other)),
        }
    }

    /// The daemon's log buffer (`sanlock log_dump`).
    ///
    /// # Errors
    /// Only those of the connection.
    pub fn log_dump(&self) -> Result<LogText, ClientError> {
        let (header, reply) = self.connect()?.call_with_header(&Request::LogDump)?;
        match reply {
            Reply::LogDump(text) => Ok(LogText {
                text,
                announced: usize::try_from(header.result()).unwrap_or(0),
            }),
            other => Err(unexpected(Command::LogDump, &other)),
        }
    }

    /// Ends the daemon; nothing tells whether it will (`sanlock shutdown`).
    ///
    /// # Errors
    /// Only those of the connection.
    pub fn shutdown(&self, force: bool) -> Result<(), ClientError> {
        self.connect()?.send(&Request::Shutdown { force })
    }

    /// Ends the daemon and waits for its end (`sanlock shutdown -w 1`).
    ///
    /// # Errors
    /// -16 if there are lockspaces and it is not forced.
    pub fn shutdown_wait(&self, force: bool) -> Result<i32, ClientError> {
        self.connect()?.result(&Request::ShutdownWait { force })
    }

    /// Makes the daemon look at once for requests of the resources it holds in a lockspace
    /// (`sanlock_examine`).
    ///
    /// # Errors
    /// Only those of the connection.
    pub fn examine_lockspace(&self, lockspace: &Lockspace) -> Result<i32, ClientError> {
        self.result(&Request::ExamineLockspace {
            lockspace: lockspace.clone(),
        })
    }

    /// Makes the daemon look at once for requests of one resource (`sanlock_examine`).
    ///
    /// # Errors
    /// Only those of the connection.
    pub fn examine_resource(&self, resource: &ResourceHead) -> Result<i32, ClientError> {
        self.result(&Request::ExamineResource {
            resource: *resource,
        })
    }

    /// Makes a connection stand for this process (`sanlock_register`). The daemon does not answer this;
    /// that it has been understood shows at the next command.
    ///
    /// # Errors
    /// Only those of the connection.
    pub fn register(&self) -> Result<Registered, ClientError> {
        let mut connection = self.connect()?;
        connection.send(&Request::Register)?;
        Ok(Registered::new(connection))
    }
}

/// Whether owners of a lease would keep it from being acquired (`sanlock_test_resource_owners`), judged
/// from the lockspace's hosts; nobody is asked.
///
/// # Errors
/// -22 if a host's generation is lower than the owner's, which cannot be, or its state is unknown.
pub fn owners_prevent_acquire(owners: &[HostEntry], hosts: &[HostEntry]) -> Result<bool, i32> {
    let mut prevented = false;
    for owner in owners {
        let Some(host) = hosts.iter().find(|host| host.host_id == owner.host_id) else {
            continue;
        };
        if host.generation > owner.generation {
            continue;
        }
        if host.generation < owner.generation {
            return Err(-22);
        }
        match host.state() {
            Some(HostState::Free | HostState::Dead) => {}
            Some(HostState::Live | HostState::Fail | HostState::Unknown) => prevented = true,
            None => return Err(-22),
        }
    }
    Ok(prevented)
}

/// Arguments of acquire as libsanlock checks them before it sends anything.
fn check_acquire(resources: &[Resource]) -> Result<(), ClientError> {
    let command = Command::Acquire.name();
    if resources.len() > crate::MAX_RESOURCES {
        return Err(ClientError::Invalid {
            command,
            why: "at most 8 resources in one call",
        });
    }
    if resources
        .iter()
        .any(|resource| resource.disks.len() > crate::MAX_DISKS)
    {
        return Err(ClientError::Invalid {
            command,
            why: "at most 4 disks of one resource",
        });
    }
    Ok(())
}

fn owner(name: Option<Name>) -> Options {
    Options {
        owner_name: name.unwrap_or_default(),
        ..Options::default()
    }
}

fn listed<T>(
    command: Command,
    result: i32,
    count: u32,
    items: Vec<T>,
) -> Result<Listed<T>, ClientError> {
    const ENOSPC: i32 = -28;
    if result != ENOSPC {
        check(command, result)?;
    }
    Ok(Listed {
        items,
        total: usize::try_from(count).unwrap_or(usize::MAX),
    })
}

fn check(command: Command, result: i32) -> Result<i32, ClientError> {
    if result < 0 {
        return Err(ClientError::Refused {
            command: command.name(),
            result,
        });
    }
    Ok(result)
}

/// A reply that is not of the command's shape: a refusal without a body, or nonsense.
fn unexpected(command: Command, reply: &Reply) -> ClientError {
    match reply.result() {
        result if result < 0 => ClientError::Refused {
            command: command.name(),
            result,
        },
        _ => ClientError::Closed {
            command: command.name(),
        },
    }
}

#[cfg(test)]
mod tests;
