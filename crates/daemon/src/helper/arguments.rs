//! How one text becomes a program's arguments.

/// Path and arguments together.
const MOST: usize = 8;

/// The argument vector of a program: its path, the words of `text`, and `pid`.
///
/// As upstream: words are separated by white space; a backslash stands before a white space or a
/// backslash that belongs to a word; at anything else that is not a printable ASCII character the
/// text ends; what does not fit into 8 is left out, `pid` too.
pub(super) fn vector(path: &[u8], text: &[u8], pid: Option<i32>) -> Vec<Vec<u8>> {
    let mut vector = vec![path.to_owned()];
    let mut word = Vec::new();
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        if vector.len() == MOST {
            break;
        }
        match byte {
            b'\\' => match bytes.next() {
                Some(escaped) if escaped == b'\\' || is_space(escaped) => word.push(escaped),
                _ => break,
            },
            space if is_space(space) => {
                if !word.is_empty() {
                    vector.push(std::mem::take(&mut word));
                }
            }
            other if other.is_ascii_graphic() => word.push(other),
            _ => break,
        }
    }
    if vector.len() < MOST && !word.is_empty() {
        vector.push(word);
    }
    if let Some(pid) = pid.filter(|_| vector.len() < MOST) {
        vector.push(pid.to_string().into_bytes());
    }
    vector
}

fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(text: &str, pid: Option<i32>) -> Vec<String> {
        vector(b"/p", text.as_bytes(), pid)
            .into_iter()
            .skip(1)
            .map(|word| String::from_utf8(word).unwrap())
            .collect()
    }

    #[test]
    fn as_upstream_splits_them() {
        for (text, expected) in [
            ("", vec![]),
            ("a b", vec!["a", "b"]),
            ("  a   b  ", vec!["a", "b"]),
            ("a\\ b c", vec!["a b", "c"]),
            ("a\\\\b", vec!["a\\b"]),
            ("\"a b\"", vec!["\"a", "b\""]),
            ("a\tb\nc", vec!["a", "b", "c"]),
            // Here the text ends.
            ("a b\\c d", vec!["a", "b"]),
            ("a b\\", vec!["a", "b"]),
            ("a b\u{1}c d", vec!["a", "b"]),
            ("a \u{e9} d", vec!["a"]),
        ] {
            assert_eq!(words(text, None), expected, "{text:?}");
        }
    }

    #[test]
    fn the_pid_comes_last_if_there_is_room() {
        assert_eq!(words("", Some(17)), ["17"]);
        assert_eq!(
            words("1 2 3 4 5 6", Some(17)),
            ["1", "2", "3", "4", "5", "6", "17"]
        );
        assert_eq!(
            words("1 2 3 4 5 6 7", Some(17)),
            ["1", "2", "3", "4", "5", "6", "7"]
        );
        assert_eq!(
            words("1 2 3 4 5 6 7 8 9", None),
            ["1", "2", "3", "4", "5", "6", "7"]
        );
    }

    proptest! {
        #[test]
        fn never_too_many_and_never_a_nul(text in proptest::collection::vec(any::<u8>(), 0..128)) {
            let vector = vector(b"/p", &text, Some(1));
            prop_assert!(vector.len() <= MOST);
            prop_assert!(vector.iter().all(|word| !word.contains(&0) && !word.is_empty()));
        }
    }
}
