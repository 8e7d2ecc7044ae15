//! What a text's statements are.

use std::ops::Range;

/// What a name is set to. Strings have no escapes, so they are parts of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'t> {
    /// Digits, perhaps with a plus. More than fit are the largest number.
    Number(u64),
    /// Digits with a minus, which stands for a negative number even before 0; the digits' number.
    Negative(u64),
    /// In `'`, `"` or `"""`.
    String(&'t [u8]),
    /// In brackets.
    List(Vec<Value<'t>>),
}

impl Value<'_> {
    /// What kind of value it is, with its article.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Number(_) => "a number",
            Self::Negative(_) => "a negative number",
            Self::String(_) => "a string",
            Self::List(_) => "a list",
        }
    }
}

/// `name = value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement<'t> {
    /// Letters, digits and `_`.
    pub name: &'t str,
    /// Which bytes of the text the name is.
    pub name_place: Range<usize>,
    /// What it is set to.
    pub value: Value<'t>,
    /// Which bytes of the text the value is, with its quotes.
    pub value_place: Range<usize>,
}

/// Where and why a text is not in this grammar. The messages begin as libvirt's do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Which bytes of the text.
    pub place: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// The statements of `text`, one by one; a mistake is the last item.
#[must_use]
pub fn statements(text: &[u8]) -> Statements<'_> {
    Statements {
        text,
        at: 0,
        ended: false,
    }
}

/// See [`statements`].
#[derive(Debug, Clone)]
pub struct Statements<'t> {
    text: &'t [u8],
    at: usize,
    ended: bool,
}

impl<'t> Iterator for Statements<'t> {
    type Item = Result<Statement<'t>, Mistake>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.statement().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

/// Lists within lists, deeper than anybody has them. libvirt has no limit but its stack.
const MAX_DEPTH: usize = 32;

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn is_end_of_line(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

impl<'t> Statements<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn rest(&self) -> &'t [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn slice(&self, place: &Range<usize>) -> &'t [u8] {
        self.text.get(place.clone()).unwrap_or_default()
    }

    fn skip(&mut self, count: usize) {
        self.at = self.at.saturating_add(count).min(self.text.len());
    }

    /// Takes what `keep` holds for.
    fn take_while(&mut self, keep: impl Fn(u8) -> bool) -> Range<usize> {
        let rest = self.rest();
        let count = rest.iter().position(|byte| !keep(*byte));
        let start = self.at;
        self.skip(count.unwrap_or(rest.len()));
        start..self.at
    }

    fn skip_blanks(&mut self) {
        self.take_while(is_blank);
    }

    fn skip_blank_lines(&mut self) {
        self.take_while(|byte| is_blank(byte) || is_end_of_line(byte));
    }

    fn skip_comment(&mut self) {
        self.take_while(|byte| !is_end_of_line(byte));
    }

    /// The word that begins here, to be marked; a single byte where none does.
    fn word_here(&self) -> Range<usize> {
        let is_word =
            |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'/' | b'.');
        let length = self.rest().iter().take_while(|byte| is_word(byte)).count();
        self.at..(self.at + length.max(1)).min(self.text.len().max(self.at))
    }

