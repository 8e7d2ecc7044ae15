//! A process that is told line by line what to call: the C client or Python.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::failure::{Failure, While};
use super::process::Guarded;

/// A line that ends an answer.
const END: &str = ".";

/// One such process.
#[derive(Debug)]
pub(crate) struct Client {
    process: Guarded,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Client {
    /// Starts `command`, which answers each line of input with lines up to one that is `.`.
    pub(crate) fn start(command: &mut Command) -> Result<Client, Failure> {
        let mut process = Guarded::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let child = process.child();
        let input = child.stdin.take();
        let output = child.stdout.take().ok_or("no pipe")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                // A reader that is gone needs no more lines.
                if line.map(|line| sender.send(line)).is_err() {
                    break;
                }
            }
        });
        Ok(Client {
            process,
            input,
            lines,
        })
    }

    /// The process.
    pub(crate) fn process(&mut self) -> &mut Guarded {
        &mut self.process
    }

    /// Says a line without waiting.
    pub(crate) fn tell(&mut self, line: &str) -> Result<(), Failure> {
        let input = self.input.as_mut().ok_or("the client's input is closed")?;
        writeln!(input, "{line}").during(|| format!("tell a client {line}"))
    }

    /// Waits for an answer.
    pub(crate) fn answer(&mut self, patience: Duration) -> Result<String, Failure> {
        let until = Instant::now() + patience;
        let mut answer = String::new();
        loop {
            match self
                .lines
                .recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                Ok(line) if line == END => return Ok(answer),
                Ok(line) => {
                    answer.push_str(&line);
                    answer.push('\n');
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Err(format!("no answer after {} s", patience.as_secs()).into());
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let end = self
                        .process
                        .wait(Duration::from_secs(5))
                        .unwrap_or_default();
                    return Err(format!("the client ended ({end}) after saying: {answer}").into());
                }
            }
        }
    }
}
