//! Collects what is wrong.

use std::ops::Range;
use std::path::Path;

use super::lines::Line;
use crate::diagnostic::printable;
use crate::{Diagnostic, Severity};

/// No more findings are kept of one file.
pub(super) const MAX_DIAGNOSTICS: usize = 100;

pub(super) struct Report<'a> {
    file: &'a Path,
    found: Vec<Diagnostic>,
    more: usize,
}

impl<'a> Report<'a> {
    pub(super) fn new(file: &'a Path) -> Self {
        Self {
            file,
            found: Vec::new(),
            more: 0,
        }
    }

    /// A piece of the file in a message: short and printable.
    pub(super) fn text(&self, bytes: &[u8]) -> String {
        const SHOWN: usize = 60;
        let text = printable(bytes);
        if text.chars().count() <= SHOWN {
            return text;
        }
        text.chars().take(SHOWN).chain("...".chars()).collect()
    }

    pub(super) fn warning(
        &mut self,
        line: &Line<'_>,
        place: Range<usize>,
        message: String,
        help: Option<String>,
    ) {
        self.add(Severity::Warning, line, place, message, help);
    }

    pub(super) fn error(
        &mut self,
        line: &Line<'_>,
        place: Range<usize>,
        message: String,
        help: Option<String>,
    ) {
        self.add(Severity::Error, line, place, message, help);
    }

    pub(super) fn unknown_key(&mut self, line: &Line<'_>, nearest: Option<&'static str>) {
        let message = format!("there is no setting `{}`", self.text(line.key()));
        let help = nearest.map(|name| format!("perhaps `{name}` was meant"));
        self.error(line, line.key_place(), message, help);
    }

    fn add(
        &mut self,
        severity: Severity,
        line: &Line<'_>,
        place: Range<usize>,
        message: String,
        help: Option<String>,
    ) {
        if self.found.len() >= MAX_DIAGNOSTICS - 1 {
            self.more += 1;
            if self.found.len() >= MAX_DIAGNOSTICS {
                return;
            }
        }
        let characters = |part: Range<usize>| {
            let bytes = line.bytes.get(part).unwrap_or(b"");
            printable(bytes).chars().count()
        };
        self.found.push(Diagnostic {
            severity,
            file: self.file.to_owned(),
            line: line.number,
            column: characters(0..place.start.min(line.bytes.len())) + 1,
            width: characters(place).max(1),
            source: printable(line.bytes.trim_ascii_end()),
            message,
            help,
        });
    }

    /// All findings; where there were too many, the last one says how many more.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        if self.more > 1 {
            if let Some(last) = self.found.last_mut() {
                last.message
                    .push_str(&format!(" (and {} more findings below)", self.more - 1));
            }
        }
        self.found
    }
}
