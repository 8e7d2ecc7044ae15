//! `virtlockd`: the lock daemon of libvirt hosts.

use std::process::ExitCode;

fn main() -> ExitCode {
    virtlockd::main()
}
