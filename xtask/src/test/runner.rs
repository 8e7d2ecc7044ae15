//! Running a program of a step: what it prints is shown and kept, and it cannot run for ever.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Outcome;
use super::counts::{Counting, Counts, parse};
use crate::cleanup::{Action, later};
use crate::style;

/// How long one program may run before it counts as hung: CI ends everything after 90 minutes, and then
/// nobody learns what failed.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// What a program did.
pub(crate) struct Ran {
    pub(crate) success: bool,
    pub(crate) output: String,
}

/// Runs it, showing what it prints if `show`.
pub(crate) fn run(command: &mut Command, show: bool) -> Result<Ran> {
    let name = command_line(command);
    if show {
        println!("{}", style::quiet(format!("$ {name}")));
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Everything it starts can be ended with it.
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot run {name}"))?;
    let end_group = later(Action::EndGroup(child.id()));
    let output = Arc::new(Mutex::new(String::new()));
    let readers = [
        child
            .stdout
            .take()
            .map(|stream| keep(stream, &output, show)),
        child
            .stderr
            .take()
            .map(|stream| keep(stream, &output, show)),
    ];
    let begin = Instant::now();
    let mut hung = false;
    let status: ExitStatus = loop {
        if let Some(status) = child
            .try_wait()
            .with_context(|| format!("cannot wait for {name}"))?
        {
            break status;
        }
        if begin.elapsed() > LIMIT {
            println!(
                "{name} still runs after {} minutes and is ended",
                LIMIT.as_secs() / 60
            );
            hung = true;
            break end(end_group, child.wait(), &name)?;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    for reader in readers.into_iter().flatten() {
        // A daemon that was left behind may hold the pipe open for ever.
        let end = Instant::now() + Duration::from_secs(5);
        while !reader.is_finished() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    let output = output
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    Ok(Ran {
        success: status.success() && !hung,
        output,
    })
}

fn end(
    group: crate::cleanup::Undo,
    status: std::io::Result<ExitStatus>,
    name: &str,
) -> Result<ExitStatus> {
    drop(group);
    status.with_context(|| format!("cannot wait for {name}"))
}

/// Shows and keeps what comes, line by line.
fn keep(
    stream: impl Read + Send + 'static,
    output: &Arc<Mutex<String>>,
    show: bool,
) -> JoinHandle<()> {
    let output = Arc::clone(output);
    std::thread::spawn(move || {
        let mut lines = BufReader::new(stream);
        let mut line = Vec::new();
        while matches!(lines.read_until(b'\n', &mut line), Ok(1..)) {
            let text = String::from_utf8_lossy(&line).into_owned();
            line.clear();
            if show {
                // A reader that went away does not end the run.
                let _ = std::io::stdout().write_all(text.as_bytes());
            }
            output
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push_str(&text);
        }
    })
}

/// A program that counts nothing: one thing that works or does not.
pub(crate) fn single(command: &mut Command) -> Result<Counts> {
    let ran = run(command, true)?;
    Ok(if ran.success {
        Counts::success()
    } else {
        Counts::failure()
    })
}

/// A program that runs tests and counts them.
pub(crate) fn counted(command: &mut Command, counting: Counting) -> Result<Outcome> {
    let ran = run(command, true)?;
    let mut counts = parse(&ran.output, counting);
    if ran.success && counts.is_empty() {
        println!("It says nothing of how many tests it ran.");
    }
    // A build that failed, a runner that crashed, or one that ran nothing.
    if (!ran.success || counts.is_empty()) && counts.failed == 0 {
        counts.failed += 1;
    }
    Ok(Outcome::Ran(counts))
}

fn command_line(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let name = program
        .file_name()
        .unwrap_or(command.get_program())
        .to_string_lossy();
    let arguments = command
        .get_args()
        .map(|argument| argument.to_string_lossy());
    [name]
        .into_iter()
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}
