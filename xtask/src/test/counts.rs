//! Counting tests by what their runners print.

/// How many tests there were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
    /// Names of the skipped, and why.
    pub(crate) skipped_names: Vec<String>,
}

impl Counts {
    /// One thing that worked.
    pub(crate) fn success() -> Counts {
        Counts {
            passed: 1,
            ..Counts::default()
        }
    }

    /// One thing that did not.
    pub(crate) fn failure() -> Counts {
        Counts {
            failed: 1,
            ..Counts::default()
        }
    }

    /// One thing that was not tried.
    pub(crate) fn skip() -> Counts {
        Counts {
            skipped: 1,
            ..Counts::default()
        }
    }

    /// Adds others.
    pub(crate) fn add(&mut self, other: Counts) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.skipped_names.extend(other.skipped_names);
    }

    /// Whether anything was counted.
    pub(crate) fn is_empty(&self) -> bool {
        self.passed + self.failed + self.skipped == 0
    }
}

/// Which counts of a program's output mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counting {
    /// Several runners, each with a count of its own.
    All,
    /// One runner, whose count comes last; others may have run inside it.
    Last,
}

/// Reads the counts of a program's output; empty if there are none.
pub(crate) fn parse(output: &str, counting: Counting) -> Counts {
    let mut sum = Counts::default();
    for counts in output
        .lines()
        .filter_map(|line| libtest(line).or_else(|| plain(line)))
    {
        if counting == Counting::Last {
            sum = Counts::default();
        }
        sum.add(counts);
    }
    sum.skipped_names = output
        .lines()
        .filter_map(skipped_name)
        .map(str::to_owned)
        .collect();
    sum
}

/// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`
fn libtest(line: &str) -> Option<Counts> {
    let (_, numbers) = line
        .trim()
        .strip_prefix("test result: ")?
        .split_once(". ")?;
    counts(numbers.split("; "), "ignored")
}

/// `3 passed, 0 failed, 1 skipped`, the last part being optional.
fn plain(line: &str) -> Option<Counts> {
    counts(line.trim().split(", "), "skipped")
}

fn counts<'a>(parts: impl Iterator<Item = &'a str>, skipped: &str) -> Option<Counts> {
    let mut counts = Counts::default();
    let mut seen = (false, false);
    for part in parts {
        let Some((number, what)) = part.split_once(' ') else {
            break;
        };
        match what {
            "passed" => (counts.passed, seen.0) = (number.parse().ok()?, true),
            "failed" => (counts.failed, seen.1) = (number.parse().ok()?, true),
            what if what == skipped => counts.skipped = number.parse().ok()?,
            _ => break,
        }
    }
    (seen == (true, true)).then_some(counts)
}

/// `test NAME ... ignored, WHY` or `skipped NAME: WHY`.
fn skipped_name(line: &str) -> Option<&str> {
    let line = line.trim();
    if let Some(name) = line.strip_prefix("skipped ") {
        return Some(name.trim());
    }
    let (name, rest) = line.strip_prefix("test ")?.split_once(" ... ")?;
    rest.starts_with("ignored").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARGO: &str = "\
running 3 tests
test a ... ok
test b ... ignored, needs a disk
test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
test result: FAILED. 1 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    #[test]
    fn counts_of_several_runners_add_up() {
        let counts = parse(CARGO, Counting::All);
        assert_eq!((counts.passed, counts.failed, counts.skipped), (3, 4, 1));
        assert_eq!(counts.skipped_names, ["b"]);
    }

    #[test]
    fn of_nested_runners_the_last_counts() {
        let output =
            "144 passed, 1 failed\nskipped loop: no devices\n20 passed, 0 failed, 1 skipped\n";
        let counts = parse(output, Counting::Last);
        assert_eq!((counts.passed, counts.failed, counts.skipped), (20, 0, 1));
        assert_eq!(counts.skipped_names, ["loop: no devices"]);
    }

    #[test]
    fn other_lines_are_no_counts() {
        for line in [
            "",
            "3 passed",
            "3 passed, 1 warning",
            "we have 3 passed, 0 failed",
            "1 failed",
        ] {
            assert!(parse(line, Counting::All).is_empty(), "{line}");
        }
        assert_eq!(parse("3 passed, 0 failed", Counting::All).passed, 3);
    }
}
