//! Lines of output, made of text, numbers and bytes that need not be UTF-8.

use std::fmt::Display;
use std::io::Write;

/// One line without its end. Names and paths go into it as the bytes they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line(Vec<u8>);

impl Line {
    /// A line that begins with this.
    #[must_use]
    pub fn new(start: impl Display) -> Line {
        Line::default().show(start)
    }

    /// The line with this behind it.
    #[must_use]
    pub fn show(mut self, more: impl Display) -> Line {
        // Writing to memory fails only if a Display does, and then there is nothing to show.
        let _ = write!(self.0, "{more}");
        self
    }

    /// The line with these bytes behind it.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Line {
        self.0.extend_from_slice(bytes);
        self
    }

    /// The bytes of the line.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Line> for Vec<u8> {
    fn from(line: Line) -> Vec<u8> {
        line.0
    }
}

/// All lines with their ends, as tests compare them.
#[cfg(test)]
pub(crate) fn joined(lines: &[Line]) -> String {
    lines
        .iter()
        .map(|line| format!("{}\n", String::from_utf8_lossy(&line.0)))
        .collect()
}
