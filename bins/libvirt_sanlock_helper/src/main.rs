//! `libvirt_sanlock_helper`: stops or pauses a guest that is about to lose its leases.

use std::process::ExitCode;

fn main() -> ExitCode {
    libvirt_sanlock_helper::main()
}
