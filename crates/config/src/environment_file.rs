//! Files of variables for a daemon's unit, `/etc/default/NAME` or `/etc/sysconfig/NAME`: the daemon's options.
//!
//! systemd reads them (systemd.exec(5), `EnvironmentFile=`) and splits the options at blanks outside quotes. What it
//! passes over without a word is told here.

use std::ops::Range;
use std::path::Path;

use crate::libvirt_conf::{self, LoadError, Loaded};
use crate::nearest::nearest;
use crate::{Diagnostic, Severity};

/// Whose options they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The lease daemon.
    Sanlock,
    /// The watchdog multiplexer.
    Wdmd,
    /// The lock daemon.
    Virtlockd,
}

impl Program {
    /// The name of its options, as the units here and Debian's have it.
    fn options(self) -> &'static str {
        match self {
            Self::Sanlock => "sanlock_opts",
            Self::Wdmd => "wdmd_opts",
            Self::Virtlockd => "VIRTLOCKD_ARGS",
        }
    }

    /// Names that units of other distributions read.
    fn elsewhere(self) -> &'static [&'static str] {
        match self {
            Self::Sanlock => &["SANLOCKOPTS"],
            Self::Wdmd => &["WDMDOPTS"],
            Self::Virtlockd => &[],
        }
    }

    /// Where the file is.
    #[must_use]
    pub fn path(self) -> &'static Path {
        Path::new(match self {
            Self::Sanlock => "/etc/default/sanlock",
            Self::Wdmd => "/etc/default/wdmd",
            Self::Virtlockd => "/etc/default/virtlockd",
        })
    }
}

/// What the file sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DaemonOptions {
    /// The daemon's options, word by word.
    pub words: Vec<String>,
}

/// Reads the file at `path`; one that does not exist sets nothing.
///
/// # Errors
/// [`LoadError`] if it cannot be read.
pub fn load(path: &Path, program: Program) -> Result<Loaded<DaemonOptions>, LoadError> {
    libvirt_conf::load_if_there(path, |file, text| parse(file, text, program))
}

/// Reads `text`, which is the content of `file`. The last of several assignments to one name counts.
///
/// # Errors
/// [`LoadError::Refused`] if a quote does not end.
pub fn parse(
    file: &Path,
    text: &[u8],
    program: Program,
) -> Result<Loaded<DaemonOptions>, LoadError> {
    let mut conf = DaemonOptions::default();
    let mut diagnostics = Vec::new();
    let mut told = |severity, place, message: String, help: Option<String>| {
        const MOST: usize = 100;
        if diagnostics.len() < MOST {
            diagnostics.push(Diagnostic::at(severity, file, text, place, message, help));
        }
    };
    let mut at = 0;
    while at < text.len() {
        let start = at + blanks(text.get(at..).unwrap_or_default());
        match text.get(start) {
            None => break,
            Some(b'#' | b';') => {
                at = end_of_line(text, start);
                continue;
            }
            Some(_) => {}
        }
        let end = end_of_line(text, start);
        let line = text.get(start..end).unwrap_or_default();
        let equals = line
            .iter()
            .position(|byte| *byte == b'=')
            .map(|at| start + at);
        let name = text.get(start..equals.unwrap_or(end)).unwrap_or_default();
        let name_place = start..start + name.trim_ascii_end().len();
        let Some(equals) = equals else {
            let help = format!("write `{}=\"...\"`", program.options());
            told(
                Severity::Error,
                name_place,
                "this line sets nothing".to_owned(),
                Some(help),
            );
            at = end;
            continue;
        };
        let (value, value_end) = value(file, text, equals + 1)?;
        at = value_end;
        let name = String::from_utf8_lossy(name.trim_ascii_end());
        if name == program.options() {
            conf.words = words(&value);
        } else if program.elsewhere().contains(&name.as_ref()) {
            let message = format!("`{name}` is for the units of other distributions");
            let help = format!("the unit here takes `{}`", program.options());
            told(Severity::Warning, name_place, message, Some(help));
        } else if name != "enabled" {
            // Which Debian's start script reads.
            let known = std::iter::once(program.options());
            let help = nearest(name.to_ascii_lowercase().as_bytes(), known)
                .map(|known| format!("perhaps `{known}` was meant"));
            let message = format!(
                "nothing reads `{}`",
                crate::diagnostic::printable(name.as_bytes())
            );
            told(Severity::Error, name_place, message, help);
        }
    }
    Ok(Loaded { conf, diagnostics })
}

fn blanks(text: &[u8]) -> usize {
    text.len() - text.trim_ascii_start().len()
}

