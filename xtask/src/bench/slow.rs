//! Disks that take longer, for any program: a library that is loaded into it (`slow.c`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use super::raw;
use crate::cleanup::{Undo, temporary_dir};
use crate::workspace;

/// Compiles the library, in `dir`.
pub(super) fn library(dir: &Path, delay: Duration) -> Result<PathBuf> {
    let library = dir.join("slow.so");
    let delay = format!("-DDELAY_MS={}", delay.as_millis());
    let options = ["-O2", "-Wall", "-Werror", delay.as_str()];
    workspace::compile_library("xtask/src/bench/slow.c", &library, &options)?;
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
