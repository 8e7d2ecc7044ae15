//! A message on `wdmd.sock`: what is decoded is encoded to the same bytes, and means the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| assert!(wdmd_proto::fuzz::message(bytes)));
