//! Upstream's pytest suite. A replacement is compared with the original, test by test, if that is installed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{python, source};
use crate::lab::Lab;
use crate::lab::failure::{Failure, While};
use crate::lab::process::{Said, run, tied};
use crate::lab::program::{Kind, Program};
use crate::test::{Need, Test};

/// What fails with the C program too: the C extension raises an error over an error.
const MAY_FAIL: &[&str] = &["test_write_resource_invalid_disk[disk5]"];

/// What passes with the C program only: that a lockspace is still being left a second after it was told to be
/// left, where a replacement needs some milliseconds.
const OURS_MAY_FAIL: &[&str] = &["test_add_rem_lockspace_async"];

const NEEDS: &[Need] = &[Need::Upstream, Need::Pytest, Need::Python, Need::Loop];

pub(super) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "upstream/daemon_test",
            needs: NEEDS,
            seconds: 40,
            run: daemon_test,
        },
        Test {
            name: "upstream/direct_test",
            needs: NEEDS,
            seconds: 10,
            run: direct_test,
        },
        Test {
            name: "upstream/python_test",
            needs: NEEDS,
            seconds: 55,
            run: python_test,
        },
    ]
}

fn daemon_test(lab: &mut Lab) -> Result<(), Failure> {
    suite(lab, "daemon_test", 11, 0)
}

fn direct_test(lab: &mut Lab) -> Result<(), Failure> {
    suite(lab, "direct_test", 6, 0)
}

fn python_test(lab: &mut Lab) -> Result<(), Failure> {
    suite(lab, "python_test", 127, 2)
}

/// A tree as the suite expects it around itself, with 4096-byte storage of its own.
struct Tree {
    dir: PathBuf,
    python: PathBuf,
}

impl Tree {
    /// In the directory of this name, with this program.
    fn make(lab: &Lab, name: &str, program: &Program) -> Result<Tree, Failure> {
        let source = source(&lab.plan.tools)?;
        let python = python(&lab.plan.tools)?;
        let dir = lab.path(name);
        for part in ["src", "tests", "run"] {
            std::fs::create_dir_all(dir.join(part))?;
        }
        std::os::unix::fs::symlink(&program.path, dir.join("src/sanlock"))?;
        for entry in std::fs::read_dir(source.join("tests"))?.flatten() {
            if entry
                .path()
                .extension()
                .is_some_and(|extension| extension == "py")
            {
                let text = std::fs::read_to_string(entry.path())?;
                std::fs::write(
                    dir.join("tests").join(entry.file_name()),
                    adapted(&text, &dir),
                )?;
            }
        }
        let tree = Tree { dir, python };
        tree.storage("create")?;
        Ok(tree)
    }

    fn storage(&self, action: &str) -> Result<(), Failure> {
        let mut command = Command::new(&self.python);
        command
            .args(["-m", "userstorage", action, "tests/storage.py"])
            .current_dir(&self.dir);
        crate::lab::tools::succeed(&mut command, &self.dir.join(action))
    }
}

/// Storage in the lab's own directory, and more than half a second for a daemon to start where
/// many tests run.
fn adapted(text: &str, dir: &Path) -> String {
    text.replace(
        "/var/tmp/sanlock-storage",
        &dir.join("storage").display().to_string(),
    )
    .replace("wait_for_daemon(0.5)", "wait_for_daemon(20)")
}

impl Drop for Tree {
    fn drop(&mut self) {
        // What is left is swept by the next run.
        let _ = self.storage("delete");
    }
}

/// How pytest says that a test ended, the worst last.
const WORDS: &[&str] = &["PASSED", "XPASS", "XFAIL", "SKIPPED", "FAILED", "ERROR"];

/// Each test of a file, with the word for how it ended.
type Outcomes = BTreeMap<String, &'static str>;

fn outcomes(said: &Said) -> Outcomes {
    let mut outcomes = Outcomes::new();
    for line in said.stdout.lines() {
        let found = WORDS.iter().find_map(|word| {
            let rest = line.strip_prefix(word)?.strip_prefix(' ')?;
            Some((*word, rest))
        });
        if let Some((word, rest)) = found {
            // A test that passed is named twice if what it leaves behind is an error.
            let rank = |word: &str| WORDS.iter().position(|known| *known == word);
            let worst = outcomes.entry(name_of(rest).to_owned()).or_insert(word);
            if rank(worst) < rank(word) {
                *worst = word;
            }
        }
    }
    outcomes
}

/// Why a test ended so may follow its name; a parameter in brackets may have blanks. What was skipped has a
/// number and a place instead of a name.
fn name_of(rest: &str) -> &str {
    let blank = rest.find(' ').unwrap_or(rest.len());
    let end = match rest.find('[') {
        Some(0) => rest.len(),
        Some(bracket) if bracket < blank => rest.find(']').map_or(blank, |at| at + 1),
        _ => blank,
    };
    &rest[..end]
}

fn is_one_of(names: &[&str], test: &str) -> bool {
    names.iter().any(|name| test.contains(name))
}

