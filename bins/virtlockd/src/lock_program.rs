//! The lock program's procedures.
//!
//! What is checked, in which order, and what is answered is the C daemon's: flags first, then whether the connection is
//! restricted, then whether it has named an owner, then the lock space.

use std::rc::Rc;

use fcntl::{AcquireFlags, LockError, LockTable, OwnerPid};
use libvirt_rpc::lock::{self, LockText, ResourceArgs};
use libvirt_rpc::server::{Call, Served};
use libvirt_rpc::{ErrorCode, ErrorDomain, Packet, RemoteError};
use tracing::{debug, error, warn};

use crate::holders::{self, Owners};
use crate::reexec::state::OwnerState;

/// What is served on the main socket.
pub(crate) const SERVED: Served = Served {
    program: lock::PROGRAM,
    version: lock::VERSION,
    last: lock::CREATE_LOCKSPACE,
};

/// Why a procedure did nothing.
type Refusal = Box<RemoteError>;

/// What a connection has said about itself.
#[derive(Debug, Default)]
pub(crate) struct Session {
    restricted: bool,
    owner: Option<Rc<Owner>>,
}

/// For whom it takes locks.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) uuid: uuid::Uuid,
    pub(crate) name: LockText,
    /// libvirt's number of the guest, not 0.
    id: u32,
    pub(crate) pid: OwnerPid,
}

impl Session {
    /// For whose process it takes locks.
    pub(crate) fn owner(&self) -> Option<OwnerPid> {
        self.owner.as_ref().map(|owner| owner.pid)
    }

    /// As another program gets it, which can do without the bytes of a name that are no text.
    pub(crate) fn state(&self) -> OwnerState {
        let owner = self.owner.as_ref();
        OwnerState {
            restricted: self.restricted,
            // As C takes a pid for a number without a sign.
            pid: owner.map_or(0, |owner| owner.pid.0 as u32),
            id: owner.map_or(0, |owner| owner.id),
            name: owner.map_or_else(String::new, |owner| owner.name.to_string()),
            uuid: owner.map_or_else(uuid::Uuid::nil, |owner| owner.uuid),
        }
    }

    /// As another program left it.
    pub(crate) fn restore(state: &OwnerState) -> Self {
        let owner = Owner {
            uuid: state.uuid,
            name: LockText::cut(state.name.as_str()),
            id: state.id,
            pid: OwnerPid(state.pid as i32),
        };
        Self {
            restricted: state.restricted,
            owner: (state.id != 0).then(|| Rc::new(owner)),
        }
    }
}

/// What all connections share.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    pub(crate) table: LockTable,
    owners: Owners,
    has_warned: bool,
}

impl Locks {
    /// Those that another program left.
    pub(crate) fn left(table: LockTable) -> Self {
        Self {
            owners: Owners::of(&table),
            table,
            has_warned: false,
        }
    }

    /// Who took locks on a connection that another program left.
    pub(crate) fn introduce(&mut self, session: &Session) {
        if let Some(owner) = &session.owner {
            self.owners.introduce(owner);
        }
    }

    /// Does what is asked for, and returns the answer.
    pub(crate) fn call(&mut self, session: &mut Session, call: &Call) -> Packet {
        match self.procedure(session, call) {
            Ok(()) => call.succeed(&()),
            Err(refusal) => {
                error!(target: "locking.lock_daemon_dispatch", "{refusal}");
                call.fail(&refusal)
            }
        }
    }

    fn procedure(&mut self, session: &mut Session, call: &Call) -> Result<(), Refusal> {
        match call.procedure() {
            lock::REGISTER => register(session, call.arguments()?),
            lock::RESTRICT => {
                let args: lock::RestrictArgs = call.arguments()?;
                check(session, args.flags, 0, "Restrict")?;
                session.restricted = true;
                Ok(())
            }
            lock::NEW => self.new_space(session, &call.arguments()?),
            lock::CREATE_LOCKSPACE => {
                let args: lock::CreateLockSpaceArgs = call.arguments()?;
                unrestricted(session)?;
                self.create_space(&args.path)
            }
            lock::CREATE_RESOURCE => {
                let args: ResourceArgs = call.arguments()?;
                check(session, args.flags, 0, "CreateResource")?;
                let made = self
                    .table
                    .create_resource(args.path.as_bytes(), args.name.as_bytes());
                made.map_err(refusal)
            }
            lock::DELETE_RESOURCE => {
                let args: ResourceArgs = call.arguments()?;
                check(session, args.flags, 0, "DeleteResource")?;
                let gone = self
                    .table
                    .delete_resource(args.path.as_bytes(), args.name.as_bytes());
                gone.map_err(refusal)
            }
            lock::ACQUIRE_RESOURCE => self.acquire(session, &call.arguments()?),
            lock::RELEASE_RESOURCE => {
                let args: ResourceArgs = call.arguments()?;
                let owner = check(session, args.flags, 0, "ReleaseResource")?.pid;
                let (path, name) = (args.path.as_bytes(), args.name.as_bytes());
                self.table.release(path, name, owner).map_err(refusal)?;
                self.owners.released(owner);
                Ok(())
            }
            // `Served` lets no other through.
            other => Err(refuse(
                ErrorCode::RPC,
                format!("unknown procedure: {}", other.0),
            )),
        }
    }

