//! The watchdog multiplexer: clients, time and a device with faults, in any order.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| assert_eq!(wdmd::fuzz::daemon(bytes), Ok(())));