    fn statement(&mut self) -> Result<Option<Statement<'t>>, Mistake> {
        loop {
            self.skip_blank_lines();
            match self.peek() {
                // libvirt wants a name after blanks at the start of a text, and finds none.
                None if self.at > 0 && self.at == self.text.len() && is_all_blank(self.text) => {
                    return Err(mistake(
                        0..0,
                        "expecting a name, found only white space",
                        "libvirt refuses such a file; leave it empty, or write a comment",
                    ));
                }
                None => return Ok(None),
                Some(b'#') => self.skip_comment(),
                Some(byte) if byte.is_ascii_alphabetic() => break,
                Some(_) if self.rest().starts_with("\u{feff}".as_bytes()) => {
                    return Err(mistake(
                        self.at..self.at + 3,
                        "expecting a name, found a byte order mark",
                        "save the file as UTF-8 without such a mark",
                    ));
                }
                Some(_) => {
                    return Err(mistake(
                        self.word_here(),
                        "expecting a name",
                        "settings read `name = value`, and names begin with a letter",
                    ));
                }
            }
        }
        let name_place = self.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        // ASCII, so it is valid.
        let name = std::str::from_utf8(self.slice(&name_place)).unwrap_or_default();
        self.skip_blanks();
        if self.peek() != Some(b'=') {
            return Err(mistake(
                self.word_here(),
                "expecting an assignment",
                &format!("write `{} = value`", shown(name)),
            ));
        }
        self.skip(1);
        self.skip_blanks();
        let start = self.at;
        let value = self.value(0)?;
        let value_place = start..self.at;
        self.skip_blanks();
        match self.peek() {
            Some(b'#') => self.skip_comment(),
            Some(b';') => self.skip(1),
            None => {}
            Some(byte) if is_end_of_line(byte) => {}
            Some(_) => {
                return Err(mistake(
                    self.word_here(),
                    "expecting a separator",
                    "each setting has a line of its own; a comment begins with #",
                ));
            }
        }
        Ok(Some(Statement {
            name,
            name_place,
            value,
            value_place,
        }))
    }

    fn value(&mut self, depth: usize) -> Result<Value<'t>, Mistake> {
        self.skip_blanks();
        match self.peek() {
            // libvirt looks for three quotes only where more than two times three bytes are left.
            Some(b'"') if self.rest().starts_with(b"\"\"\"") && self.rest().len() > 6 => {
                self.long_string()
            }
            Some(quote @ (b'"' | b'\'')) => self.string(quote),
            Some(b'[') => self.list(depth),
            Some(b'0'..=b'9' | b'+' | b'-') => self.number(),
            _ => {
                let place = self.word_here();
                let word = self.slice(&place);
                let help = match word.first() {
                    Some(byte) if byte.is_ascii_alphanumeric() || *byte == b'/' => format!(
                        "strings are in quotes: \"{}\"; yes is 1, no is 0",
                        String::from_utf8_lossy(word.get(..40).unwrap_or(word))
                    ),
                    _ => {
                        "a value is a number, a string in quotes, or a list in brackets".to_owned()
                    }
                };
                Err(mistake(place, "expecting a value", &help))
            }
        }
    }

    fn number(&mut self) -> Result<Value<'t>, Mistake> {
        let start = self.at;
        let is_negative = self.peek() == Some(b'-');
        if matches!(self.peek(), Some(b'+' | b'-')) {
            self.skip(1);
        }
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        if digits.is_empty() {
            return Err(mistake(
                start..self.at,
                "unterminated number: there is no digit after the sign",
                "write the number, or take the sign away",
            ));
        }
        let number = self.slice(&digits).iter().fold(0_u64, |number, digit| {
            number
                .saturating_mul(10)
                .saturating_add(u64::from(digit - b'0'))
        });
        Ok(if is_negative {
            Value::Negative(number)
        } else {
            Value::Number(number)
        })
    }

    fn string(&mut self, quote: u8) -> Result<Value<'t>, Mistake> {
        let start = self.at;
        self.skip(1);
        let inside = self.take_while(|byte| byte != quote && !is_end_of_line(byte));
        if self.peek() != Some(quote) {
            let quote = char::from(quote);
            return Err(mistake(
                start..self.at,
                "unterminated string",
                &format!(
                    "end it with {quote}; a string of several lines stands between \"\"\" and \"\"\""
                ),
            ));
        }
        self.skip(1);
        self.without_nul(inside)
    }

    fn long_string(&mut self) -> Result<Value<'t>, Mistake> {
        const QUOTES: &[u8] = b"\"\"\"";
        let start = self.at;
        self.skip(QUOTES.len());
        let inside = self.at;
        let Some(length) = self
            .rest()
            .windows(QUOTES.len())
            .position(|three| three == QUOTES)
        else {
            return Err(mistake(
                start..inside,
                "unterminated string",
                "end it with \"\"\", as it begins",
            ));
        };
        self.skip(length + QUOTES.len());
        self.without_nul(inside..inside + length)
    }

    /// libvirt would take what stands before the NUL, and say nothing.
    fn without_nul(&self, place: Range<usize>) -> Result<Value<'t>, Mistake> {
        let string = self.slice(&place);
        match string.iter().position(|byte| *byte == 0) {
            None => Ok(Value::String(string)),
            Some(nul) => Err(mistake(
                place.start + nul..place.start + nul + 1,
                "there is a NUL byte in this string",
                "take it away; the file may be damaged",
            )),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value<'t>, Mistake> {
        let start = self.at;
        let not_closed = mistake(
            start..start + 1,
            "list is not closed with ]",
            "put a ] behind its last value",
        );
        if depth >= MAX_DEPTH {
            return Err(mistake(
                start..start + 1,
                "lists nested too deeply",
                &format!("at most {MAX_DEPTH} brackets stand in each other"),
            ));
        }
        self.skip(1);
        self.skip_blank_lines();
        let mut values = Vec::new();
        loop {
            match self.peek() {
                None => return Err(not_closed),
                Some(b']') => break,
                Some(_) => values.push(self.value(depth + 1)?),
            }
            self.skip_blank_lines();
            match self.peek() {
                Some(b',') => {
                    self.skip(1);
                    self.skip_blank_lines();
                }
                Some(b']') | None => {}
                Some(_) => {
                    return Err(mistake(
                        self.word_here(),
                        "expecting a separator in list",
                        "a list reads [ \"a\", \"b\" ], without comments",
                    ));
                }
            }
        }
        self.skip(1);
        Ok(Value::List(values))
    }
}

fn is_all_blank(text: &[u8]) -> bool {
    text.iter()
        .all(|byte| is_blank(*byte) || is_end_of_line(*byte))
}

fn mistake(place: Range<usize>, message: &str, help: &str) -> Mistake {
    Mistake {
        place,
        message: message.to_owned(),
        help: Some(help.to_owned()),
    }
}

/// So much of a name as a person wants to see.
fn shown(name: &str) -> &str {
    name.get(..40).unwrap_or(name)
}
