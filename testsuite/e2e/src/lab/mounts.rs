//! Mounting, with words for what failed.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};

const NOTHING: Option<&Path> = None;

/// An empty file system in memory.
pub(super) fn tmpfs(at: &Path, mode: &str) -> Result<()> {
    fs::create_dir_all(at).with_context(|| format!("cannot create {}", at.display()))?;
    let options = format!("mode={mode}");
    mount(
        Some("tmpfs"),
        at,
        Some("tmpfs"),
        MsFlags::empty(),
        Some(options.as_str()),
    )
    .with_context(|| format!("cannot mount a tmpfs on {}", at.display()))
}

/// Shows a file or directory at another place, which is made.
pub(super) fn bind(from: &Path, at: &Path) -> Result<()> {
    let about = || format!("cannot show {} as {}", from.display(), at.display());
    if from.is_dir() {
        fs::create_dir_all(at).with_context(about)?;
    } else if !at.exists() {
        if let Some(parent) = at.parent() {
            fs::create_dir_all(parent).with_context(about)?;
        }
        File::create(at).with_context(about)?;
    }
    mount(Some(from), at, NOTHING, MsFlags::MS_BIND, NOTHING).with_context(about)
}

/// Puts a writable layer, kept in a directory, over what is there.
pub(super) fn overlay(over: &Path, layers: &Path) -> Result<()> {
    let (upper, work) = (layers.join("upper"), layers.join("work"));
    for dir in [&upper, &work] {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        over.display(),
        upper.display(),
        work.display()
    );
    mount(
        Some("overlay"),
        over,
        Some("overlay"),
        MsFlags::empty(),
        Some(options.as_str()),
    )
    .with_context(|| format!("cannot mount an overlay on {}", over.display()))
}

/// Terminals of its own.
pub(super) fn devpts(at: &Path) -> Result<()> {
    fs::create_dir_all(at).with_context(|| format!("cannot create {}", at.display()))?;
    mount(
        Some("devpts"),
        at,
        Some("devpts"),
        MsFlags::empty(),
        Some("newinstance,ptmxmode=0666,mode=0620"),
    )
    .with_context(|| format!("cannot mount terminals on {}", at.display()))
}

/// Puts what is mounted at one place over another.
pub(super) fn move_over(from: &Path, at: &Path) -> Result<()> {
    mount(Some(from), at, NOTHING, MsFlags::MS_MOVE, NOTHING)
        .with_context(|| format!("cannot move {} to {}", from.display(), at.display()))
}
