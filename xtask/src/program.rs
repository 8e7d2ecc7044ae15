//! Which lease daemon is run: ours, or the original.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A sanlock executable.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// What it says of its version.
    pub(crate) version: String,
    /// Whether it is this project's: then it reads the configuration file that we name.
    pub(crate) ours: bool,
}

impl Program {
    /// The executable with this path.
    pub(crate) fn at(path: &Path) -> Result<Program> {
        let path = std::fs::canonicalize(path)
            .with_context(|| format!("cannot find the program {}", path.display()))?;
        let output = Command::new(&path)
            .arg("--version")
            .output()
            .with_context(|| format!("cannot run {}", path.display()))?;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        ensure!(
            output.status.success(),
            "{} --version failed: {said}",
            path.display()
        );
        let version = said.lines().next().unwrap_or_default().to_owned();
        Ok(Program {
            ours: version.contains("leasehold"),
            version,
            path,
        })
    }

    /// The original that is installed here.
    pub(crate) fn original() -> Option<Program> {
        find("sanlock")
            .and_then(|path| Program::at(&path).ok())
            .filter(|program| !program.ours)
    }

    /// Ours, built now in release mode.
    pub(crate) fn built() -> Result<Program> {
        Program::at(&crate::workspace::build_release("sanlock")?)
    }
}

/// A program in `PATH` or where administrators' programs are.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}
