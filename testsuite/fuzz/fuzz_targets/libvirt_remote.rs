//! What goes either way in libvirt's remote program.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| assert!(libvirt_rpc::fuzz::remote(bytes)));
