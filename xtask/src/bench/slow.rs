//! Disks that take longer, for any program: a library that is loaded into it (`slow.c`).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::raw;
use crate::cleanup::{Undo, temporary_dir};

const SOURCE: &str = include_str!("slow.c");

/// Compiles the library, in `dir`.
pub(super) fn library(dir: &Path, delay: Duration) -> Result<PathBuf> {
    let (source, library) = (dir.join("slow.c"), dir.join("slow.so"));
    std::fs::write(&source, SOURCE).context("cannot write the source of the delay")?;
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror"])
        .arg(format!("-DDELAY_MS={}", delay.as_millis()))
        .arg("-o")
        .args([&library, &source])
        .status()
        .context("cannot run cc")?;
    ensure!(compiled.success(), "cc does not compile the delay");
    Ok(library)
}

/// A directory in memory, so that the delay is nearly all that a request takes; `None` where that takes no direct
/// input and output (before Linux 6.6).
pub(super) fn memory() -> Result<Option<(PathBuf, Option<Undo>)>> {
    let memory = Path::new("/dev/shm");
    if !memory.is_dir() {
        return Ok(None);
    }
    let (dir, undo) = temporary_dir(memory, "leasehold-bench", false)?;
    Ok(raw::takes_direct_io(&dir).then_some((dir, undo)))
}
