//! The removal of one lease.

use std::ffi::CStr;
use std::os::unix::ffi::OsStrExt as _;

use config::qemu_sanlock_conf::LOCKSPACE;
use nix::errno::Errno;
use ondisk::HostId;
use sanlock_proto::client::Registered;
use sanlock_proto::flags::{AcquireFlags, ReleaseFlags};
use sanlock_proto::request::Release;
use sanlock_proto::{Client, ClientError, Disk, DiskPath, Name, Resource};

use crate::directory::Directory;
use crate::lease_file::{LeaseFile, NotALease};

/// What became of a file.
#[derive(Debug)]
pub(crate) enum Fate {
    /// It is gone.
    Removed,
    /// It would be, if this were not only for show.
    WouldGo,
    /// It stays.
    Kept(Kept),
}

/// Why a file stays.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Kept {
    #[error("{}{}", if .0.is_failure() { "" } else { "not a lease of this lockspace: " }, .0)]
    NotALease(#[from] NotALease),
    #[error("in use: {}", sanlock_proto::describe(*.0))]
    InUse(i32),
    #[error("in use by host {}", .0.0)]
    InUseBy(HostId),
    #[error("the lease daemon says {}{}", sanlock_proto::describe(*.0), advice(*.0))]
    Refused(i32),
    #[error("{}{}", .0, how_to_reach(.0))]
    NoDaemon(ClientError),
    #[error(
        "the lockspace {LOCKSPACE} is not joined on this host: libvirt does that when it starts with auto_disk_leases = 1, \
         unless another host has its host_id (both in qemu-sanlock.conf; libvirt's log and sanlock client gets -h 1 tell)"
    )]
    NotJoined,
    #[error("its path is too long for the lease daemon: use a shorter disk_lease_dir")]
    Path,
    #[error("somebody else has removed or replaced it meanwhile")]
    Replaced,
    #[error(
        "cannot be removed: {0}; be root, on a host that may write to the directory (root_squash of NFS takes root's rights)"
    )]
    Unlink(Errno),
}

/// What to do about a daemon's number.
fn advice(number: i32) -> String {
    let explained = sanlock_proto::explain(number);
    explained.main().map_or_else(String::new, |reading| {
        format!(". {}", reading.advice.trim_end_matches('.'))
    })
}

/// What to do where the daemon cannot be asked.
fn how_to_reach(error: &ClientError) -> &'static str {
    match error {
        ClientError::Connect { source, .. }
            if source.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            "; the socket is for root and the daemon's group only: run this as root"
        }
        ClientError::Connect { .. } => {
            "; the lease daemon does not run (systemctl start sanlock), or uses another SANLOCK_RUN_DIR"
        }
        _ => "; see what the lease daemon's log says (/var/log/sanlock.log), and try again",
    }
}

/// Results of an acquire that are about somebody else who has the lease: -EEXIST, -EAGAIN, -EBUSY and
/// `SANLK_ACQUIRE_IDLIVE`, `_OWNED`, `_OTHER`, `_OWNED_RETRY`.
const IN_USE: &[i32] = &[-17, -11, -16, -243, -244, -245, -246];

/// Removes leases, one after the other, over one connection to the lease daemon.
#[derive(Debug)]
pub(crate) struct Remover<'a> {
    directory: &'a Directory,
    daemon: Client,
    connection: Option<Registered>,
    host: Option<HostId>,
}

impl<'a> Remover<'a> {
    pub(crate) fn new(directory: &'a Directory) -> Self {
        Self {
            directory,
            daemon: Client::new(),
            connection: None,
            host: None,
        }
    }

    /// What would become of a file, judged by what stands in it.
    pub(crate) fn judge(&self, name: &CStr) -> Fate {
        match LeaseFile::open(self.directory, name) {
            Ok(file) => match file.first_owner() {
                Some(host) => Fate::Kept(Kept::InUseBy(host)),
                None => Fate::WouldGo,
            },
            Err(why) => Fate::Kept(why.into()),
        }
    }

    /// Removes a file if it is a lease that nobody holds.
    pub(crate) fn remove(&mut self, name: &CStr) -> Fate {
        match self.try_to_remove(name) {
            Ok(()) => Fate::Removed,
            Err(why) => Fate::Kept(why),
        }
    }

    fn try_to_remove(&mut self, name: &CStr) -> Result<(), Kept> {
        let file = LeaseFile::open(self.directory, name).map_err(|why| match why {
            NotALease::Open(Errno::ENOENT) => Kept::Replaced,
            other => other.into(),
        })?;
        let resource = self.resource(name)?;
        let host = self.host_id()?;
        let connection = self.connection()?;
        let acquired =
            connection.acquire(AcquireFlags::NONE, std::slice::from_ref(&resource), None);
        if let Err(refused) = acquired {
            let why = self.not_acquired(refused);
            // What is said of a lease that another host is removing is no failure.
            let gone = matches!(why, Kept::Refused(_)) && !file.has_its_name()?;
            return Err(if gone { Kept::Replaced } else { why });
        }
        let removed = remove_while_held(&file, host);
        // With the name gone there is nothing that the daemon could write the release to, and it says so.
        let what = Release::Resources(vec![resource.head()]);
        if let Err(error) = connection.release(ReleaseFlags::NONE, what) {
            if !matches!(error, ClientError::Refused { .. }) {
                self.connection = None;
            }
        }
        removed
    }

    fn resource(&self, name: &CStr) -> Result<Resource, Kept> {
        let path = self.directory.path_of(name);
        let path = DiskPath::from_bytes(path.as_os_str().as_bytes()).map_err(|_| Kept::Path)?;
        Ok(Resource {
            lockspace: Name::truncated(LOCKSPACE.as_bytes()),
            name: Name::truncated(name.to_bytes()),
            disks: vec![Disk { path, offset: 0 }],
            ..Resource::default()
        })
    }

    /// This host's number in the lockspace.
    fn host_id(&mut self) -> Result<HostId, Kept> {
        if let Some(host) = self.host {
            return Ok(host);
        }
        let joined = self.daemon.get_lockspaces().map_err(Kept::NoDaemon)?;
        let ours = joined
            .items
            .iter()
            .find(|lockspace| lockspace.name.as_bytes() == LOCKSPACE.as_bytes());
        let host = HostId(ours.ok_or(Kept::NotJoined)?.host_id);
        self.host = Some(host);
        Ok(host)
    }

    fn connection(&mut self) -> Result<&mut Registered, Kept> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.daemon.register().map_err(Kept::NoDaemon)?,
        };
        Ok(self.connection.insert(connection))
    }

    fn not_acquired(&mut self, refused: ClientError) -> Kept {
        const ENOSPC: i32 = -28;
        match refused {
            ClientError::Refused { result, .. } if IN_USE.contains(&result) => Kept::InUse(result),
            ClientError::Refused { result: ENOSPC, .. } => Kept::NotJoined,
            ClientError::Refused { result, .. } => Kept::Refused(result),
            // The daemon gives back what it may have acquired for a connection that is closed.
            other => {
                self.connection = None;
                self.host = None;
                Kept::NoDaemon(other)
            }
        }
    }
}

/// Steps 3 to 5 of what the crate's description says.
fn remove_while_held(file: &LeaseFile<'_>, host: HostId) -> Result<(), Kept> {
    if !file.is_what_was_acquired(host)? {
        return Err(Kept::Replaced);
    }
    file.unlink().map_err(Kept::Unlink)?;
    // The file is gone whether or not the mark can be written.
    let _ = file.mark_removed();
    Ok(())
}
