//! Who holds which lock: the daemon's end of `virtlockd --list`.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::UNIX_EPOCH;

use fcntl::{LockTable, OwnerPid, Resource};
use libvirt_rpc::holders::{self as program, Guest, ListArgs, ListRet, Lock, Place};
use libvirt_rpc::server::{Call, Served};
use libvirt_rpc::{ErrorCode, ErrorDomain, List, Packet, RemoteError, Text, xdr};

use crate::lock_program::Owner;

/// What is served beside the admin program.
pub(crate) const SERVED: Served = Served {
    program: program::PROGRAM,
    version: program::VERSION,
    last: program::LIST,
};

/// Most bytes of locks in one answer, so that others need not wait long: the rest is asked for again.
const PAGE: usize = 1 << 20;

/// The owners of locks, as they have introduced themselves. A lock outlives the connection that acquired it.
#[derive(Debug, Default)]
pub(crate) struct Owners(BTreeMap<OwnerPid, Known>);

#[derive(Debug, Default)]
struct Known {
    /// Not known of a lock that another program left, once its connection is gone.
    owner: Option<Rc<Owner>>,
    /// How many locks it has.
    locks: usize,
}

impl Owners {
    /// Those of locks that another program left; who they are is told when they are introduced.
    pub(crate) fn of(table: &LockTable) -> Self {
        let mut owners = Self::default();
        for (_, _, resource) in table.resources() {
            for pid in resource.owners() {
                owners.0.entry(*pid).or_default().locks += 1;
            }
        }
        owners
    }

    /// Who it is, if it has locks.
    pub(crate) fn introduce(&mut self, owner: &Rc<Owner>) {
        if let Some(known) = self.0.get_mut(&owner.pid) {
            known.owner = Some(Rc::clone(owner));
        }
    }

    /// It has one more.
    pub(crate) fn acquired(&mut self, owner: &Rc<Owner>) {
        let known = self.0.entry(owner.pid).or_default();
        // What it said last counts.
        known.owner = Some(Rc::clone(owner));
        known.locks += 1;
    }

    /// It has one less.
    pub(crate) fn released(&mut self, pid: OwnerPid) {
        if let Some(known) = self.0.get_mut(&pid) {
            known.locks = known.locks.saturating_sub(1);
            if known.locks == 0 {
                self.0.remove(&pid);
            }
        }
    }

    /// It has none any more.
    pub(crate) fn gone(&mut self, pid: OwnerPid) {
        self.0.remove(&pid);
    }

    fn guest(&self, pid: OwnerPid) -> Option<Guest> {
        let owner = self.0.get(&pid)?.owner.as_ref()?;
        Some(Guest {
            name: owner.name.clone(),
            uuid: *owner.uuid.as_bytes(),
        })
    }
}

/// Does what is asked for, and returns the answer.
pub(crate) fn call(table: &LockTable, owners: &Owners, call: &Call) -> Packet {
    match call.arguments::<ListArgs>() {
        Ok(ListArgs { after, flags: 0 }) => call.succeed(&list(table, owners, after.as_ref())),
        Ok(ListArgs { flags, .. }) => {
            let text = format!("unsupported flags (0x{flags:x})");
            let code = ErrorCode::INVALID_ARG;
            call.fail(&RemoteError::new(code, ErrorDomain::LOCKING, text))
        }
        Err(refusal) => call.fail(&refusal),
    }
}

fn list(table: &LockTable, owners: &Owners, after: Option<&Place>) -> ListRet {
    let after = after.map(|place| (place.directory.as_bytes(), place.name.as_bytes()));
    // In the order of their places.
    let mut rest = table
        .resources()
        .skip_while(|(directory, name, _)| after.is_some_and(|after| (*directory, *name) <= after))
        .peekable();
    let (mut locks, mut bytes) = (Vec::new(), 0);
    while bytes < PAGE && locks.len() < program::LOCKS_MAX {
        let Some((directory, name, resource)) = rest.next() else {
            break;
        };
        let lock = lock(owners, directory, name, resource);
        bytes += xdr::to_bytes(&lock).len();
        locks.push(lock);
    }
    ListRet {
        locks: List::cut(locks),
        more: rest.peek().is_some(),
    }
}

fn lock(owners: &Owners, directory: &[u8], name: &[u8], resource: &Resource) -> Lock {
    let since = resource
        .since()
        .and_then(|since| since.duration_since(UNIX_EPOCH).ok());
    let (told, more) = resource
        .owners()
        .split_at(resource.owners().len().min(program::OWNERS_MAX));
    let told = told.iter().map(|pid| program::Owner {
        pid: pid.0,
        guest: owners.guest(*pid),
    });
    Lock {
        place: Place {
            directory: Text::cut(directory),
            name: Text::cut(name),
        },
        file: Text::cut(resource.path().as_os_str().as_encoded_bytes()),
        shared: resource.flags().shared,
        since: since.and_then(|since| i64::try_from(since.as_secs()).ok()),
        owners: List::cut(told.collect()),
        more_owners: u32::try_from(more.len()).unwrap_or(u32::MAX),
    }
}
