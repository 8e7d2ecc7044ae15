//! Every struct of `sanlock.sock`: header, bodies, status records.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    assert!(sanlock_proto::fuzz::header(bytes));
    assert!(sanlock_proto::fuzz::structs(bytes));
    assert!(sanlock_proto::fuzz::state_record(bytes));
});
