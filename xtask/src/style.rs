//! Colours, where they are wanted.

use std::fmt::Display;
use std::io::{IsTerminal, stdout};
use std::sync::OnceLock;

/// Whether standard output is a terminal: then lines may be redrawn.
pub(crate) fn on_terminal() -> bool {
    stdout().is_terminal()
}

fn coloured() -> bool {
    static COLOURED: OnceLock<bool> = OnceLock::new();
    *COLOURED.get_or_init(|| {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        !set("NO_COLOR") && (on_terminal() || set("CLICOLOR_FORCE"))
    })
}

fn paint(code: &str, text: impl Display) -> String {
    if coloured() {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_string()
    }
}

/// A heading.
pub(crate) fn heading(text: impl Display) -> String {
    paint("1", text)
}

/// What one need not read.
pub(crate) fn quiet(text: impl Display) -> String {
    paint("2", text)
}

/// As it should be.
pub(crate) fn good(text: impl Display) -> String {
    paint("1;32", text)
}

/// Not as it should be.
pub(crate) fn bad(text: impl Display) -> String {
    paint("1;31", text)
}

/// Neither.
pub(crate) fn notable(text: impl Display) -> String {
    paint("1;33", text)
}

/// The first host.
pub(crate) fn first(text: impl Display) -> String {
    paint("1;36", text)
}

/// The second host.
pub(crate) fn second(text: impl Display) -> String {
    paint("1;35", text)
}
