//! What a line's parts are.
//!
//! Upstream reads at most 127 bytes of a line and takes the rest for a line of its own; here a line
//! is a line, and one that upstream reads otherwise is reported.

use std::ops::Range;

use super::report::Report;

/// What upstream reads of one line, in bytes.
const UPSTREAM_LINE: usize = 127;

/// A line that has a key.
#[derive(Debug)]
pub(super) struct Line<'a> {
    /// From 1.
    pub(super) number: usize,
    /// Without its end, and without anything from a NUL on.
    pub(super) bytes: &'a [u8],
    key: Range<usize>,
}

/// White space as C's `isspace` has it, without the line's end.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | 0x0b | 0x0c)
}

impl<'a> Line<'a> {
    /// `None` for empty lines, comments, and lines without a key (which are reported).
    pub(super) fn parse(number: usize, bytes: &'a [u8], report: &mut Report<'_>) -> Option<Self> {
        let whole = bytes;
        let bytes = match whole.iter().position(|&byte| byte == 0) {
            Some(nul) => whole.get(..nul).unwrap_or(whole),
            None => whole,
        };
        let text = bytes.iter().position(|&byte| !is_space(byte))?;
        if bytes.get(text) == Some(&b'#') {
            return None;
        }
        let line = Self {
            number,
            bytes,
            key: 0..0,
        };
        if text > 0 {
            report.error(
                &line,
                0..text,
                "a line that starts with white space has no effect".to_owned(),
                Some("start the line with the key".to_owned()),
            );
            return None;
        }
        let end = bytes
            .iter()
            .position(|byte| matches!(byte, b' ' | b'\t' | b'='))
            .unwrap_or(bytes.trim_ascii_end().len());
        if end == 0 {
            report.error(
                &line,
                0..1,
                "there is no key before the `=`".to_owned(),
                Some("write `key = value`".to_owned()),
            );
            return None;
        }
        if bytes.len() < whole.len() {
            report.warning(
                &line,
                bytes.len()..bytes.len(),
                "a NUL byte ends this line; what follows it has no effect".to_owned(),
                None,
            );
        }
        if bytes.len() > UPSTREAM_LINE {
            report.warning(
                &line,
                UPSTREAM_LINE..bytes.len(),
                format!("upstream's sanlock reads only {UPSTREAM_LINE} bytes of a line"),
                Some(
                    "shorten the line if hosts with upstream's sanlock share this file".to_owned(),
                ),
            );
        }
        Some(Self {
            key: 0..end,
            ..line
        })
    }

    pub(super) fn key(&self) -> &'a [u8] {
        self.bytes.get(self.key.clone()).unwrap_or(b"")
    }

    pub(super) fn key_place(&self) -> Range<usize> {
        self.key.clone()
    }

    /// The first word after the `=`; none is reported.
    pub(super) fn value(&self, report: &mut Report<'_>) -> Option<Value<'a>> {
        let Some(equals) = self.bytes.iter().position(|&byte| byte == b'=') else {
            report.error(
                self,
                self.key_place(),
                "there is no `=` and no value".to_owned(),
                Some(format!("write `{} = value`", report.text(self.key()))),
            );
            return None;
        };
        let start = self
            .bytes
            .iter()
            .enumerate()
            .skip(equals + 1)
            .find(|(_, byte)| !is_space(**byte))
            .map(|(at, _)| at);
        let Some(start) = start else {
            report.error(
                self,
                equals..equals + 1,
                "there is no value after the `=`".to_owned(),
                None,
            );
            return None;
        };
        let end = self
            .bytes
            .iter()
            .enumerate()
            .skip(start)
            .find(|(_, byte)| is_space(**byte))
            .map_or(self.bytes.len(), |(at, _)| at);

        self.warn_of_words(
            self.key.end..equals,
            "what stands between the key and the `=` has no effect",
            report,
        );
        self.warn_of_words(
            end..self.bytes.len(),
            "only the first word after the `=` is the value",
            report,
        );
        Some(Value {
            bytes: self.bytes.get(start..end).unwrap_or(b""),
            place: start..end,
        })
    }

    /// Reports words in a part of the line that should have none; a comment is none.
    fn warn_of_words(&self, part: Range<usize>, message: &str, report: &mut Report<'_>) {
        let bytes = self.bytes.get(part.clone()).unwrap_or(b"");
        let Some(first) = bytes.iter().position(|&byte| !is_space(byte)) else {
            return;
        };
        if bytes.get(first) == Some(&b'#') {
            return;
        }
        let last = bytes.iter().rposition(|&byte| !is_space(byte));
        let end = part.start + last.map_or(first, |at| at + 1);
        report.warning(self, part.start + first..end, message.to_owned(), None);
    }
}

/// A value and where it stands in its line.
#[derive(Debug, Clone)]
pub(super) struct Value<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) place: Range<usize>,
}
