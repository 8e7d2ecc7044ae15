//! Locks as libvirt's lockd driver takes them.

use std::ffi::OsString;
use std::path::PathBuf;

use config::qemu_lockd_conf::QemuLockdConf;
use sha2::{Digest as _, Sha256};

use crate::domain::{Image, hexadecimal};
use crate::{Domain, Host, Refusal};

/// A lock: a file that virtlockd locks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// The directory that the file is in; empty where the name is a path itself.
    pub lockspace: PathBuf,
    /// The file.
    pub name: OsString,
    /// Others may hold it shared at the same time.
    pub shared: bool,
    /// virtlockd makes the file, and removes it.
    pub autocreate: bool,
}

/// All locks that the domain takes, in libvirt's order.
///
/// # Errors
/// [`Refusal`] if the driver would not start the domain, or if only libvirt or the host knows.
pub fn locks(
    domain: &Domain,
    conf: &QemuLockdConf,
    host: &impl Host,
) -> Result<Vec<Lock>, Refusal> {
    let mut locks = Vec::new();
    for lease in &domain.leases {
        if lease.offset != 0 {
            return Err(Refusal::Offset {
                key: lease.key.clone(),
                offset: lease.offset,
            });
        }
        locks.push(Lock {
            lockspace: format!("{}/{}", lease.path, lease.lockspace).into(),
            name: lease.key.clone().into(),
            shared: false,
            autocreate: false,
        });
    }
    let mut writes = false;
    for disk in domain.disks.iter().filter(|disk| !disk.readonly) {
        let Some(image) = disk.image(host) else {
            continue;
        };
        let Image { path, shared, .. } = image?;
        if conf.auto_disk_leases {
            locks.push(automatic(conf, host, &path, shared)?);
        } else {
            writes |= !shared;
        }
    }
    if locks.is_empty() && writes && conf.require_lease_for_disks {
        return Err(Refusal::NoLease);
    }
    Ok(locks)
}

/// The lock of the disk at `path`.
///
/// # Errors
/// [`Refusal::Key`] if it could not be found out what the disk calls itself.
pub fn automatic(
    conf: &QemuLockdConf,
    host: &impl Host,
    path: &str,
    shared: bool,
) -> Result<Lock, Refusal> {
    let lock = |lockspace: &PathBuf, name: OsString| Lock {
        lockspace: lockspace.clone(),
        name,
        shared,
        autocreate: true,
    };
    let failed = |source| Refusal::Key {
        path: path.to_owned(),
        source,
    };
    // Whatever begins so counts as a device.
    if path.starts_with("/dev") {
        if let Some(lockspace) = &conf.lvm_lockspace_dir {
            if let Some(uuid) = host.lvm_uuid(path).map_err(failed)? {
                return Ok(lock(lockspace, uuid));
            }
        }
        if let Some(lockspace) = &conf.scsi_lockspace_dir {
            if let Some(id) = host.scsi_id(path).map_err(failed)? {
                return Ok(lock(lockspace, id));
            }
        }
    }
    Ok(match &conf.file_lockspace_dir {
        Some(lockspace) => lock(lockspace, hexadecimal(&Sha256::digest(path)).into()),
        None => Lock {
            lockspace: PathBuf::new(),
            name: path.into(),
            shared,
            autocreate: false,
        },
    })
}
