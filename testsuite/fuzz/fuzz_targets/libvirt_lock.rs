//! The arguments of libvirt's lock program.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| assert!(libvirt_rpc::fuzz::lock(bytes)));
