//! The lease daemon `sanlock` and its command line.

// Who reads no further must not make it panic.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod cli;
pub mod host;
pub mod manager;
pub mod membership;
pub mod real_host;
pub mod server;
pub mod settings;
pub mod version;
mod watchdog;
mod watched;

use std::path::{Path, PathBuf};

use config::sanlock_conf::{self, Loaded};

/// The configuration file: `/etc/sanlock/sanlock.conf`, or for a daemon that was told to be
/// unprivileged (`SANLOCK_PRIVILEGED=0`) what `SANLOCK_CONF_PATH` names.
#[must_use]
pub fn conf_path() -> PathBuf {
    let privileged = daemon::Environment::read().privileged;
    match std::env::var_os("SANLOCK_CONF_PATH") {
        Some(path) if !privileged => PathBuf::from(path),
        _ => PathBuf::from(sanlock_conf::PATH),
    }
}

/// Reads the configuration. A file that cannot be read counts as an empty one, as in the C program,
/// but is complained of.
#[must_use]
pub fn load_conf() -> Loaded {
    let path = conf_path();
    sanlock_conf::load(&path).unwrap_or_else(|failed| {
        daemon::console::err(format_args!("sanlock: {failed}"));
        sanlock_conf::parse(Path::new(&path), b"")
    })
}
