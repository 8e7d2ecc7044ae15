//! `virtlockd.conf`: libvirt's `key = value` grammar, and virtlockd's keys.
//!
//! A statement is a name, `=` and a value: a number, a string in `'`, `"` or `"""` (the last over several lines), or a
//! list in brackets. Statements end with the line or with `;`, and `#` begins a comment. Unlike sanlock, libvirt's
//! daemons do not start on a file with a mistake in it, so the first mistake is an error; keys that nobody knows are
//! passed over.

use std::fmt;
use std::path::{Path, PathBuf};

/// What the file sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtlockdConf {
    /// 1 debug to 4 errors; 0 where it is not set.
    pub log_level: u32,
    /// Levels of parts of the program.
    pub log_filters: Option<String>,
    /// Where messages go.
    pub log_outputs: Option<String>,
    /// Most connections to the main socket.
    pub max_clients: u32,
    /// Most connections to the admin socket.
    pub admin_max_clients: u32,
}

impl Default for VirtlockdConf {
    fn default() -> Self {
        Self {
            log_level: 0,
            log_filters: None,
            log_outputs: None,
            max_clients: 1024,
            admin_max_clients: 5000,
        }
    }
}

/// Why a file is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfError {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; none for the wrong kind of value.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for ConfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        match self.line {
            Some(line) => write!(
                f,
                "configuration file syntax error: {file}:{line}: {}",
                self.message
            ),
            None => write!(f, "{file}: {}", self.message),
        }
    }
}

impl std::error::Error for ConfError {}

