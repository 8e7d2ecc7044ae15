//! A stream of requests on `sanlock.sock`: it gives the same wherever it is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| assert!(sanlock_proto::fuzz::stream(bytes)));
