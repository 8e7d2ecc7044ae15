//! The arguments and results of libvirt's admin program.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| assert!(libvirt_rpc::fuzz::admin(bytes)));
