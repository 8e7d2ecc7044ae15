//! What a domain's XML does not say.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::pool;

/// What a volume of a storage pool is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Volume {
    /// A file, a directory or a block device at this path.
    Local(String),
    /// On another machine.
    Remote,
}

/// Answers what only libvirt or the host knows.
pub trait Host {
    /// The UUID of the logical volume at this path, if it is one.
    ///
    /// # Errors
    /// If it could not be found out; libvirt does not start the domain then.
    fn lvm_uuid(&self, path: &str) -> io::Result<Option<OsString>>;

    /// What the SCSI device at this path calls itself, if it is one.
    ///
    /// # Errors
    /// If it could not be found out; libvirt does not start the domain then.
    fn scsi_id(&self, path: &str) -> io::Result<Option<OsString>>;

    /// What a volume of a storage pool is, if that is known.
    fn volume(&self, pool: &str, volume: &str) -> Option<Volume>;
}

/// This host, asked with the programs that libvirt asks it with. Of the system's storage pools it knows those whose
/// configuration says where their volumes are: directories, mounted file systems and volume groups.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Host for System {
    fn lvm_uuid(&self, path: &str) -> io::Result<Option<OsString>> {
        let options = [
            "--noheadings",
            "--unbuffered",
            "--nosuffix",
            "--options",
            "uuid",
            path,
        ];
        let (succeeded, mut said) = said("/sbin/lvs", &options)?;
        if succeeded {
            said = first_line(said.trim_ascii_start());
        }
        Ok(key(said))
    }

    fn scsi_id(&self, path: &str) -> io::Result<Option<OsString>> {
        let options = ["--replace-whitespace", "--whitelisted", "--device", path];
        let (succeeded, mut said) = said("/lib/udev/scsi_id", &options)?;
        if succeeded {
            said = first_line(&said);
        }
        Ok(key(said))
    }

    fn volume(&self, pool: &str, volume: &str) -> Option<Volume> {
        pool::volume(Path::new(pool::CONFIGURED), pool, volume)
    }
}

/// Whether the program succeeded, and its standard output. One that is not there has failed, as for libvirt.
fn said(program: &str, options: &[&str]) -> io::Result<(bool, Vec<u8>)> {
    let output = Command::new(program)
        .args(options)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    match output {
        Ok(output) => Ok((output.status.success(), output.stdout)),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Ok((false, Vec::new())),
            kind => Err(io::Error::new(
                kind,
                format!("cannot run {program}: {error}"),
            )),
        },
    }
}

fn first_line(text: &[u8]) -> Vec<u8> {
    text.split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default()
        .to_vec()
}

/// Also what a program said that failed, as for libvirt.
fn key(said: Vec<u8>) -> Option<OsString> {
    (!said.is_empty()).then(|| OsString::from_vec(said))
}