fn end_of_line(text: &[u8], from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    let length = rest.iter().position(|byte| *byte == b'\n');
    from + length.unwrap_or(rest.len())
}

/// The value that begins at `start`, without its quotes, and where it ends. Quotes may hold several lines, and a
/// backslash takes the meaning from what follows it.
fn value(file: &Path, text: &[u8], start: usize) -> Result<(Vec<u8>, usize), LoadError> {
    let mut value = Vec::new();
    let mut quote: Option<(u8, usize)> = None;
    let mut at = start;
    while let Some(&byte) = text.get(at) {
        match (byte, quote) {
            (b'\n', None) => break,
            (b'\\', None | Some((b'"', _))) => {
                at += 1;
                match text.get(at) {
                    // A line that goes on.
                    Some(b'\n') | None => {}
                    Some(escaped) => value.push(*escaped),
                }
            }
            (b'"' | b'\'', None) => quote = Some((byte, at)),
            (_, Some((open, _))) if open == byte => quote = None,
            _ => value.push(byte),
        }
        at += 1;
    }
    match quote {
        None => Ok((value.trim_ascii().to_vec(), at)),
        Some((open, place)) => Err(unended(file, text, place..place + 1, open)),
    }
}

fn unended(file: &Path, text: &[u8], place: Range<usize>, quote: u8) -> LoadError {
    let help = Some(format!("end it with {}", char::from(quote)));
    let message = "this quote does not end".to_owned();
    LoadError::Refused(vec![Diagnostic::at(
        Severity::Error,
        file,
        text,
        place,
        message,
        help,
    )])
}

/// Words as systemd makes them of a variable: between blanks, quotes removed.
fn words(value: &[u8]) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    for &byte in value {
        match quote {
            Some(open) if open == byte => quote = None,
            Some(_) => word.get_or_insert_default().push(byte),
            None if byte == b'"' || byte == b'\'' => {
                quote = Some(byte);
                word.get_or_insert_default();
            }
            None if byte.is_ascii_whitespace() => words.extend(word.take()),
            None => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    let text = |word: Vec<u8>| String::from_utf8_lossy(&word).into_owned();
    words.into_iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Loaded<DaemonOptions> {
        parse(Path::new("f"), text.as_bytes(), Program::Wdmd).unwrap()
    }

    fn words_of(text: &str) -> Vec<String> {
        let loaded = parsed(text);
        assert_eq!(loaded.diagnostics, [], "{text:?}");
        loaded.conf.words
    }

    #[test]
    fn options_word_by_word() {
        for (text, words) in [
            (
                "wdmd_opts=\"-w /dev/watchdog1 -H 1\"\n",
                &["-w", "/dev/watchdog1", "-H", "1"][..],
            ),
            ("# c\n; c\n\nenabled=1\nwdmd_opts=-D", &["-D"]),
            ("wdmd_opts='-s \"/my scripts\"'", &["-s", "/my scripts"]),
            ("wdmd_opts=-S\\\n1 \n", &["-S1"]),
            ("wdmd_opts=\"-S 1\n -k 5\"\n", &["-S", "1", "-k", "5"]),
            ("wdmd_opts=\"a\"\nwdmd_opts=\"\"\n", &[]),
            ("  wdmd_opts = x\\ y\n", &["x", "y"]),
        ] {
            assert_eq!(words_of(text), words, "{text:?}");
        }
        let shipped = include_str!("../../../conf/wdmd.default");
        assert_eq!(words_of(shipped), Vec::<String>::new());
    }

    #[test]
    fn what_has_no_effect_is_told() {
        for (text, severity) in [
            ("WDMDOPTS=\"-D\"", Severity::Warning),
            ("wdmd_opt=\"-D\"", Severity::Error),
            ("WDMD_OPTS=\"-D\"", Severity::Error),
            ("-D", Severity::Error),
            ("export wdmd_opts=1", Severity::Error),
        ] {
            let loaded = parsed(text);
            assert_eq!(loaded.conf.words, Vec::<String>::new(), "{text:?}");
            assert_eq!(loaded.diagnostics.len(), 1, "{text:?}");
            assert_eq!(loaded.diagnostics[0].severity, severity, "{text:?}");
        }
        let wrong = parse(Path::new("f"), b"# c\nwdmd_opts=\"-D\n", Program::Wdmd).unwrap_err();
        assert!(wrong.to_string().contains("f:2:11"), "{wrong}");
    }

    #[test]
    fn no_bytes_make_it_fall() {
        for length in 0..40_u8 {
            let noise: Vec<u8> = (0..length).map(|at| at.wrapping_mul(73) ^ length).collect();
            let _ = parse(Path::new("f"), &noise, Program::Sanlock);
        }
    }
}
