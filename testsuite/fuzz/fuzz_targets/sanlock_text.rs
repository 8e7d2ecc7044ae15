//! The string forms of resources, lockspaces, states and paths.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    assert!(sanlock_proto::fuzz::resource_text(text));
    assert!(sanlock_proto::fuzz::lockspace_text(text));
    assert!(sanlock_proto::fuzz::state_text(text));
    assert!(sanlock_proto::fuzz::path_text(text));
});
