//! Where the daemon's files are: for root in the system's directories, else in the user's.

use std::path::{Path, PathBuf};

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Paths {
    pub(crate) config: PathBuf,
    pub(crate) run_dir: PathBuf,
    pub(crate) socket: PathBuf,
    pub(crate) pid_file: PathBuf,
    /// What a daemon that hands its locks over leaves for the next one.
    pub(crate) restart_state: PathBuf,
    /// Where the log goes in the background, where there is no journal.
    pub(crate) log_file: PathBuf,
}

impl Paths {
    /// Of this process.
    pub(crate) fn read(privileged: bool) -> Self {
        if privileged {
            return Self::of(
                Path::new("/etc/libvirt"),
                Path::new("/run/libvirt"),
                Path::new("/run"),
                Path::new("/var/log/libvirt"),
            );
        }
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let home = PathBuf::from(variable("HOME").unwrap_or_else(|| "/".into()));
        let below = |name: &str, otherwise: &str| {
            variable(name)
                .map_or_else(|| home.join(otherwise), PathBuf::from)
                .join("libvirt")
        };
        let cache = below("XDG_CACHE_HOME", ".cache");
        let run = match variable("XDG_RUNTIME_DIR") {
            Some(run) => PathBuf::from(run).join("libvirt"),
            None => cache.clone(),
        };
        Self::of(&below("XDG_CONFIG_HOME", ".config"), &run, &run, &cache)
    }

    /// Where `virt-admin` connects.
    pub(crate) fn admin_socket(&self) -> PathBuf {
        self.socket.with_file_name("virtlockd-admin-sock")
    }

    fn of(config: &Path, run_dir: &Path, pid_dir: &Path, log_dir: &Path) -> Self {
        Self {
            config: config.join("virtlockd.conf"),
            run_dir: run_dir.to_owned(),
            socket: run_dir.join("virtlockd-sock"),
            pid_file: pid_dir.join("virtlockd.pid"),
            restart_state: pid_dir.join("virtlockd-restart-exec.json"),
            log_file: log_dir.join("virtlockd.log"),
        }
    }
}
