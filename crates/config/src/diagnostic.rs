//! What is wrong with a line of a configuration file, told the way compilers do.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// How much a line's trouble matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The line was understood, but part of it has no effect.
    Warning,
    /// The line has no effect: what it sets keeps the value that it had.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One finding in a configuration file.
///
/// `Display` renders several lines, with the line in question and a mark under the place;
/// [`Diagnostic::one_line`] is for logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether the line had an effect.
    pub severity: Severity,
    /// The file as it was named to the reader.
    pub file: PathBuf,
    /// Line number, from 1.
    pub line: usize,
    /// Column of the first marked character, from 1.
    pub column: usize,
    /// Number of marked characters, at least 1.
    pub width: usize,
    /// The whole line, with control characters and bytes that are not UTF-8 replaced.
    pub source: String,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// What to write instead, where that is known.
    pub help: Option<String>,
}

/// How many characters of a long line are shown.
const SHOWN: usize = 100;
/// How many characters are kept to the left of the mark in a long line.
const SHOWN_BEFORE: usize = 30;

impl Diagnostic {
    /// A finding at these bytes of `text`, which is the content of `file`. Of a place of several lines the first is
    /// marked.
    #[must_use]
    pub fn at(
        severity: Severity,
        file: &Path,
        text: &[u8],
        place: Range<usize>,
        message: String,
        help: Option<String>,
    ) -> Self {
        let start = place.start.min(text.len());
        let (before, behind) = text.split_at(start);
        let line_start = before.iter().rposition(|byte| *byte == b'\n');
        let line_start = line_start.map_or(0, |newline| newline + 1);
        let line_end = behind.iter().position(|byte| *byte == b'\n');
        let line_end = line_end.map_or(text.len(), |length| start + length);
        let part = |part: Range<usize>| printable(text.get(part).unwrap_or_default());
        let marked = part(start..place.end.min(line_end).max(start));
        Self {
            severity,
            file: file.to_owned(),
            line: before.iter().filter(|byte| **byte == b'\n').count() + 1,
            column: part(line_start..start).chars().count() + 1,
            width: marked.trim_end().chars().count().max(1),
            source: printable(
                text.get(line_start..line_end)
                    .unwrap_or_default()
                    .trim_ascii_end(),
            ),
            message,
            help,
        }
    }

    /// `FILE:LINE:COLUMN: SEVERITY: MESSAGE; HELP`, for a log.
    #[must_use]
    pub fn one_line(&self) -> String {
        let mut text = format!(
            "{}:{}:{}: {}: {}",
            self.file.display(),
            self.line,
            self.column,
            self.severity,
            self.message
        );
        if let Some(help) = &self.help {
            text.push_str("; ");
            text.push_str(help);
        }
        text
    }

    /// The part of the line that is shown, and how many characters stand before the mark in it.
    fn excerpt(&self) -> (String, usize) {
        let before = self.column.saturating_sub(1);
        if self.source.chars().count() <= SHOWN {
            return (self.source.clone(), before);
        }
        let skipped = before.saturating_sub(SHOWN_BEFORE);
        let mut text = String::new();
        if skipped > 0 {
            text.push_str("...");
        }
        let indent = text.len() + (before - skipped);
        text.extend(self.source.chars().skip(skipped).take(SHOWN));
        if self.source.chars().count() > skipped + SHOWN {
            text.push_str("...");
        }
        (text, indent)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        let (excerpt, indent) = self.excerpt();
        let room = SHOWN.saturating_sub(indent).max(1);
        writeln!(f, "{}: {}", self.severity, self.message)?;
        writeln!(
            f,
            "{gutter}--> {}:{}:{}",
            self.file.display(),
            self.line,
            self.column
        )?;
        writeln!(f, "{gutter} |")?;
        writeln!(f, "{number} | {excerpt}")?;
        write!(
            f,
            "{gutter} | {}{}",
            " ".repeat(indent),
            "^".repeat(self.width.clamp(1, room))
        )?;
        if let Some(help) = &self.help {
            write!(f, "\n{gutter} = help: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}

/// Bytes of a file as text for people: one character per character, nothing that moves a cursor.
pub(crate) fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnostic(source: &str, column: usize, width: usize) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            file: PathBuf::from("/etc/sanlock/sanlock.conf"),
            line: 12,
            column,
            width,
            source: source.to_owned(),
            message: "expected a whole number, found `ten`".to_owned(),
            help: Some("write seconds".to_owned()),
        }
    }

    #[test]
    fn the_mark_stands_under_the_place() {
        let rendered = diagnostic("io_timeout = ten", 14, 3).to_string();
        assert_eq!(
            rendered,
            "error: expected a whole number, found `ten`\n  \
             --> /etc/sanlock/sanlock.conf:12:14\n   \
             |\n\
             12 | io_timeout = ten\n   \
             |              ^^^\n   \
             = help: write seconds"
        );
    }

    #[test]
    fn a_log_gets_one_line() {
        assert_eq!(
            diagnostic("io_timeout = ten", 14, 3).one_line(),
            "/etc/sanlock/sanlock.conf:12:14: error: expected a whole number, found `ten`; write seconds"
        );
    }

    #[test]
    fn a_long_line_is_cut_around_the_mark() {
        let source = format!("{}ten{}", "x".repeat(500), "y".repeat(500));
        let rendered = diagnostic(&source, 501, 3).to_string();
        let lines: Vec<&str> = rendered.lines().collect();
        let shown = lines
            .iter()
            .find(|l| l.contains("ten...") || l.contains("tenyyy"))
            .unwrap();
        let mark = lines.iter().find(|l| l.contains('^')).unwrap();
        assert!(shown.len() < 130, "{shown}");
        assert_eq!(shown.find("ten"), mark.find('^'));
        assert_eq!(mark.matches('^').count(), 3);
    }

    #[test]
    fn a_mark_never_outgrows_the_line() {
        let rendered = diagnostic(&"z".repeat(5000), 1, 5000).to_string();
        assert!(rendered.lines().all(|l| l.len() < 130));
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(
            printable(b"a\x1b[2Jb\0c\xff\td"),
            "a\u{fffd}[2Jb\u{fffd}c\u{fffd} d"
        );
    }
}
