//! `virt-sanlock-cleanup`: removes the leases that libvirt made for disks and nobody holds.

use std::process::ExitCode;

fn main() -> ExitCode {
    virt_sanlock_cleanup::main()
}
