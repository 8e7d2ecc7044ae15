//! Prints which leases or locks a domain takes, one in each line:
//!
//! `cargo run -p domain-xml --example leases [--lockd] [--conf FILE] [DOMAIN.xml]`
//!
//! Leases are sanlock's resource strings, `LOCKSPACE:RESOURCE:PATH:OFFSET[:SH]`; locks of virtlockd are a directory
//! (empty for a disk that is locked itself), a name, and `shared`, with tabs between them. The domain is read from
//! standard input if no file is named, and the driver's configuration where libvirt has it.

use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use config::{qemu_lockd_conf, qemu_sanlock_conf};
use domain_xml::{Domain, System, lockd, sanlock};
use sanlock_proto::flags::ResourceFlags;
use sanlock_proto::text::format_resource;
use sanlock_proto::{Disk, DiskPath, Name, Resource};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("leases: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let (mut lockd, mut conf, mut file) = (false, None, None);
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--lockd") => lockd = true,
            Some("--conf") => {
                conf = Some(PathBuf::from(
                    arguments.next().ok_or("--conf needs a file")?,
                ))
            }
            Some("--help" | "-h") => {
                println!("usage: leases [--lockd] [--conf FILE] [DOMAIN.xml]");
                return Ok(());
            }
            _ => file = Some(PathBuf::from(argument)),
        }
    }
    let domain = match file {
        Some(path) => Domain::load(&path)?,
        None => Domain::read(Path::new("standard input"), std::io::stdin())?,
    };
    let mut out = std::io::stdout().lock();
    if lockd {
        let path = conf.unwrap_or_else(|| PathBuf::from(qemu_lockd_conf::PATH));
        let loaded = qemu_lockd_conf::load(&path)?;
        complain(&loaded.diagnostics);
        for lock in lockd::locks(&domain, &loaded.conf, &System)? {
            out.write_all(lock.lockspace.as_os_str().as_bytes())?;
            out.write_all(b"\t")?;
            out.write_all(lock.name.as_bytes())?;
            out.write_all(if lock.shared { b"\tshared\n" } else { b"\n" })?;
        }
    } else {
        let path = conf.unwrap_or_else(|| PathBuf::from(qemu_sanlock_conf::PATH));
        let loaded = qemu_sanlock_conf::load(&path)?;
        complain(&loaded.diagnostics);
        for lease in sanlock::leases(&domain, &loaded.conf, &System)? {
            out.write_all(&format_resource(&resource(&lease)?)?)?;
            out.write_all(b"\n")?;
        }
    }
    Ok(())
}

fn complain(diagnostics: &[config::Diagnostic]) {
    for diagnostic in diagnostics {
        eprintln!("{diagnostic}\n");
    }
}

fn resource(lease: &sanlock::Lease) -> Result<Resource, Failure> {
    let too_long = "longer than sanlock's names and paths";
    Ok(Resource {
        lockspace: Name::from_bytes(lease.lockspace.as_bytes()).map_err(|_| too_long)?,
        name: Name::from_bytes(lease.name.as_bytes()).map_err(|_| too_long)?,
        flags: if lease.shared {
            ResourceFlags::SHARED
        } else {
            ResourceFlags::default()
        },
        disks: vec![Disk {
            path: DiskPath::from_bytes(lease.path.as_os_str().as_bytes()).map_err(|_| too_long)?,
            offset: lease.offset,
        }],
        ..Resource::default()
    })
}
