//! Checks of single files.

use std::path::Path;

use super::files::Source;

/// Where unsafe code may stand, each block with its reason.
const UNSAFE_ALLOWED: &[&str] = &["crates/storage/", "crates/fcntl/", "crates/daemon/"];

/// Longest file outside tests.
const LINES_LIMIT: usize = 700;

fn rust(sources: &[Source]) -> impl Iterator<Item = &Source> {
    sources.iter().filter(|source| source.is(".rs"))
}

/// Lines with their numbers, without comments that take a whole line.
fn code_lines(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let lines = source
        .text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

pub(super) fn headers(_: &Path, sources: &[Source]) -> Vec<String> {
    let begins_well = |source: &&Source| {
        let first = source
            .text
            .lines()
            .find(|line| !line.is_empty() && !line.starts_with("#!"));
        first.is_some_and(|line| line.starts_with("//! "))
    };
    rust(sources)
        .filter(|source| !source.is_test() && !begins_well(source))
        .map(|source| source.path.clone())
        .collect()
}

pub(super) fn lengths(_: &Path, sources: &[Source]) -> Vec<String> {
    let lines = |source: &Source| source.text.lines().count();
    rust(sources)
        .filter(|source| !source.is_test() && lines(source) > LINES_LIMIT)
        .map(|source| format!("{}: {} lines", source.path, lines(source)))
        .collect()
}

/// Paths that say where somebody works: this checkout's own place, and home directories.
pub(super) fn machine_paths(root: &Path, sources: &[Source]) -> Vec<String> {
    let mut telling = Vec::new();
    // A checkout right below the root has a parent that says nothing.
    for dir in [Some(root), root.parent()].into_iter().flatten() {
        if dir.parent().is_some() {
            telling.push(format!("{}/", dir.display()));
        }
    }
    if let Some(home) = std::env::var_os("HOME").map(std::path::PathBuf::from) {
        if home.components().count() > 2 {
            telling.push(format!("{}/", home.display()));
        }
    }
    let mut faults = Vec::new();
    for source in sources {
        for (index, line) in source.text.lines().enumerate() {
            let found = telling.iter().any(|path| mentions(line, path));
            if found || names_a_home(line) {
                faults.push(format!("{}:{}: {}", source.path, index + 1, line.trim()));
            }
        }
    }
    faults
}

/// Whether the path stands there as an absolute one, not as the end of another.
fn mentions(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || "._-}/*".contains(c))
    })
}

fn names_a_home(line: &str) -> bool {
    let home = "/home/";
    line.match_indices(home).any(|(at, _)| {
        let name = line.get(at + home.len()..).unwrap_or_default();
        mentions(line, home) && name.starts_with(|c: char| c.is_ascii_lowercase())
    })
}

pub(super) fn unfinished(_: &Path, sources: &[Source]) -> Vec<String> {
    // Taken apart so that this file passes.
    let marks = [
        concat!("to", "do!("),
        concat!("unimpl", "emented!("),
        concat!("db", "g!("),
    ];
    let notes = [
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
        concat!("TO", "DO"),
    ];
    let mut faults = Vec::new();
    for source in rust(sources) {
        for (index, line) in source.text.lines().enumerate() {
            if marks.iter().chain(&notes).any(|mark| line.contains(mark)) {
                faults.push(format!("{}:{}: {}", source.path, index + 1, line.trim()));
            }
        }
    }
    faults
}

pub(super) fn unsafe_code(_: &Path, sources: &[Source]) -> Vec<String> {
    let word = concat!("uns", "afe");
    let begins_code = |rest: &str| {
        ["{", "fn ", "impl ", "extern ", "trait ", "("]
            .iter()
            .any(|next| rest.starts_with(next))
    };
    let mut faults = Vec::new();
    for source in rust(sources) {
        if UNSAFE_ALLOWED
            .iter()
            .any(|dir| source.path.starts_with(dir))
        {
            continue;
        }
        for (number, line) in code_lines(source) {
            let found = line.match_indices(word).any(|(at, _)| {
                let (before, after) = line.split_at(at);
                let whole = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
                whole && begins_code(after.trim_start_matches(word).trim_start())
            });
            if found {
                faults.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    faults
}

pub(super) fn blanks(_: &Path, sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    let plain = |source: &&Source| {
        [".rs", ".toml", ".yml", ".sh"]
            .iter()
            .any(|ending| source.is(ending))
    };
    for source in sources.iter().filter(plain) {
        for (index, line) in source.text.lines().enumerate() {
            if line.ends_with([' ', '\t']) {
                faults.push(format!("{}:{}", source.path, index + 1));
            }
        }
        if !source.text.is_empty() && !source.text.ends_with('\n') {
            faults.push(format!("{}: the last line has no end", source.path));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Vec<Source> {
        vec![Source {
            path: path.to_owned(),
            text: text.to_owned(),
        }]
    }

    fn count(check: fn(&Path, &[Source]) -> Vec<String>, path: &str, text: &str) -> usize {
        check(Path::new("/srv/somebody/checkout"), &source(path, text)).len()
    }

    #[test]
    fn a_module_needs_a_header_but_may_have_attributes_first() {
        assert_eq!(count(headers, "a.rs", "use b;\n"), 1);
        assert_eq!(count(headers, "a.rs", "#![no_main]\n//! Says what.\n"), 0);
        assert_eq!(count(headers, "a.txt", "use b;\n"), 0);
    }

    #[test]
    fn length_counts_outside_tests_only() {
        let long = "x\n".repeat(LINES_LIMIT + 1);
        assert_eq!(count(lengths, "crates/a/src/b.rs", &long), 1);
        assert_eq!(count(lengths, "crates/a/src/b/tests.rs", &long), 0);
        assert_eq!(count(lengths, "crates/a/tests/b.rs", &long), 0);
    }

    #[test]
    fn the_checkout_and_its_parent_are_paths_of_one_machine() {
        let own = "see /srv/somebody/other";
        assert_eq!(count(machine_paths, "README.md", own), 1);
        assert_eq!(
            count(machine_paths, "README.md", "see /mnt/srv/somebody/other"),
            0
        );
        assert_eq!(
            count(machine_paths, "README.md", concat!("/ho", "me/somebody/x")),
            1
        );
        assert_eq!(count(machine_paths, "README.md", "/var/lib/sanlock"), 0);
    }

    #[test]
    fn unsafe_code_is_found_where_it_is_code() {
        let block = concat!("uns", "afe { x() }\n");
        assert_eq!(count(unsafe_code, "crates/paxos/src/a.rs", block), 1);
        assert_eq!(count(unsafe_code, "crates/storage/src/a.rs", block), 0);
        assert_eq!(
            count(
                unsafe_code,
                "crates/paxos/src/a.rs",
                concat!("// can be uns", "afe {\n")
            ),
            0
        );
        assert_eq!(
            count(unsafe_code, "crates/paxos/src/a.rs", "\"can be unsafe\"\n"),
            0
        );
        assert_eq!(
            count(unsafe_code, "crates/paxos/src/a.rs", "if is_unsafe {\n"),
            0
        );
    }

    #[test]
    fn unfinished_work_is_found() {
        assert_eq!(count(unfinished, "a.rs", concat!("    to", "do!()\n")), 1);
        assert_eq!(count(unfinished, "a.rs", "    done()\n"), 0);
    }

    #[test]
    fn blanks_are_found() {
        assert_eq!(count(blanks, "a.rs", "x \ny\n"), 1);
        assert_eq!(count(blanks, "a.rs", "x"), 1);
    }
}
