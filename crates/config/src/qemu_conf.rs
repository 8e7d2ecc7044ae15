//! `qemu.conf`: which of libvirt's lock drivers guests are started with. The file's many other settings are libvirt's
//! own business.

use std::path::Path;

use crate::libvirt_conf::{self, LoadError, Loaded, Others, Settings};

/// Where the file is, for guests of the system.
pub const PATH: &str = "/etc/libvirt/qemu.conf";

/// What the file says of locks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QemuConf {
    /// `lock_manager`. Default [`LockManager::Nop`].
    pub lock_manager: LockManager,
}

/// A lock driver of libvirt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LockManager {
    /// `nop`: nothing is locked.
    #[default]
    Nop,
    /// `lockd`: locks of virtlockd.
    Lockd,
    /// `sanlock`: leases of sanlock.
    Sanlock,
    /// A plug-in that libvirt does not bring.
    Other(String),
}

impl std::fmt::Display for LockManager {
    /// As the file has it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nop => "nop",
            Self::Lockd => "lockd",
            Self::Sanlock => "sanlock",
            Self::Other(name) => name,
        })
    }
}

/// The name of the setting.
pub const KEYS: &[&str] = &["lock_manager"];

/// Reads the file at `path`; one that does not exist sets nothing.
///
/// # Errors
/// [`LoadError`] if libvirt would not start on it for what concerns locks.
pub fn load(path: &Path) -> Result<Loaded<QemuConf>, LoadError> {
    libvirt_conf::load_if_there(path, parse)
}

/// Reads `text`, which is the content of `file`.
///
/// # Errors
/// [`LoadError::Refused`] if libvirt would not start on it for what concerns locks.
pub fn parse(file: &Path, text: &[u8]) -> Result<Loaded<QemuConf>, LoadError> {
    let mut settings = Settings::read(file, text, KEYS, Others::PassedOver)?;
    let lock_manager = match settings.string("lock_manager") {
        None => LockManager::default(),
        Some(name) => match name.as_str() {
            "nop" => LockManager::Nop,
            "lockd" => LockManager::Lockd,
            "sanlock" => LockManager::Sanlock,
            _ => {
                let message = "libvirt brings no lock manager of this name";
                let help = "there are \"sanlock\", \"lockd\" and \"nop\"";
                settings.warn("lock_manager", message, help);
                LockManager::Other(name)
            }
        },
    };
    settings.finish(QemuConf { lock_manager })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (LockManager, usize) {
        let loaded = parse(Path::new("q"), text.as_bytes()).unwrap();
        (loaded.conf.lock_manager, loaded.diagnostics.len())
    }

    #[test]
    fn the_lock_manager_is_found_among_other_settings() {
        let text =
            "user = \"root\"\nnamespaces = [ ]\nmax_files = 32768\nlock_manager = \"sanlock\"\n";
        assert_eq!(parsed(text), (LockManager::Sanlock, 0));
        assert_eq!(parsed("lock_manager = 'lockd'"), (LockManager::Lockd, 0));
        assert_eq!(parsed("lock_manager = \"nop\""), (LockManager::Nop, 0));
        assert_eq!(parsed("user = \"root\""), (LockManager::Nop, 0));
    }

    #[test]
    fn slips_are_told() {
        assert_eq!(parsed("lock_manger = \"sanlock\""), (LockManager::Nop, 1));
        let other = LockManager::Other("sanlok".to_owned());
        assert_eq!(parsed("lock_manager = \"sanlok\""), (other, 1));
        assert!(parse(Path::new("q"), b"lock_manager = 1").is_err());
        assert!(parse(Path::new("q"), b"lock_manager = sanlock").is_err());
    }
}
