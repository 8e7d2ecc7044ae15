//! `virt-sanlock-cleanup`: libvirt's sanlock driver makes a file with a lease for each disk of a guest, and never
//! removes one. This does, where nobody holds the lease.
//!
//! # Why nobody loses a lease
//!
//! What must not happen: a guest holds the lease in a file that has lost its name, libvirt on another host finds no
//! file, makes a new one, and starts a second guest on the same disk. For each file:
//!
//! 1. It is opened once, without following links, and judged through that descriptor: a regular file with one name,
//!    a lease of this lockspace whose resource is called like the file.
//! 2. The lease is acquired through the lease daemon, as a guest's is. Who holds it keeps it: then the file stays.
//! 3. It is looked at again: the descriptor's lease is held by this host now, and the name still means that file.
//!    While the lease is held nobody else can take it, and nobody else who keeps to this may remove the file.
//! 4. The name is removed.
//! 5. The lease in the file without a name is marked as removed. Whoever opened the file before and comes to its
//!    lease only now finds no lease there, rather than one that it can take.
//! 6. The lease is given back. The daemons open the path for that, which is gone, so that nothing is written: in the
//!    file the lease stays this host's, even if somebody completed this host's ballot after the mark.
//!
//! The name goes before the mark: were the program to end in between, a file with the mark would stay under its
//! name, and no guest could start on that disk.
//!
//! | module | what |
//! |---|---|
//! | `options` | the command line |
//! | `directory` | the files |
//! | `lease_file` | one file, through its descriptor |
//! | `removal` | the steps above |
//! | `workers` | many at a time |
//! | `report` | what is said |

// Who reads no further must not make it panic.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod directory;
mod lease_file;
mod options;
mod removal;
mod report;
mod workers;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use config::qemu_sanlock_conf;

use options::Options;
use report::{Report, say};

/// Runs the program with this process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    let options = Options::parse();
    if options.check_config {
        let mut check = config::Check::default();
        check.loaded(&options.config, qemu_sanlock_conf::load(&options.config));
        let told = writeln!(std::io::stdout(), "{check}").is_ok();
        return ExitCode::from(u8::from(!(told && check.is_good())));
    }
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say(format_args!("virt-sanlock-cleanup: {why}"));
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    let loaded = qemu_sanlock_conf::load(&options.config).map_err(|error| error.to_string())?;
    if !options.quiet {
        for diagnostic in &loaded.diagnostics {
            say(format_args!("{diagnostic}\n"));
        }
    }
    let dir = options
        .directory
        .clone()
        .unwrap_or(loaded.conf.disk_lease_dir);
    let files = directory::Directory::open(&dir)?;
    let names = files.names()?;
    let mut report = Report::new(options, files.path(), names.len());
    workers::work_through(&files, &names, options, &mut report);
    report.finish()
}
