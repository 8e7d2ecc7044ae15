//! `virtlockd --check-config`.

#![allow(clippy::unwrap_used)]

use std::process::Command;

/// Exit status and standard output for a file with this text.
fn check(text: &str) -> (Option<i32>, String) {
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("virtlockd-check");
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("virtlockd.conf");
    std::fs::write(&file, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_virtlockd"))
        .args(["--check-config", "-f"])
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(output.stderr, b"");
    let said = String::from_utf8(output.stdout).unwrap();
    (
        output.status.code(),
        said.replace(&format!("{}/", dir.display()), ""),
    )
}

#[test]
fn what_is_wrong_is_said_and_nothing_is_started() {
    let (status, said) = check("max_clients = 7\n");
    assert_eq!(
        (status, said.as_str()),
        (Some(0), "virtlockd.conf: nothing is wrong\n")
    );
    let (status, said) = check("log_level = 1\nmax_clients = ten\n");
    assert_eq!(status, Some(1));
    let wanted = "\
error: expecting a value
 --> virtlockd.conf:2:15
  |
2 | max_clients = ten
  |               ^^^
  = help: strings are in quotes: \"ten\"; yes is 1, no is 0
";
    assert_eq!(said, wanted);
    for wrong in [
        "max_cleints = 7\n",
        "log_level = 9\n",
        "log_outputs = \"1:tape\"\n",
        "max_clients = 1\nmax_clients = 2\n",
    ] {
        let (status, said) = check(wrong);
        assert_eq!(status, Some(1), "{wrong}: {said}");
        assert!(said.contains("error: "), "{said}");
    }
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let output = Command::new(env!("CARGO_BIN_EXE_virtlockd"))
        .args(["-f", "/nonexistent/x", "--check-config"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("cannot read /nonexistent/x"), "{said}");
}
