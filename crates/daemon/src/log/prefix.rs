//! What a line is about.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};

use super::line::FixedText;

/// A name as it stands in a prefix.
type Short = FixedText<40>;

/// The fields of an event or span that become the line's prefix.
#[derive(Clone, Copy)]
pub(super) struct Prefix {
    space: Short,
    resource: Short,
    task: Short,
    client: Short,
}

impl Prefix {
    pub(super) const fn new() -> Self {
        Self {
            space: Short::new(),
            resource: Short::new(),
            task: Short::new(),
            client: Short::new(),
        }
    }

    /// Whether a field of this name belongs to the prefix and not to the message.
    pub(super) fn has(name: &str) -> bool {
        matches!(name, "space" | "resource" | "task" | "client")
    }

    fn set(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let (place, letter) = match field.name() {
            "space" => (&mut self.space, "s"),
            "resource" => (&mut self.resource, "r"),
            "task" => (&mut self.task, ""),
            "client" => (&mut self.client, ""),
            _ => return,
        };
        let mut text = Short::new();
        let _ = text.write_fmt(value);
        *place = Short::new();
        // A bare number gets the letter that a number in the log has.
        if text.as_bytes().first().is_some_and(u8::is_ascii_digit) {
            let _ = place.write_str(letter);
        }
        let _ = place.write_str(text.as_str());
    }
}

/// With the space that stands before the message; nothing if there is nothing to say.
impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let task = |f: &mut fmt::Formatter<'_>| match self.task.is_empty() {
            true => Ok(()),
            false => write!(f, "{:.8} ", self.task.as_str()),
        };
        if !self.client.is_empty() {
            write!(f, "cl {} ", self.client.as_str())?;
            return task(f);
        }
        match (self.space.is_empty(), self.resource.is_empty()) {
            (false, false) => write!(f, "{}:{} ", self.space.as_str(), self.resource.as_str()),
            (false, true) => write!(f, "{} ", self.space.as_str()),
            (true, false) => write!(f, "{} ", self.resource.as_str()),
            (true, true) => task(f),
        }
    }
}

impl Visit for Prefix {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format_args!("{value:?}"));
    }
}
