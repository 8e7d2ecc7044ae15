//! Checks of the sources that no compiler makes.

mod files;
mod manifests;
mod texts;

use std::path::Path;

use anyhow::{Result, ensure};

use crate::style;
use crate::workspace;
use files::Source;

/// Names what is wrong with the files below a directory.
type Check = fn(&Path, &[Source]) -> Vec<String>;

/// What is checked, and how.
const CHECKS: &[(&str, Check)] = &[
    (
        "each module begins with what it is about (`//!`)",
        texts::headers,
    ),
    (
        "no file outside tests is longer than 700 lines",
        texts::lengths,
    ),
    ("no path of one machine", texts::machine_paths),
    ("no unfinished work", texts::unfinished),
    (
        "no unsafe code outside the crates that are for it",
        texts::unsafe_code,
    ),
    (
        "no blanks at line ends, a newline at the end of each file",
        texts::blanks,
    ),
    (
        "each package has a licence and describes itself",
        manifests::licences,
    ),
    (
        "each package takes over the workspace's lints",
        manifests::lints,
    ),
    (
        "each licence that is named is in LICENSES",
        manifests::licence_texts,
    ),
];

/// How many checks held and how many did not.
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
}

/// Makes all checks and prints what is wrong.
pub(crate) fn check() -> Result<Tally> {
    let root = workspace::root();
    let sources = files::all(&root)?;
    let mut tally = Tally {
        passed: 0,
        failed: 0,
    };
    for (name, check) in CHECKS {
        let faults = check(&root, &sources);
        if faults.is_empty() {
            tally.passed += 1;
            println!("{} {name}", style::good("✓"));
            continue;
        }
        tally.failed += 1;
        println!("{} {name}", style::bad("✗"));
        for fault in faults {
            println!("    {fault}");
        }
    }
    println!("{} files", sources.len());
    Ok(tally)
}

/// `cargo xtask tidy`
pub(crate) fn run() -> Result<()> {
    let tally = check()?;
    ensure!(tally.failed == 0, "{} of the checks failed", tally.failed);
    Ok(())
}
