//! Leases as libvirt's sanlock driver takes them.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use config::qemu_sanlock_conf::{LOCKSPACE, QemuSanlockConf};
use md5::{Digest as _, Md5};

use crate::domain::{Image, hexadecimal};
use crate::{Domain, Host, OnLockFailure, Refusal};

/// sanlock's limits: leases of one process, and the bytes of a name and of a path as libvirt fills them in, with a NUL.
const MAX_LEASES: usize = 8;
const MAX_NAME: usize = 47;
const MAX_PATH: usize = 1023;

/// A lease: a sanlock resource with one disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The lockspace that it belongs to.
    pub lockspace: String,
    /// Its name there.
    pub name: String,
    /// The file or device that it is on.
    pub path: PathBuf,
    /// Where on it, in bytes.
    pub offset: u64,
    /// Others may hold it shared at the same time.
    pub shared: bool,
}

/// All leases that the domain takes, in libvirt's order.
///
/// # Errors
/// [`Refusal`] if the driver would not start the domain, or if only libvirt knows.
pub fn leases(
    domain: &Domain,
    conf: &QemuSanlockConf,
    host: &impl Host,
) -> Result<Vec<Lease>, Refusal> {
    let mut leases = Vec::new();
    for lease in &domain.leases {
        has_room(&leases)?;
        leases.push(checked(Lease {
            lockspace: lease.lockspace.clone(),
            name: lease.key.clone(),
            path: PathBuf::from(&lease.path),
            offset: lease.offset,
            shared: false,
        })?);
    }
    let mut writes = false;
    for disk in &domain.disks {
        let image = match disk.image(host) {
            None => continue,
            // A read-only one matters for the count alone.
            Some(Err(_)) if disk.readonly && leases.len() < MAX_LEASES => continue,
            Some(image) => image?,
        };
        has_room(&leases)?;
        let Image {
            path,
            readonly,
            shared,
        } = image;
        if readonly {
            continue;
        }
        if conf.auto_disk_leases {
            leases.push(checked(automatic(conf, &path, shared))?);
        } else {
            writes |= !shared;
        }
    }
    if leases.is_empty() && writes && conf.require_lease_for_disks {
        return Err(Refusal::NoLease);
    }
    match domain.on_lock_failure {
        OnLockFailure::Default | OnLockFailure::Poweroff | OnLockFailure::Pause => Ok(leases),
        action @ (OnLockFailure::Restart | OnLockFailure::Ignore) => Err(Refusal::Action(action)),
    }
}

/// The lease that libvirt makes for the disk at `path`.
#[must_use]
pub fn automatic(conf: &QemuSanlockConf, path: &str, shared: bool) -> Lease {
    let name = hexadecimal(&Md5::digest(path));
    let mut file = OsString::from(&conf.disk_lease_dir);
    file.push("/");
    file.push(&name);
    Lease {
        lockspace: LOCKSPACE.to_owned(),
        name,
        path: file.into(),
        offset: 0,
        shared,
    }
}

/// libvirt looks before each disk, also one that needs no lease.
fn has_room(leases: &[Lease]) -> Result<(), Refusal> {
    if leases.len() < MAX_LEASES {
        Ok(())
    } else {
        Err(Refusal::TooMany(MAX_LEASES))
    }
}

fn checked(lease: Lease) -> Result<Lease, Refusal> {
    for (what, name) in [
        ("the key", &lease.name),
        ("the lockspace", &lease.lockspace),
    ] {
        if name.len() > MAX_NAME {
            return Err(Refusal::NameTooLong {
                what,
                name: name.clone(),
                most: MAX_NAME,
            });
        }
    }
    if lease.path.as_os_str().as_bytes().len() > MAX_PATH {
        return Err(Refusal::PathTooLong {
            path: lease.path,
            most: MAX_PATH,
        });
    }
    Ok(lease)
}
