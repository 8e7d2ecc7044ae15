//! A stream of libvirt's packets: it gives the same wherever it is cut, and each answer is a packet.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| assert!(libvirt_rpc::fuzz::packet(bytes)));
