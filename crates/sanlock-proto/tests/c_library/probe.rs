//! The C program that asks the headers and the library.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use sanlock_proto::RUN_DIR_VARIABLE;

/// Compiles `tests/c/probe.c` against the installed headers and library. `values` is C text that prints
/// constants.
pub(crate) fn probe(dir: &Path, values: &str) -> Result<PathBuf, String> {
    std::fs::write(dir.join("values.inc"), values).unwrap();
    let program = dir.join("probe");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/c/probe.c");
    let mut gcc = Process::new("gcc");
    gcc.args(["-w", "-o"])
        .arg(&program)
        .arg("-I")
        .arg(dir)
        .arg(source)
        .arg("-lsanlock_client");
    match gcc.output() {
        Err(e) => Err(format!("no gcc: {e}")),
        Ok(output) if output.status.success() => Ok(program),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let first = said
                .lines()
                .find(|line| line.contains("error"))
                .unwrap_or("");
            Err(format!(
                "libsanlock's headers or library cannot be used (libsanlock-dev): {first}"
            ))
        }
    }
}

pub(crate) fn run(program: &Path, what: &str, input: &str, run_dir: Option<&Path>) -> String {
    let mut command = Process::new(program);
    command
        .arg(what)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    if let Some(dir) = run_dir {
        command.env(RUN_DIR_VARIABLE, dir);
    }
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let feeder = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn table(text: &str) -> BTreeMap<&str, i64> {
    text.lines()
        .map(|line| {
            let (name, value) = line.split_once(' ').unwrap();
            (name, value.parse().unwrap())
        })
        .collect()
}
