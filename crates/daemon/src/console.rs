//! Words for whoever started the program. `println!` and `eprintln!` end it with a panic where nobody reads them.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write as _, stderr, stdout};

/// What a shell reports for a program that a SIGPIPE ended.
const STATUS_OF_SIGPIPE: i32 = 128 + 13;

/// A line to standard output. If its reader is gone (`... | head -1`) the process ends quietly, with the status of
/// a SIGPIPE; what cannot be written for another reason is given up.
pub fn out(line: Arguments<'_>) {
    let mut out = stdout().lock();
    let written = writeln!(out, "{line}").and_then(|()| out.flush());
    if written.is_err_and(|error| error.kind() == ErrorKind::BrokenPipe) {
        std::process::exit(STATUS_OF_SIGPIPE);
    }
}

/// The same of a text that brings the end of its last line.
pub fn out_text(text: &str) {
    out(format_args!("{}", text.strip_suffix('\n').unwrap_or(text)));
}

/// A text that brings the end of its last line, to standard error.
pub fn err_text(text: &str) {
    err(format_args!("{}", text.strip_suffix('\n').unwrap_or(text)));
}

/// A line to standard error, or nothing if it cannot be written: the exit status says the rest.
pub fn err(line: Arguments<'_>) {
    let _ = writeln!(stderr().lock(), "{line}");
}
