//! Inside a machine: does what it is told through a virtio-serial port.
//!
//! A request is one line, `NUMBER clock` or `NUMBER run COMMAND`; its answer is a line `NUMBER STATUS LENGTH`
//! and as many bytes. Requests are done side by side, so that one that hangs holds up no other.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};

/// `e2e guest PORT`
#[derive(clap::Args)]
pub(crate) struct Options {
    port: PathBuf,
}

/// Serves until the machine ends.
pub(crate) fn run(options: &Options) -> Result<()> {
    let port = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&options.port)
        .with_context(|| format!("cannot open {}", options.port.display()))?;
    let answers = Arc::new(Mutex::new(port.try_clone()?));
    let mut requests = BufReader::new(port);
    let mut line = String::new();
    loop {
        line.clear();
        let read = requests
            .read_line(&mut line)
            .context("cannot read requests")?;
        if read == 0 {
            // Nobody is connected at the other end yet.
            std::thread::sleep(Duration::from_millis(20));
            continue;
        }
        let answers = Arc::clone(&answers);
        let request = line.trim_end().to_owned();
        std::thread::spawn(move || serve(&request, &answers));
    }
}

fn serve(request: &str, answers: &Mutex<File>) {
    let (number, request) = request.split_once(' ').unwrap_or((request, ""));
    let (status, said) = match request.split_once(' ') {
        None if request == "clock" => match std::fs::read("/proc/uptime") {
            Ok(uptime) => (0, uptime),
            Err(error) => (1, error.to_string().into_bytes()),
        },
        Some(("run", command)) => shell(command),
        _ => (1, format!("not understood: {request}").into_bytes()),
    };
    let mut answer = format!("{number} {status} {}\n", said.len()).into_bytes();
    answer.extend(said);
    let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = answers.write_all(&answer) {
        println!("cannot answer: {error}");
    }
}

/// What the command said on both outputs, and its exit status; 128 and the signal if one killed it.
fn shell(command: &str) -> (i32, Vec<u8>) {
    let output = Command::new("/bin/sh")
        .arg("-c")
        .arg(format!("exec 2>&1; {command}"))
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) => {
            let signal = output.status.signal().map(|signal| 128 + signal);
            let status = output.status.code().or(signal).unwrap_or(255);
            (status, output.stdout)
        }
        Err(error) => (255, error.to_string().into_bytes()),
    }
}
