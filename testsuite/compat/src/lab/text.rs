//! Replaces in a program's text what must differ from run to run, and nothing else.

/// Words after which a number is a clock reading, a process id or a file descriptor. A zero stays:
/// it means "never".
const VARYING: &[&str] = &[
    "timestamp",
    "monotime",
    "helper_last_status",
    "helper_pid",
    "helper_kill_fd",
    "kill_last",
    "acquire_last_attempt",
    "acquire_last_success",
    "renewal_last_attempt",
    "renewal_last_success",
    "last_check",
    "last_live",
    "last_req",
    "write_timestamp",
    "inp3",
];

/// Keys before `=` whose number differs in any case, zero or not.
const ANYTHING: &[&str] = &["fd", "ci", "read_ms", "write_ms", "uid", "gid"];

/// Words after which a hexadecimal number depends on a clock.
const CHECKSUMS: &[&str] = &["checksum", "sum"];

/// Values of this run, by the name that stands for them in a transcript.
pub(crate) type Names = Vec<(String, String)>;

/// `text` without what must differ: paths and process ids of this run become `{NAME}`, clock
/// readings `{T}`, checksums over clock readings `{X}`, a blank at the end of a line `{SP}`.
pub(crate) fn normalised(text: &str, names: &Names) -> Vec<String> {
    text.lines()
        .map(|line| normalised_line(line, names))
        .collect()
}

/// `text` with the values of this run for `{NAME}`.
pub(crate) fn filled(text: &str, names: &Names) -> String {
    let mut filled = text.to_owned();
    for (name, value) in names {
        filled = filled.replace(&format!("{{{name}}}"), value);
    }
    filled
}

fn normalised_line(line: &str, names: &Names) -> String {
    // A process id may be equal to a clock reading, never the other way round.
    let mut line = without_varying(&line.replace('\t', "{TAB}"));
    for (name, value) in names {
        let mark = format!("{{{name}}}");
        if value.bytes().all(|byte| byte.is_ascii_digit()) {
            line = replace_number(&line, value, &mark);
        } else {
            line = line.replace(value.as_str(), &mark);
        }
    }
    match line.strip_suffix(' ') {
        Some(rest) => format!("{rest}{{SP}}"),
        None => line,
    }
}

/// Replaces `number` where it stands alone, not as a part of a longer number or word.
fn replace_number(line: &str, number: &str, mark: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(number) {
        let (before, from) = rest.split_at(at);
        let after = &from[number.len()..];
        let joined = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let alone = !joined(before.chars().next_back().or(out.chars().next_back()))
            && !joined(after.chars().next());
        out.push_str(before);
        out.push_str(if alone { mark } else { number });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The text cut into runs of word characters and runs of everything else.
fn pieces(line: &str) -> Vec<&str> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut inside = None;
    for (at, c) in line.char_indices() {
        if inside.is_some_and(|inside| inside != word(c)) {
            pieces.push(&line[start..at]);
            start = at;
        }
        inside = Some(word(c));
    }
    pieces.push(&line[start..]);
    pieces
}

fn without_varying(line: &str) -> String {
    let pieces = pieces(line);
    let mut out = String::new();
    for (index, piece) in pieces.iter().enumerate() {
        let (before, between) = match index {
            0 | 1 => ("", ""),
            _ => (pieces[index - 2], pieces[index - 1]),
        };
        let follows = matches!(between, " " | "=" | "': ");
        let number = piece.bytes().all(|byte| byte.is_ascii_digit());
        let zero = piece.bytes().all(|byte| byte == b'0');
        let hex = piece
            .trim_start_matches("0x")
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit());
        let anything = between == "=" && ANYTHING.contains(&before);
        let clock = !zero && follows && VARYING.contains(&before);
        if number && (anything || clock) {
            out.push_str("{T}");
        } else if hex && follows && CHECKSUMS.contains(&before) {
            out.push_str("{X}");
        } else if number && !zero && piece.len() == 10 && piece.starts_with('0') {
            // The column of `direct dump` that holds the timestamp.
            out.push_str("{T}");
        } else {
            out.push_str(piece);
        }
    }
    out
}

/// Whether `line` is what `pattern` says; `{*}` in a pattern stands for anything within the line.
pub(crate) fn matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split("{*}");
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_pids_and_paths_are_replaced_and_nothing_else() {
        let names = vec![
            ("DIR".to_owned(), "/dev/shm/x1".to_owned()),
            ("a".to_owned(), "812".to_owned()),
        ];
        let line = |text| normalised_line(text, &names);
        assert_eq!(line("p 812 812"), "p {a} {a}");
        assert_eq!(line("p 8123 x812"), "p 8123 x812");
        assert_eq!(line("s LS:1:/dev/shm/x1/ls:0 "), "s LS:1:{DIR}/ls:0{SP}");
        assert_eq!(line("1 timestamp 77"), "1 timestamp {T}");
        assert_eq!(line("1 timestamp 0"), "1 timestamp 0");
        assert_eq!(line("    monotime=12"), "    monotime={T}");
        assert_eq!(line("register done 3"), "register done 3");
        assert_eq!(line("acquire fd 3"), "acquire fd 3");
        assert_eq!(line("    ci=0"), "    ci={T}");
        assert_eq!(
            line("{'timestamp': 12, 'flags': 3}"),
            "{'timestamp': {T}, 'flags': 3}"
        );
        assert_eq!(line("checksum 0x5aa"), "checksum {X}");
        assert_eq!(line("R 0000001200 0001"), "R {T} 0001");
        assert_eq!(line("R 0000000000 0001"), "R 0000000000 0001");
        // A clock reading that is equal to a process id.
        assert_eq!(line("1 timestamp 812"), "1 timestamp {T}");
        assert_eq!(filled("p {a} in {DIR}", &names), "p 812 in /dev/shm/x1");
    }

    #[test]
    fn a_star_stands_for_anything_within_a_line() {
        assert!(matches("a{*}c", "abc") && matches("a{*}c", "ac") && matches("{*}", ""));
        assert!(matches("a{*}b{*}c", "a1b2c") && !matches("a{*}b{*}c", "a1c"));
        assert!(!matches("a{*}c", "ab") && !matches("abc", "abcd") && matches("", ""));
    }
}
