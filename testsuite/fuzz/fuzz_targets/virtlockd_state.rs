//! What one virtlockd leaves for the next: no bytes make it panic, and what is read is written to be read as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| assert!(virtlockd::fuzz_state(bytes)));
