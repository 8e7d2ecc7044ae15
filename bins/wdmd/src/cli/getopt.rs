//! Options as getopt_long(3) of the GNU C library reads them, with its complaints: options may stand after other
//! arguments, be put together (`-DH1`), and be abbreviated (`--prob`).

/// An option: its letter, or its long name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// An option, by its letter, with its argument.
    Option(char, Option<String>),
    /// What is wrong, in a sentence for people.
    Complaint(String),
}

/// A long option, and the letter that means the same.
#[derive(Debug)]
pub(super) struct Long {
    pub(super) name: &'static str,
    pub(super) letter: char,
    pub(super) has_argument: bool,
    /// Not the original's: not what an abbreviation means.
    pub(super) own: bool,
}

/// Reads all options. `letters` as for getopt(3): a colon after those with an argument.
pub(super) fn read(
    program: &str,
    arguments: &[String],
    letters: &str,
    longs: &[Long],
) -> Vec<Item> {
    let mut items = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "--" {
            break;
        }
        if let Some(long) = argument.strip_prefix("--") {
            items.push(read_long(program, long, longs, || rest.next().cloned()));
        } else if let Some(short) = argument.strip_prefix('-').filter(|short| !short.is_empty()) {
            read_short(program, short, letters, || rest.next().cloned(), &mut items);
        }
    }
    items
}

fn read_short(
    program: &str,
    cluster: &str,
    letters: &str,
    mut next: impl FnMut() -> Option<String>,
    items: &mut Vec<Item>,
) {
    let mut rest = cluster.chars();
    while let Some(letter) = rest.next() {
        let mut known = letters.chars().skip_while(|c| *c != letter);
        if letter == ':' || known.next().is_none() {
            let complaint = format!("{program}: invalid option -- '{letter}'");
            items.push(Item::Complaint(complaint));
            continue;
        }
        if known.next() != Some(':') {
            items.push(Item::Option(letter, None));
            continue;
        }
        let attached = Some(rest.as_str().to_owned()).filter(|text| !text.is_empty());
        items.push(match attached.or_else(&mut next) {
            Some(value) => Item::Option(letter, Some(value)),
            None => Item::Complaint(format!(
                "{program}: option requires an argument -- '{letter}'"
            )),
        });
        return;
    }
}

fn read_long(
    program: &str,
    text: &str,
    longs: &[Long],
    next: impl FnOnce() -> Option<String>,
) -> Item {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    let exact = longs.iter().find(|long| long.name == name);
    let candidates: Vec<&Long> = longs
        .iter()
        .filter(|long| !long.own && long.name.starts_with(name))
        .collect();
    let found = match (exact, candidates.as_slice()) {
        (Some(long), _) => long,
        (None, [long]) => *long,
        (None, []) => {
            return Item::Complaint(format!("{program}: unrecognized option '--{name}'"));
        }
        (None, several) => {
            let names: Vec<String> = several
                .iter()
                .map(|long| format!("'--{}'", long.name))
                .collect();
            let names = names.join(" ");
            return Item::Complaint(format!(
                "{program}: option '--{name}' is ambiguous; possibilities: {names}"
            ));
        }
    };
    let long = found.name;
    match (found.has_argument, value) {
        (false, None) => Item::Option(found.letter, None),
        (false, Some(_)) => Item::Complaint(format!(
            "{program}: option '--{long}' doesn't allow an argument"
        )),
        (true, value) => match value.or_else(next) {
            Some(value) => Item::Option(found.letter, Some(value)),
            None => Item::Complaint(format!("{program}: option '--{long}' requires an argument")),
        },
    }
}

/// A number as atoi(3) reads it: what stands before something else, 0 if nothing does.
pub(super) fn number(text: &str) -> i32 {
    let text = text.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = digits
        .chars()
        .map_while(|c| c.to_digit(10))
        .fold(0_i64, |value, digit| {
            value.saturating_mul(10).saturating_add(i64::from(digit))
        });
    let value = if negative { -value } else { value };
    i32::try_from(value).unwrap_or(if negative { i32::MIN } else { i32::MAX })
}
