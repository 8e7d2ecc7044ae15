//! Configuration files: what is found stands in the text, and what is taken has nothing in it that is not in a file.
#![no_main]

use std::path::Path;

use config::environment_file::{self, Program};
use config::libvirt_conf::{Value, statements};
use config::{qemu_conf, qemu_lockd_conf, qemu_sanlock_conf, virtlockd_conf};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let mut end = 0;
    for statement in statements(text) {
        match statement {
            Ok(statement) => {
                assert!(end <= statement.name_place.start);
                assert_eq!(
                    &text[statement.name_place.clone()],
                    statement.name.as_bytes()
                );
                assert!(statement.name_place.end < statement.value_place.start);
                end = statement.value_place.end;
                if let Value::String(string) = statement.value {
                    assert!(!string.contains(&0));
                }
            }
            Err(mistake) => {
                assert!(mistake.place.start <= mistake.place.end && mistake.place.end <= text.len())
            }
        }
    }
    assert!(end <= text.len());
    let file = Path::new("f");
    if let Err(error) = qemu_sanlock_conf::parse(file, text) {
        assert!(error.to_string().contains("f:"));
    }
    let _ = qemu_lockd_conf::parse(file, text);
    let _ = qemu_conf::parse(file, text);
    let _ = virtlockd_conf::parse(file, text);
    for program in [Program::Sanlock, Program::Wdmd, Program::Virtlockd] {
        let _ = environment_file::parse(file, text, program);
    }
});