    fn new_space(&mut self, session: &Session, args: &lock::NewArgs) -> Result<(), Refusal> {
        check(session, args.flags, 0, "New")?;
        if args.path.is_empty() {
            let text = "the default lockspace already exists";
            return Err(refuse(ErrorCode::OPERATION_INVALID, text));
        }
        if self.table.has_space(args.path.as_bytes()) {
            let text = format!("Lockspace for path {} already exists", args.path);
            return Err(refuse(ErrorCode::INTERNAL_ERROR, text));
        }
        self.create_space(&args.path)
    }

    fn create_space(&mut self, path: &LockText) -> Result<(), Refusal> {
        self.table.create_space(path.as_bytes()).map_err(refusal)
    }

    fn acquire(&mut self, session: &Session, args: &ResourceArgs) -> Result<(), Refusal> {
        let known = lock::ACQUIRE_SHARED | lock::ACQUIRE_AUTOCREATE;
        let owner = check(session, args.flags, known, "AcquireResource")?;
        let flags = AcquireFlags {
            shared: args.flags & lock::ACQUIRE_SHARED != 0,
            autocreate: args.flags & lock::ACQUIRE_AUTOCREATE != 0,
        };
        let (path, name) = (args.path.as_bytes(), args.name.as_bytes());
        let held = self
            .table
            .acquire(path, name, owner.pid, flags)
            .map_err(refusal)?;
        debug!(
            target: "locking.lock_daemon_dispatch",
            "{} is held for {} (process {})", held.path().display(), owner.name, owner.pid
        );
        let is_device = path.is_empty() && name.starts_with(b"/dev/");
        if is_device && !std::mem::replace(&mut self.has_warned, true) {
            warn!(
                target: "locking.lock_daemon_dispatch",
                "{}: a lock on a device reaches this host only; other hosts may start a guest on the same disk. \
                 Set file_lockspace_dir, lvm_lockspace_dir or scsi_lockspace_dir in qemu-lockd.conf to a shared directory",
                args.name
            );
        }
        self.owners.acquired(owner);
        Ok(())
    }

    /// Releases all that a process holds, and returns how many resources that were.
    pub(crate) fn release_all(&mut self, pid: OwnerPid) -> usize {
        self.owners.gone(pid);
        self.table.release_all(pid)
    }

    /// Answers who holds what.
    pub(crate) fn list(&self, call: &Call) -> Packet {
        holders::call(&self.table, &self.owners, call)
    }
}

fn register(session: &mut Session, args: lock::RegisterArgs) -> Result<(), Refusal> {
    known_flags(args.flags, 0, "Register")?;
    unrestricted(session)?;
    if args.owner.id == 0 {
        return Err(no_owner());
    }
    // A pid is a signed number to the kernel.
    let pid = OwnerPid(args.owner.pid as i32);
    let owner = args.owner;
    session.owner = Some(Rc::new(Owner {
        uuid: uuid::Uuid::from_bytes(owner.uuid),
        name: owner.name,
        id: owner.id,
        pid,
    }));
    Ok(())
}

/// The checks that all but a few procedures make, in their order; the owner.
fn check<'a>(
    session: &'a Session,
    flags: u32,
    known: u32,
    function: &str,
) -> Result<&'a Rc<Owner>, Refusal> {
    known_flags(flags, known, function)?;
    unrestricted(session)?;
    session.owner.as_ref().ok_or_else(no_owner)
}

fn known_flags(flags: u32, known: u32, function: &str) -> Result<(), Refusal> {
    match flags & !known {
        0 => Ok(()),
        unknown => {
            let function = format!("virLockSpaceProtocolDispatch{function}");
            let error = RemoteError::unsupported_flags(ErrorDomain::RPC, unknown, &function);
            Err(Box::new(error))
        }
    }
}

fn unrestricted(session: &Session) -> Result<(), Refusal> {
    if session.restricted {
        let text = "lock manager connection has been restricted";
        return Err(refuse(ErrorCode::OPERATION_DENIED, text));
    }
    Ok(())
}

fn no_owner() -> Refusal {
    let text = "lock owner details have not been registered";
    refuse(ErrorCode::OPERATION_INVALID, text)
}

fn refuse(code: ErrorCode, text: impl Into<Vec<u8>>) -> Refusal {
    Box::new(RemoteError::new(code, ErrorDomain::RPC, text))
}

/// The C daemon's code and origin for what went wrong with a lock.
fn refusal(error: LockError) -> Refusal {
    use ErrorDomain as Domain;
    let plain = |code, domain| RemoteError::new(code, domain, error.to_string());
    let system = |domain, source: &std::io::Error| {
        // The sentence ends in what the system said, which the record adds by itself.
        let whole = error.to_string();
        let tried = whole.strip_suffix(&format!(": {source}")).unwrap_or(&whole);
        RemoteError::system(domain, tried, source)
    };
    Box::new(match &error {
        LockError::Busy { .. } | LockError::NotLocked { .. } => {
            plain(ErrorCode::RESOURCE_BUSY, Domain::LOCKSPACE)
        }
        LockError::NotOwner { .. } | LockError::NotADirectory { .. } => {
            plain(ErrorCode::INTERNAL_ERROR, Domain::LOCKSPACE)
        }
        LockError::NoSpace { .. } => plain(ErrorCode::INTERNAL_ERROR, Domain::RPC),
        LockError::Create { source, .. } => system(Domain::NONE, source),
        LockError::Open { source, .. }
        | LockError::OpenOrCreate { source, .. }
        | LockError::Status { source, .. }
        | LockError::Lock { source, .. }
        | LockError::Delete { source, .. }
        | LockError::CreateSpace { source, .. } => system(Domain::LOCKSPACE, source),
    })
}
