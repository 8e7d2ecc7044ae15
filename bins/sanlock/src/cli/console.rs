//! Where output goes.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::text::Line;

/// Standard output for what the original prints there, standard error for what is said beyond that.
///
/// Output that cannot be written is given up, as the original does; only a reader that went away ends
/// the program, see [`Console::of_process`].
pub struct Console<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    /// Whether a person is likely to watch standard output.
    pub is_terminal: bool,
    hints: bool,
}

/// Set to 1, hints are given although nobody seems to watch standard error; set to 0, never.
///
/// The original writes nothing there, and there are programs that take anything for a failure.
pub const HINTS_VARIABLE: &str = "SANLOCK_HINTS";

fn hints_wanted() -> bool {
    match std::env::var(HINTS_VARIABLE).as_deref() {
        Ok("1") => true,
        Ok("0") => false,
        _ => io::stderr().is_terminal(),
    }
}

impl<'a> Console<'a> {
    /// A console of these two writers that nobody watches.
    pub fn new(out: &'a mut dyn Write, err: &'a mut dyn Write) -> Console<'a> {
        Console {
            out,
            err,
            is_terminal: false,
            hints: true,
        }
    }

    /// Runs `work` with the process's own standard output and error.
    ///
    /// When the reader of standard output is gone (`sanlock direct dump ... | head`) the process ends
    /// with the status of a SIGPIPE, instead of going on for nobody.
    pub fn of_process<T>(work: impl FnOnce(&mut Console<'_>) -> T) -> T {
        let mut out = EndsWithItsReader(io::stdout().lock());
        let mut err = io::stderr().lock();
        let is_terminal = io::stdout().is_terminal();
        let hints = hints_wanted();
        let mut console = Console {
            out: &mut out,
            err: &mut err,
            is_terminal,
            hints,
        };
        let result = work(&mut console);
        console.flush();
        result
    }

    /// A line to standard output.
    pub fn line(&mut self, line: &Line) {
        let _ = self
            .out
            .write_all(line.as_bytes())
            .and_then(|()| self.out.write_all(b"\n"));
    }

    /// Lines to standard output.
    pub fn lines(&mut self, lines: &[Line]) {
        lines.iter().for_each(|line| self.line(line));
    }

    /// A line of text to standard output.
    pub fn say(&mut self, text: impl Display) {
        let _ = writeln!(self.out, "{text}");
    }

    /// Bytes to standard output.
    pub fn raw(&mut self, bytes: &[u8]) {
        let _ = self.out.write_all(bytes);
    }

    /// One JSON document to standard output.
    pub fn json(&mut self, document: &impl Serialize) {
        let _ = serde_json::to_writer_pretty(&mut *self.out, document).map_err(io::Error::from);
        self.raw(b"\n");
    }

    /// A line to standard error, for a person.
    pub fn hint(&mut self, text: impl Display) {
        if self.hints {
            self.error(text);
        }
    }

    /// A line to standard error, whoever watches it.
    pub fn error(&mut self, text: impl Display) {
        let _ = self.out.flush();
        let _ = writeln!(self.err, "{text}");
    }

    /// From here on hints are given whoever watches: for actions that the original does not have.
    pub fn speak_up(&mut self) {
        self.hints = true;
    }

    /// Hands on what was written so far.
    pub fn flush(&mut self) {
        let _ = self.out.flush();
        let _ = self.err.flush();
    }
}

/// Ends the process when nobody reads what it writes.
struct EndsWithItsReader<W>(W);

/// What a shell reports for a program that a SIGPIPE ended.
const STATUS_OF_SIGPIPE: i32 = 128 + 13;

impl<W> EndsWithItsReader<W> {
    fn checked<T>(result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            if error.kind() == io::ErrorKind::BrokenPipe {
                std::process::exit(STATUS_OF_SIGPIPE);
            }
        }
        result
    }
}

impl<W: Write> Write for EndsWithItsReader<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::checked(self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Self::checked(self.0.flush())
    }
}

/// What a console was given, for tests.
#[cfg(test)]
pub(crate) fn captured<T>(work: impl FnOnce(&mut Console<'_>) -> T) -> (T, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let result = work(&mut Console::new(&mut out, &mut err));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (result, text(out), text(err))
}
