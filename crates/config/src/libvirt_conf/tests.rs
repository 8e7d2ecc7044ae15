//! The grammar, and what is said of texts that are not in it.

use std::path::Path;

use proptest::prelude::*;

use super::*;

fn values(text: &str) -> Vec<(String, Value<'_>)> {
    statements(text.as_bytes())
        .map(|statement| {
            let statement = statement.unwrap_or_else(|mistake| panic!("{text:?}: {mistake:?}"));
            (statement.name.to_owned(), statement.value)
        })
        .collect()
}

fn value(text: &str) -> Value<'_> {
    let mut values = values(text);
    assert_eq!(values.len(), 1, "{text:?}");
    values.remove(0).1
}

#[test]
fn every_kind_of_value() {
    assert_eq!(value("a=12"), Value::Number(12));
    assert_eq!(value("  a_1\t=\t+0 # why"), Value::Number(0));
    assert_eq!(value("a = -3"), Value::Negative(3));
    assert_eq!(value("a = 99999999999999999999"), Value::Number(u64::MAX));
    assert_eq!(
        value("a = 'it is \"this\"'"),
        Value::String(b"it is \"this\"")
    );
    assert_eq!(
        value("a = \"it's # no; comment\""),
        Value::String(b"it's # no; comment")
    );
    assert_eq!(value("a = \"\"\n"), Value::String(b""));
    assert_eq!(
        value("a = \"\"\"two\nlines \"\" \"\"\"\n"),
        Value::String(b"two\nlines \"\" ")
    );
    assert_eq!(value("a = \"\"\"\"\"\"\n"), Value::String(b""));
    let list = [
        Value::Number(1),
        Value::String(b"a"),
        Value::List(vec![Value::List(vec![])]),
    ];
    assert_eq!(
        value("a = [ 1,\n 'a'\r\n, [ [ ], ], ]"),
        Value::List(list.to_vec())
    );
}

#[test]
fn statements_end_with_the_line_or_a_semicolon() {
    let text = "# first\r\n\r\na=1;b='2' ; # more\n\nc=3# at once\r\n  \t\nd = 4";
    let names: Vec<String> = values(text).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    assert_eq!(values(""), []);
    assert_eq!(values("# nothing"), []);
}

#[test]
fn places_are_those_of_the_text() {
    let text = "\nab = [ 1 ] # c";
    let statement = statements(text.as_bytes()).next().unwrap().unwrap();
    assert_eq!(&text[statement.name_place], "ab");
    assert_eq!(&text[statement.value_place], "[ 1 ]");
}

/// The text, the place (line and column) of its mistake, and how the message begins.
const MISTAKES: &[(&str, usize, usize, &str)] = &[
    ("1 = 2", 1, 1, "expecting a name"),
    ("  \n", 1, 1, "expecting a name, found only white space"),
    ("_a = 2", 1, 1, "expecting a name"),
    ("a = 1\n\u{feff}b = 2", 2, 1, "expecting a name"),
    ("a 2", 1, 3, "expecting an assignment"),
    ("a.b = 2", 1, 2, "expecting an assignment"),
    ("\n\na = ", 3, 5, "expecting a value"),
    ("a = x", 1, 5, "expecting a value"),
    ("a =\n1", 1, 4, "expecting a value"),
    ("a = -", 1, 5, "unterminated number"),
    ("a = \"b\nc\"", 1, 5, "unterminated string"),
    ("a = 'b", 1, 5, "unterminated string"),
    ("a = \"\"\"bc\n\n", 1, 5, "unterminated string"),
    // Too short for three quotes, so it is an empty string and a quote.
    ("a = \"\"\"\"\"\"", 1, 7, "expecting a separator"),
    ("a = \"b\0c\"", 1, 7, "there is a NUL byte"),
    ("a = 1 b = 2", 1, 7, "expecting a separator"),
    ("a = 1b", 1, 6, "expecting a separator"),
    ("a = [1 2]", 1, 8, "expecting a separator in list"),
    ("a = [1, # one\n2]", 1, 9, "expecting a value"),
    ("a = [1,\n", 1, 5, "list is not closed with ]"),
    ("a = [,]", 1, 6, "expecting a value"),
];

#[test]
fn the_first_mistake_is_told_with_its_place() {
    for &(text, line, column, message) in MISTAKES {
        let error = crate::virtlockd_conf::parse(Path::new("f"), text.as_bytes()).unwrap_err();
        let LoadError::Refused(diagnostics) = error else {
            panic!("{text:?}: {error}");
        };
        let [first, ..] = diagnostics.as_slice() else {
            panic!("{text:?}: {diagnostics:?}");
        };
        assert!(
            first.message.starts_with(message),
            "{text:?}: {}",
            first.message
        );
        assert_eq!((first.line, first.column), (line, column), "{text:?}");
    }
    let deep: String = "a = ".chars().chain("[".repeat(999_999).chars()).collect();
    let mistake = statements(deep.as_bytes()).next().unwrap().unwrap_err();
    assert_eq!(mistake.message, "lists nested too deeply");
}

#[test]
fn a_mistake_is_shown_as_compilers_do() {
    let text = b"# comment\nhost_id = one\n";
    let error = crate::qemu_sanlock_conf::parse(Path::new("q.conf"), text).unwrap_err();
    assert_eq!(
        error.to_string(),
        "error: expecting a value\n \
         --> q.conf:2:11\n  \
         |\n\
         2 | host_id = one\n  \
         |           ^^^\n  \
         = help: strings are in quotes: \"one\"; yes is 1, no is 0"
    );
}

proptest! {
    #[test]
    fn no_text_makes_it_fall(text in "[a-b_= \"'\\[\\],;#0-1\n\r+-]{0,80}") {
        for statement in statements(text.as_bytes()) {
            let (Ok(Statement { value_place: place, .. }) | Err(Mistake { place, .. })) = statement;
            prop_assert!(place.start <= place.end && place.end <= text.len());
        }
    }

    #[test]
    fn no_bytes_make_it_fall(text: Vec<u8>) {
        let _ = crate::virtlockd_conf::parse(Path::new("f"), &text);
    }
}
