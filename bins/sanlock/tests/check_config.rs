//! `sanlock daemon --check-config`.

#![allow(clippy::unwrap_used)]

use std::process::Command;

/// Exit status and standard output for a file with this text.
fn check(words: &[&str], text: &str) -> (Option<i32>, String) {
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("sanlock-check");
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("sanlock.conf");
    std::fs::write(&file, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_sanlock"))
        .args(words)
        .env("SANLOCK_PRIVILEGED", "0")
        .env("SANLOCK_CONF_PATH", &file)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    (
        output.status.code(),
        said.replace(&format!("{}/", dir.display()), ""),
    )
}

#[test]
fn what_is_wrong_is_said_and_nothing_is_started() {
    // The options in /etc/default/sanlock are this host's.
    let (_, said) = check(&["--check-config"], "io_timeout = 10\n");
    assert!(
        said.starts_with("sanlock.conf: nothing is wrong\n"),
        "{said}"
    );
    let (status, said) = check(
        &["daemon", "--check-config"],
        "io_timeuot = 10\nuse_watchdog = true\n",
    );
    assert_eq!(status, Some(1));
    let wanted = "\
error: there is no setting `io_timeuot`
 --> sanlock.conf:1:1
  |
1 | io_timeuot = 10
  | ^^^^^^^^^^
  = help: perhaps `io_timeout` was meant
";
    assert!(said.starts_with(wanted), "{said}");
    assert!(said.contains("--> sanlock.conf:2:16"), "{said}");
}
