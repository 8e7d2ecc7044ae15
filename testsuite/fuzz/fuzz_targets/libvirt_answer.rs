//! A server's answer, as the client end of libvirt's calls takes it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| assert!(libvirt_rpc::fuzz::answer(bytes)));
