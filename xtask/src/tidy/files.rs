//! The files of the project.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// A text file.
pub(super) struct Source {
    /// Its path from the workspace's root.
    pub(super) path: String,
    pub(super) text: String,
}

impl Source {
    /// Whether its name ends so.
    pub(super) fn is(&self, ending: &str) -> bool {
        self.path.ends_with(ending)
    }

    /// Whether it holds tests only: in a directory `tests`, or the tests of one module.
    pub(super) fn is_test(&self) -> bool {
        self.path
            .split('/')
            .any(|part| matches!(part, "tests" | "tests.rs"))
    }
}

/// What git keeps or would keep; everything but what is built where there is no git.
pub(super) fn all(root: &Path) -> Result<Vec<Source>> {
    let mut paths = match listed_by_git(root) {
        Some(paths) => paths,
        None => {
            let mut found = Vec::new();
            walk(root, root, &mut found)?;
            found
        }
    };
    paths.sort();
    paths.dedup();
    let mut sources = Vec::new();
    for path in paths {
        let file = root.join(&path);
        // A file that is deleted but not committed yet, or a link, has no text.
        let Ok(bytes) = std::fs::read(&file) else {
            continue;
        };
        if let Ok(text) = String::from_utf8(bytes) {
            sources.push(Source { path, text });
        }
    }
    Ok(sources)
}

fn listed_by_git(root: &Path) -> Option<Vec<String>> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root)
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(
        text.split('\0')
            .filter(|path| !path.is_empty())
            .map(str::to_owned)
            .collect(),
    )
}

fn walk(root: &Path, dir: &Path, found: &mut Vec<String>) -> Result<()> {
    const NOT_OURS: &[&str] = &["target", ".git", "corpus", "artifacts", "__pycache__"];
    let entries =
        std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", dir.display()))?;
        let kind = entry.file_type().context("cannot tell what a file is")?;
        let path: PathBuf = entry.path();
        let name = entry.file_name();
        if kind.is_dir() {
            if !NOT_OURS.iter().any(|other| name == *other) {
                walk(root, &path, found)?;
            }
        } else if kind.is_file() {
            if let Ok(path) = path.strip_prefix(root) {
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    Ok(())
}
