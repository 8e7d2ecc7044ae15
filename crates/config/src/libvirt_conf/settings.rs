//! Settings of a file, asked for by name and kind.

use std::ffi::OsString;
use std::ops::Range;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use super::{LoadError, Loaded, Value, statements};
use crate::nearest::nearest;
use crate::{Diagnostic, Severity};

/// No more findings are kept of one file.
const MAX_DIAGNOSTICS: usize = 100;

/// What becomes of settings that have not been named.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    /// All settings of the file are named: others are reported.
    Unknown,
    /// The file has many more: only those are reported that look like a slip of the pen.
    PassedOver,
}

/// A name, its value and where that stands.
type Found<'t> = (&'static str, Value<'t>, Range<usize>);

pub(crate) struct Settings<'t> {
    file: &'t Path,
    text: &'t [u8],
    found: Vec<Found<'t>>,
    /// For which the file is not taken.
    refused: Vec<Diagnostic>,
    /// What has no effect.
    remarks: Vec<Diagnostic>,
}

impl<'t> Settings<'t> {
    /// Reads `text`, the content of `file`, for the settings of these names.
    ///
    /// # Errors
    /// The first mistake, if it is not in the grammar.
    pub(crate) fn read(
        file: &'t Path,
        text: &'t [u8],
        names: &[&'static str],
        others: Others,
    ) -> Result<Self, LoadError> {
        let mut settings = Self {
            file,
            text,
            found: Vec::new(),
            refused: Vec::new(),
            remarks: Vec::new(),
        };
        for statement in statements(text) {
            let statement = match statement {
                Ok(statement) => statement,
                Err(mistake) => {
                    settings.refuse_at(mistake.place, mistake.message, mistake.help);
                    break;
                }
            };
            let place = statement.name_place;
            let Some(name) = names.iter().find(|name| **name == statement.name) else {
                let meant = nearest(statement.name.as_bytes(), names.iter().copied());
                if others == Others::Unknown || meant.is_some() {
                    let message = format!("there is no setting `{}`", short(statement.name));
                    let help = meant.map(|name| format!("perhaps `{name}` was meant"));
                    settings.remark(Severity::Error, place, message, help);
                }
                continue;
            };
            match settings.place_of(name) {
                None => settings
                    .found
                    .push((name, statement.value, statement.value_place)),
                Some(first) => {
                    let newlines = text.iter().take(first.start).filter(|byte| **byte == b'\n');
                    let message = format!(
                        "`{name}` is set already, in line {}, and the first one counts",
                        newlines.count() + 1
                    );
                    let help = Some("take one of them away".to_owned());
                    settings.remark(Severity::Error, place, message, help);
                }
            }
        }
        if settings.refused.is_empty() {
            Ok(settings)
        } else {
            Err(settings.refusal())
        }
    }

    fn place_of(&self, name: &str) -> Option<Range<usize>> {
        let found = self.found.iter().find(|(known, ..)| *known == name);
        found.map(|(_, _, place)| place.clone())
    }

    fn diagnostic(
        &self,
        severity: Severity,
        place: Range<usize>,
        message: String,
        help: Option<String>,
    ) -> Diagnostic {
        Diagnostic::at(severity, self.file, self.text, place, message, help)
    }

    fn refuse_at(&mut self, place: Range<usize>, message: String, help: Option<String>) {
        let diagnostic = self.diagnostic(Severity::Error, place, message, help);
        self.refused.push(diagnostic);
    }

    fn remark(
        &mut self,
        severity: Severity,
        place: Range<usize>,
        message: String,
        help: Option<String>,
    ) {
        if self.remarks.len() < MAX_DIAGNOSTICS {
            let diagnostic = self.diagnostic(severity, place, message, help);
            self.remarks.push(diagnostic);
        }
    }

    /// The file is not taken for the value of `name`, which is set.
    pub(crate) fn refuse(&mut self, name: &str, message: &str, help: &str) {
        let place = self.place_of(name).unwrap_or_default();
        self.refuse_at(place, message.to_owned(), Some(help.to_owned()));
    }

    /// The value of `name`, which is set, does not do what one may think.
    pub(crate) fn warn(&mut self, name: &str, message: &str, help: &str) {
        let place = self.place_of(name).unwrap_or_default();
        let help = Some(help.to_owned());
        self.remark(Severity::Warning, place, message.to_owned(), help);
    }

    /// Whether the file sets it.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.place_of(name).is_some()
    }

    /// The value of `name`, if it is set and `read` takes it; else it is refused, since `name` is `wanted`.
    fn value<T>(
        &mut self,
        name: &str,
        wanted: &str,
        read: impl FnOnce(&Value<'t>) -> Option<T>,
    ) -> Option<T> {
        let (_, value, place) = self.found.iter().find(|(known, ..)| *known == name)?;
        let read = read(value);
        if read.is_none() {
            let place = place.clone();
            let written = String::from_utf8_lossy(self.text.get(place.clone()).unwrap_or_default());
            let message = match value {
                Value::Number(_) | Value::Negative(_) => {
                    format!("`{name}` is {wanted}, not {}", short(&written))
                }
                other => format!("`{name}` is {wanted}, not {}", other.kind()),
            };
            self.refuse_at(place, message, None);
        }
        read
    }

    /// 0 or 1.
    pub(crate) fn switch(&mut self, name: &str) -> Option<bool> {
        self.value(name, "0 (no) or 1 (yes)", |value| match value {
            Value::Number(0) => Some(false),
            Value::Number(1) => Some(true),
            _ => None,
        })
    }

    /// 0 to 4294967295.
    pub(crate) fn number(&mut self, name: &str) -> Option<u32> {
        self.value(name, "a number from 0 to 4294967295", |value| match value {
            Value::Number(number) => u32::try_from(*number).ok(),
            _ => None,
        })
    }

    /// A string of any bytes but NUL.
    fn bytes(&mut self, name: &str) -> Option<&'t [u8]> {
        self.value(name, "a string in quotes", |value| match value {
            Value::String(string) => Some(*string),
            _ => None,
        })
    }

    /// A string in UTF-8.
    pub(crate) fn string(&mut self, name: &str) -> Option<String> {
        let bytes = self.bytes(name)?;
        let string = String::from_utf8(bytes.to_vec()).ok();
        if string.is_none() {
            self.refuse(name, "this string is not UTF-8", "save the file as UTF-8");
        }
        string
    }

    /// A path.
    pub(crate) fn path(&mut self, name: &str) -> Option<PathBuf> {
        let bytes = self.bytes(name)?;
        Some(OsString::from_vec(bytes.to_vec()).into())
    }

    fn refusal(self) -> LoadError {
        let mut diagnostics = self.refused;
        diagnostics.extend(self.remarks);
        LoadError::Refused(diagnostics)
    }

    /// What was made of the settings, if nothing was refused.
    pub(crate) fn finish<T>(self, conf: T) -> Result<Loaded<T>, LoadError> {
        if self.refused.is_empty() {
            Ok(Loaded {
                conf,
                diagnostics: self.remarks,
            })
        } else {
            Err(self.refusal())
        }
    }
}

/// So much of a text as a person wants to see.
fn short(text: &str) -> String {
    const SHOWN: usize = 60;
    let printable = crate::diagnostic::printable(text.as_bytes());
    if printable.chars().count() <= SHOWN {
        return printable;
    }
    printable.chars().take(SHOWN).chain("...".chars()).collect()
}
