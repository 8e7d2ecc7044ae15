//! Where the workspace is, and building parts of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The directory of the workspace's `Cargo.toml`.
pub(crate) fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.parent()
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    let root = root();
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir))
}

/// The cargo that runs this command.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Compiles a C source of the workspace into a library that programs can be run with.
pub(crate) fn compile_library(source: &str, library: &Path, options: &[&str]) -> Result<()> {
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(library)
        .arg(root().join(source))
        .args(options)
        .status()
        .context("cannot run cc")?;
    ensure!(status.success(), "{source} cannot be compiled");
    Ok(())
}

/// Builds a program in release mode; its path.
pub(crate) fn build_release(package: &str) -> Result<PathBuf> {
    let status = cargo()
        .args(["build", "--release", "--package", package])
        .status()
        .context("cannot run cargo")?;
    ensure!(
        status.success(),
        "cargo build --release --package {package} failed"
    );
    let built = target().join("release").join(package);
    ensure!(
        built.is_file(),
        "{} was not built: has package {package} no program?",
        built.display()
    );
    Ok(built)
}