fn suite(lab: &mut Lab, file: &str, passes: usize, xfails: usize) -> Result<(), Failure> {
    let tested = lab.host(1).daemon.clone();
    let original = match tested.kind {
        Kind::Ours => Program::installed(),
        Kind::Original => None,
    };
    let tree = Tree::make(lab, "tree", &tested)?;
    let (said, with_original) = match original {
        None => (pytest(&tree, file)?, None),
        Some(original) => {
            let other = Tree::make(lab, "original", &original)?;
            // Mostly they wait.
            let (said, with_original) = std::thread::scope(|scope| {
                let with_original = scope.spawn(|| pytest(&other, file));
                (pytest(&tree, file), with_original.join())
            });
            let with_original = with_original.map_err(|_| "the thread ended early")?;
            (said?, Some(outcomes(&with_original?)))
        }
    };
    let found = outcomes(&said);
    match with_original {
        Some(with_original) => compare(lab, &with_original, &found),
        None => judge(lab, tested.kind, &found, xfails),
    }
    let count = |words: &[&str]| found.values().filter(|word| words.contains(word)).count();
    let (ended, all) = (count(&["PASSED", "XPASS", "XFAIL"]), passes + xfails);
    let known = found.len() - ended;
    lab.check(
        &format!("{ended} tests ended well and {known} not, expected {all} or more"),
        ended + known >= all,
    );
    if !lab.mismatches().is_empty() {
        let lines: Vec<&str> = said.stdout.lines().collect();
        lab.note(lines[lines.len().saturating_sub(60)..].join("\n"));
    }
    Ok(())
}

/// Where the C program passes, ours must. Where it fails, nothing is asked.
fn compare(lab: &mut Lab, original: &Outcomes, ours: &Outcomes) {
    let good = |word: &str| matches!(word, "PASSED" | "XPASS");
    for (test, expected) in original {
        let word = ours.get(test).copied().unwrap_or("not run");
        let same = word == *expected || good(word);
        let known = is_one_of(OURS_MAY_FAIL, test) || (!good(expected) && *expected != "SKIPPED");
        lab.check(
            &format!("{word} {test}: {expected} with the original"),
            same || known,
        );
    }
    let different: Vec<String> = original
        .iter()
        .filter_map(|(test, expected)| {
            let word = ours.get(test).copied().unwrap_or("not run");
            (word != *expected).then(|| format!("{test} {word}, {expected} with the original"))
        })
        .collect();
    if !different.is_empty() {
        lab.tell(different.join("; "));
    }
}

/// What is known of the C program.
fn judge(lab: &mut Lab, kind: Kind, found: &Outcomes, xfails: usize) {
    for (test, word) in found {
        let known = match *word {
            "PASSED" | "XFAIL" => true,
            "FAILED" if is_one_of(MAY_FAIL, test) => true,
            "FAILED" => kind == Kind::Ours && is_one_of(OURS_MAY_FAIL, test),
            _ => false,
        };
        lab.check(&format!("{word} {test}"), known);
    }
    let xfailed = found.values().filter(|word| **word == "XFAIL").count();
    lab.check(
        &format!("{xfailed} failed as marked, expected {xfails}"),
        xfailed == xfails,
    );
}

fn pytest(tree: &Tree, file: &str) -> Result<Said, Failure> {
    let mut command = tied(&tree.python);
    command.args([
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-o",
        "addopts=",
        "-q",
        "-rA",
    ]);
    command
        .arg("--basetemp")
        .arg(tree.dir.join("base"))
        .arg(format!("tests/{file}.py"));
    let user = Command::new("id")
        .arg("-un")
        .output()
        .during(|| "run id".to_owned())?;
    command.env("USER", String::from_utf8_lossy(&user.stdout).trim());
    command
        .env("SANLOCK_RUN_DIR", tree.dir.join("run"))
        .env("SANLOCK_PRIVILEGED", "0");
    command
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(&tree.dir);
    run(&mut command, &tree.dir, Duration::from_secs(600))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pytest_says_of_each_test_is_read() {
        let said = Said {
            stdout: "\
..F.x [100%]
PASSED tests/a.py::one
PASSED tests/a.py::two[a b]
XFAIL tests/a.py::three - storage is missing
XPASS tests/a.py::four Storage - of another kind
PASSED tests/a.py::six
ERROR tests/a.py::six - at its end
FAILED tests/a.py::five - assert [1] == 2
SKIPPED [1] tests/b.py:12: no root
1 failed, 2 passed in 0.1s
"
            .to_owned(),
            stderr: String::new(),
            end: "1".to_owned(),
        };
        let found = outcomes(&said);
        let ended = |test: &str| found.get(test).copied();
        assert_eq!(found.len(), 7);
        assert_eq!(ended("tests/a.py::two[a b]"), Some("PASSED"));
        assert_eq!(ended("tests/a.py::three"), Some("XFAIL"));
        assert_eq!(ended("tests/a.py::four"), Some("XPASS"));
        assert_eq!(ended("tests/a.py::six"), Some("ERROR"));
        assert_eq!(ended("tests/a.py::five"), Some("FAILED"));
    }
}
