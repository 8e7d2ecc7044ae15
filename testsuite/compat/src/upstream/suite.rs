//! Upstream's pytest suite.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{python, source};
use crate::lab::Lab;
use crate::lab::failure::{Failure, While};
use crate::lab::process::{Said, run, tied};
use crate::lab::program::Kind;
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
    fn make(lab: &mut Lab) -> Result<Tree, Failure> {
        let source = source(&lab.plan.tools)?;
        let python = python(&lab.plan.tools)?;
        let dir = lab.path("tree");
        for part in ["src", "tests", "run"] {
            std::fs::create_dir_all(dir.join(part))?;
        }
        std::os::unix::fs::symlink(&lab.host(1).daemon.path, dir.join("src/sanlock"))?;
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

fn suite(lab: &mut Lab, file: &str, passes: usize, xfails: usize) -> Result<(), Failure> {
    let tree = Tree::make(lab)?;
    let said = pytest(&tree, file)?;
    let ended = |word: &str| -> Vec<String> {
        let lines = said
            .stdout
            .lines()
            .filter_map(|line| line.strip_prefix(word));
        lines.map(|line| line.trim().to_owned()).collect()
    };
    let ours = lab.host(1).daemon.kind == Kind::Ours;
    let one_of = |names: &[&str], test: &str| names.iter().any(|name| test.contains(name));
    let mut too_fast = 0;
    for word in ["FAILED", "ERROR", "SKIPPED", "XPASS"] {
        for test in ended(word) {
            let faster = word == "FAILED" && ours && one_of(OURS_MAY_FAIL, &test);
            too_fast += usize::from(faster);
            let known = faster || (word == "FAILED" && one_of(MAY_FAIL, &test));
            lab.check(&format!("{word} {test}"), known);
        }
    }
    let (passed, xfailed) = (ended("PASSED").len() + too_fast, ended("XFAIL").len());
    lab.check(
        &format!("{passed} passed or were too fast, expected {passes} or more"),
        passed >= passes,
    );
    lab.check(
        &format!("{xfailed} failed as marked, expected {xfails}"),
        xfailed == xfails,
    );
    if !lab.mismatches().is_empty() {
        let lines: Vec<&str> = said.stdout.lines().collect();
        lab.note(lines[lines.len().saturating_sub(60)..].join("\n"));
    }
    Ok(())
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
