//! One reply on `sanlock.sock`: what is understood is the same after it was encoded.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| assert!(sanlock_proto::fuzz::reply(bytes)));