/// Reads the text of a file.
///
/// # Errors
/// The first mistake in it.
pub fn parse(file: &Path, text: &[u8]) -> Result<VirtlockdConf, ConfError> {
    let wrong = |line, message: &str| ConfError {
        file: file.to_owned(),
        line,
        message: message.to_owned(),
    };
    let mut reader = Reader {
        rest: text,
        line: 1,
    };
    let mut conf = VirtlockdConf::default();
    loop {
        let statement = reader.statement();
        let statement = statement.map_err(|message| wrong(Some(reader.line), message))?;
        let Some((name, value)) = statement else {
            return Ok(conf);
        };
        let kind = |expected: &str| {
            let message = format!("expected {expected} for '{name}' parameter");
            wrong(None, &message)
        };
        let number = || match &value {
            Value::Number(number) => u32::try_from(*number).map_err(|_| {
                let message = format!("value for '{name}' parameter must be in range 0:4294967295");
                wrong(None, &message)
            }),
            _ => Err(kind("an unsigned integer")),
        };
        let string = || match &value {
            Value::String(string) => Ok(Some(string.clone())),
            _ => Err(kind("a string")),
        };
        match name.as_str() {
            "log_level" => conf.log_level = number()?,
            "log_filters" => conf.log_filters = string()?,
            "log_outputs" => conf.log_outputs = string()?,
            "max_clients" => conf.max_clients = number()?,
            "admin_max_clients" => conf.admin_max_clients = number()?,
            _ => {}
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Value {
    Number(u64),
    Negative,
    String(String),
    List,
}

struct Reader<'a> {
    rest: &'a [u8],
    line: usize,
}

/// Lists within lists, as deep as anybody has them.
const MAX_DEPTH: usize = 32;

impl Reader<'_> {
    fn next(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn skip(&mut self, count: usize) {
        let (skipped, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.line += skipped.iter().filter(|byte| **byte == b'\n').count();
        self.rest = rest;
    }

    fn take_while(&mut self, keep: impl Fn(u8) -> bool) -> String {
        let end = self.rest.iter().position(|byte| !keep(*byte));
        let (taken, _) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        let text = String::from_utf8_lossy(taken).into_owned();
        self.skip(taken.len());
        text
    }

    fn skip_blanks(&mut self) {
        self.take_while(|byte| matches!(byte, b' ' | b'\t'));
    }

    fn skip_blank_lines(&mut self) {
        self.take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    }

    fn skip_comment(&mut self) {
        self.take_while(|byte| !matches!(byte, b'\r' | b'\n'));
    }

    fn statement(&mut self) -> Result<Option<(String, Value)>, &'static str> {
        loop {
            self.skip_blank_lines();
            match self.next() {
                None => return Ok(None),
                Some(b'#') => self.skip_comment(),
                Some(byte) if byte.is_ascii_alphabetic() => break,
                Some(_) => return Err("expecting a name"),
            }
        }
        let name = self.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        self.skip_blanks();
        if self.next() != Some(b'=') {
            return Err("expecting an assignment");
        }
        self.skip(1);
        let value = self.value(0)?;
        self.skip_blanks();
        match self.next() {
            Some(b'#') => self.skip_comment(),
            Some(b';') => self.skip(1),
            None | Some(b'\r' | b'\n') => {}
            Some(_) => return Err("expecting a separator"),
        }
        Ok(Some((name, value)))
    }

    fn value(&mut self, depth: usize) -> Result<Value, &'static str> {
        self.skip_blanks();
        match self.next() {
            Some(b'"') if self.rest.starts_with(b"\"\"\"") && self.rest.len() > 6 => {
                self.skip(3);
                let end = self.rest.windows(3).position(|three| three == b"\"\"\"");
                let end = end.ok_or("unterminated string")?;
                let text = String::from_utf8_lossy(self.rest.get(..end).unwrap_or_default());
                let text = text.into_owned();
                self.skip(end + 3);
                Ok(Value::String(text))
            }
            Some(quote @ (b'"' | b'\'')) => {
                self.skip(1);
                let text = self.take_while(|byte| byte != quote && !matches!(byte, b'\r' | b'\n'));
                if self.next() != Some(quote) {
                    return Err("unterminated string");
                }
                self.skip(1);
                Ok(Value::String(text))
            }
            Some(b'[') => self.list(depth),
            Some(b'0'..=b'9' | b'+' | b'-') => {
                let negative = self.next() == Some(b'-');
                if !self.next().is_some_and(|byte| byte.is_ascii_digit()) {
                    self.skip(1);
                }
                let digits = self.take_while(|byte| byte.is_ascii_digit());
                match (digits.as_str(), negative) {
                    ("", _) => Err("unterminated number"),
                    (_, true) => Ok(Value::Negative),
                    (digits, false) => Ok(Value::Number(digits.parse().unwrap_or(u64::MAX))),
                }
            }
            _ => Err("expecting a value"),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, &'static str> {
        if depth > MAX_DEPTH {
            return Err("lists nested too deeply");
        }
        self.skip(1);
        self.skip_blank_lines();
        while self.next().is_some_and(|byte| byte != b']') {
            self.value(depth + 1)?;
            self.skip_blank_lines();
            match self.next() {
                Some(b',') => {
                    self.skip(1);
                    self.skip_blank_lines();
                }
                Some(b']') | None => {}
                Some(_) => return Err("expecting a separator in list"),
            }
        }
        if self.next().is_none() {
            return Err("list is not closed with ]");
        }
        self.skip(1);
        Ok(Value::List)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Result<VirtlockdConf, String> {
        parse(Path::new("f"), text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn every_key() {
        let text = "# a comment\nlog_level = 1\nlog_filters='1:locking 4:object' # why\n\
             log_outputs=\"3:syslog:virtlockd\"; max_clients=+7\n\n  admin_max_clients = 8\n\
             unknown = [ 1, \"a\", [ 'b', ], ]\n";
        let wanted = VirtlockdConf {
            log_level: 1,
            log_filters: Some("1:locking 4:object".to_owned()),
            log_outputs: Some("3:syslog:virtlockd".to_owned()),
            max_clients: 7,
            admin_max_clients: 8,
        };
        assert_eq!(parsed(text), Ok(wanted));
        assert_eq!(parsed(""), Ok(VirtlockdConf::default()));
        let long = parsed("log_filters = \"\"\"1:a\n2:b\"\"\"\nmax_clients = 3").unwrap();
        assert_eq!(long.log_filters.as_deref(), Some("1:a\n2:b"));
        assert_eq!(long.max_clients, 3);
    }

    #[test]
    fn the_file_as_shipped_shows_every_key_with_its_default() {
        let shipped = include_str!("../../../conf/virtlockd.conf");
        assert_eq!(parsed(shipped), Ok(VirtlockdConf::default()));
        let shown: String = shipped
            .lines()
            .filter_map(|line| line.strip_prefix('#'))
            .filter(|line| !line.starts_with(' '))
            .map(|line| format!("{line}\n"))
            .collect();
        let conf = parsed(&shown).unwrap();
        let default = VirtlockdConf::default();
        assert_eq!(conf.max_clients, default.max_clients);
        assert_eq!(conf.admin_max_clients, default.admin_max_clients);
        assert_eq!(conf.log_level, 3);
        assert!(conf.log_filters.is_some() && conf.log_outputs.is_some());
    }

    #[test]
    fn the_first_mistake_is_told() {
        for (text, wanted) in [
            ("1 = 2", "f:1: expecting a name"),
            ("a 2", "f:1: expecting an assignment"),
            ("\n\na = ", "f:3: expecting a value"),
            ("a = x", "f:1: expecting a value"),
            ("a = -", "f:1: unterminated number"),
            ("a = \"b\n", "f:1: unterminated string"),
            ("a = 1 b = 2", "f:1: expecting a separator"),
            ("a = [1 2]", "f:1: expecting a separator in list"),
            ("a = [1,\n", "f:2: list is not closed with ]"),
        ] {
            let wanted = format!("configuration file syntax error: {wanted}");
            assert_eq!(parsed(text), Err(wanted), "{text:?}");
        }
        for (text, wanted) in [
            (
                "max_clients = \"1\"",
                "expected an unsigned integer for 'max_clients' parameter",
            ),
            (
                "max_clients = -1",
                "expected an unsigned integer for 'max_clients' parameter",
            ),
            (
                "max_clients = 4294967296",
                "value for 'max_clients' parameter must be in range 0:4294967295",
            ),
            (
                "log_filters = 1",
                "expected a string for 'log_filters' parameter",
            ),
        ] {
            assert_eq!(parsed(text), Err(format!("f: {wanted}")), "{text:?}");
        }
        assert!(
            parsed(
                &"a = "
                    .chars()
                    .chain("[".repeat(9999).chars())
                    .collect::<String>()
            )
            .is_err()
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fall(text in "[a-z_= \"'\\[\\],;#0-9\n+-]{0,80}") {
            let _ = parse(Path::new("f"), text.as_bytes());
        }
    }
}
