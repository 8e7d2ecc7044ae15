//! libvirt's `key = value` grammar, and reading settings from it.
//!
//! A statement is a name, `=` and a value: a number, a string in `'`, `"` or `"""` (the last over several lines), or a
//! list in brackets. Statements end with the line or with `;`, and `#` begins a comment. Of several statements with one
//! name the first counts.
//!
//! libvirt's daemons and drivers do not start on a file that is not in this grammar, or that gives a setting the wrong
//! kind of value: neither is taken here, and what is wrong is in [`LoadError::Refused`]. What they pass over without a
//! word (settings that nobody knows, a second statement with the same name) is passed over here too, but told in
//! [`Loaded::diagnostics`].

mod grammar;
mod settings;

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

pub use grammar::{Mistake, Statement, Statements, Value, statements};
pub(crate) use settings::{Others, Settings};

use crate::Diagnostic;

/// Larger files are not read: nothing that a person wrote comes near it. In bytes.
pub const MAX_FILE: u64 = 1024 * 1024;

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded<T> {
    /// What it sets.
    pub conf: T,
    /// What has no effect in it, in the order of its lines; at most 100.
    pub diagnostics: Vec<Diagnostic>,
}

/// Why a file is not taken.
#[derive(Debug)]
pub enum LoadError {
    /// It cannot be opened or read.
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is longer than [`MAX_FILE`].
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// It is wrong: at least one finding, and first those for which it is refused.
    Refused(Vec<Diagnostic>),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, source } => write!(f, "cannot read {}: {source}", path.display()),
            Self::TooLong { path } => write!(
                f,
                "{} is longer than {MAX_FILE} bytes and was not read",
                path.display()
            ),
            Self::Refused(diagnostics) => {
                for (at, diagnostic) in diagnostics.iter().enumerate() {
                    let between = if at == 0 { "" } else { "\n\n" };
                    write!(f, "{between}{diagnostic}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { source, .. } => Some(source),
            Self::TooLong { .. } | Self::Refused(_) => None,
        }
    }
}

/// Reads the file at `path` with `parse`.
///
/// # Errors
/// [`LoadError`]; a file that is not there is one of them.
pub(crate) fn load<T>(
    path: &Path,
    parse: impl FnOnce(&Path, &[u8]) -> Result<Loaded<T>, LoadError>,
) -> Result<Loaded<T>, LoadError> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut text = Vec::new();
        std::fs::File::open(path)?
            .take(MAX_FILE + 1)
            .read_to_end(&mut text)?;
        Ok(text)
    };
    match read() {
        Ok(text) if text.len() as u64 > MAX_FILE => Err(LoadError::TooLong {
            path: path.to_owned(),
        }),
        Ok(text) => parse(path, &text),
        Err(source) => Err(LoadError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

/// The same, with an empty text for a file that is not there.
///
/// # Errors
/// [`LoadError`] if it is there.
pub(crate) fn load_if_there<T>(
    path: &Path,
    parse: impl Fn(&Path, &[u8]) -> Result<Loaded<T>, LoadError>,
) -> Result<Loaded<T>, LoadError> {
    match load(path, &parse) {
        Err(LoadError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            parse(path, b"")
        }
        other => other,
    }
}

/// The lines of a shipped file that show a setting, as they are once the # before them is taken away.
#[cfg(test)]
pub(crate) fn uncommented(shipped: &str) -> String {
    shipped
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .filter(|line| !line.is_empty() && !line.starts_with(' '))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[cfg(test)]
mod tests;
