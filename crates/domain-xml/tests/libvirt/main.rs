//! Asks libvirt's own code which leases and locks domains take, and compares.
//!
//! `oracle.c` runs libvirt's parser, its `domain_lock.c` and its lock drivers' plug-ins. Domains are those of libvirt's
//! own test data, from the distribution's source package, and generated ones.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    unreachable_pub
)]

#[path = "../../../daemon/tests/common/harness.rs"]
mod harness;

mod confs;
mod corpus;
mod generated;
mod oracle;
mod volumes;

use std::process::ExitCode;

fn main() -> ExitCode {
    harness::run(&[
        ("libvirts_own_domains_as_its_drivers_ask", corpus::all),
        ("generated_domains_as_its_drivers_ask", generated::all),
        ("volumes_as_the_lockd_driver_asks", volumes::all),
        ("files_as_its_drivers_read_them", confs::all),
        ("shipped_files_start_its_drivers", confs::shipped),
    ])
}
