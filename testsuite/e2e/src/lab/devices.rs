//! Loop devices that hosts share as they would a disk.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Room for a lockspace and some leases, also with large sectors.
const SIZE: u64 = 40 << 20;

/// A device that is there as long as this, or the lab's process.
pub(super) struct LoopDevice {
    pub(super) path: PathBuf,
    _open: File,
}

impl LoopDevice {
    pub(super) fn new(dir: &Path, sector: u16) -> Result<LoopDevice> {
        let backing = dir.join("device");
        File::create(&backing)
            .and_then(|file| file.set_len(SIZE))
            .context("cannot make a loop device's file")?;
        let sector = sector.to_string();
        let file = backing.display().to_string();
        let path = losetup(&["--find", "--show", "--sector-size", &sector, &file])?;
        let open = File::open(&path);
        // Detaching what is open is put off by the kernel until the last close.
        losetup(&["--detach", &path])?;
        Ok(LoopDevice {
            _open: open.with_context(|| format!("cannot open {path}"))?,
            path: PathBuf::from(path),
        })
    }
}

fn losetup(words: &[&str]) -> Result<String> {
    let output = Command::new("losetup")
        .args(words)
        .output()
        .context("cannot run losetup")?;
    ensure!(
        output.status.success(),
        "losetup {}: {}",
        words.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
