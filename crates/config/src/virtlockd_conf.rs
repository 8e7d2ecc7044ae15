//! `virtlockd.conf`: the settings of libvirt's lock daemon.

use std::path::Path;

use crate::libvirt_conf::{self, LoadError, Loaded, Others, Settings};

/// The names of all settings.
pub const KEYS: &[&str] = &[
    "log_level",
    "log_filters",
    "log_outputs",
    "max_clients",
    "admin_max_clients",
];

/// What the file sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtlockdConf {
    /// 1 debug to 4 errors; 0 where it is not set.
    pub log_level: u32,
    /// Levels of parts of the program.
    pub log_filters: Option<String>,
    /// Where messages go.
    pub log_outputs: Option<String>,
    /// Most connections to the main socket.
    pub max_clients: u32,
    /// Most connections to the admin socket.
    pub admin_max_clients: u32,
}

impl Default for VirtlockdConf {
    fn default() -> Self {
        Self {
            log_level: 0,
            log_filters: None,
            log_outputs: None,
            max_clients: 1024,
            admin_max_clients: 5000,
        }
    }
}

/// Reads the file at `path`.
///
/// # Errors
/// [`LoadError`]; that it is not there is one.
pub fn load(path: &Path) -> Result<Loaded<VirtlockdConf>, LoadError> {
    libvirt_conf::load(path, parse)
}

/// Reads `text`, which is the content of `file`.
///
/// # Errors
/// [`LoadError::Refused`] if the C daemon would not start on it.
pub fn parse(file: &Path, text: &[u8]) -> Result<Loaded<VirtlockdConf>, LoadError> {
    let mut settings = Settings::read(file, text, KEYS, Others::Unknown)?;
    let default = VirtlockdConf::default();
    let conf = VirtlockdConf {
        log_level: settings.number("log_level").unwrap_or(default.log_level),
        log_filters: settings.string("log_filters"),
        log_outputs: settings.string("log_outputs"),
        max_clients: settings
            .number("max_clients")
            .unwrap_or(default.max_clients),
        admin_max_clients: settings
            .number("admin_max_clients")
            .unwrap_or(default.admin_max_clients),
    };
    settings.finish(conf)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Loaded<VirtlockdConf> {
        parse(Path::new("f"), text.as_bytes()).unwrap()
    }

    #[test]
    fn every_key() {
        let text = "# a comment\nlog_level = 1\nlog_filters='1:locking 4:object' # why\n\
             log_outputs=\"3:syslog:virtlockd\"; max_clients=+7\n\n  admin_max_clients = 8\n";
        let wanted = VirtlockdConf {
            log_level: 1,
            log_filters: Some("1:locking 4:object".to_owned()),
            log_outputs: Some("3:syslog:virtlockd".to_owned()),
            max_clients: 7,
            admin_max_clients: 8,
        };
        assert_eq!(parsed(text).conf, wanted);
        assert_eq!(parsed(text).diagnostics, []);
        assert_eq!(parsed("").conf, VirtlockdConf::default());
        let long = parsed("log_filters = \"\"\"1:a\n2:b\"\"\"\nmax_clients = 3").conf;
        assert_eq!(long.log_filters.as_deref(), Some("1:a\n2:b"));
        assert_eq!(long.max_clients, 3);
    }

    #[test]
    fn the_file_as_shipped_shows_every_key_with_its_default() {
        let shipped = include_str!("../../../conf/virtlockd.conf");
        assert_eq!(parsed(shipped).conf, VirtlockdConf::default());
        let loaded = parsed(&crate::libvirt_conf::uncommented(shipped));
        assert_eq!(loaded.diagnostics, []);
        let (conf, default) = (loaded.conf, VirtlockdConf::default());
        assert_eq!(conf.max_clients, default.max_clients);
        assert_eq!(conf.admin_max_clients, default.admin_max_clients);
        assert_eq!(conf.log_level, 3);
        assert!(conf.log_filters.is_some() && conf.log_outputs.is_some());
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_refused() {
        for (text, wanted) in [
            (
                "max_clients = \"1\"",
                "`max_clients` is a number from 0 to 4294967295, not a string",
            ),
            (
                "max_clients = -1",
                "`max_clients` is a number from 0 to 4294967295, not -1",
            ),
            (
                "max_clients = 4294967296",
                "`max_clients` is a number from 0 to 4294967295, not 4294967296",
            ),
            (
                "log_filters = [ \"a\" ]",
                "`log_filters` is a string in quotes, not a list",
            ),
            ("log_filters = '\u{fffd}'", ""),
        ] {
            let parsed = parse(Path::new("f"), text.as_bytes());
            if wanted.is_empty() {
                assert!(parsed.is_ok(), "{text:?}");
                continue;
            }
            let Err(LoadError::Refused(found)) = parsed else {
                panic!("{text:?}: {parsed:?}");
            };
            assert_eq!(found.len(), 1, "{text:?}");
            assert_eq!(found[0].message, wanted);
        }
        let not_utf8 = parse(Path::new("f"), b"log_filters = '\xff'");
        assert!(not_utf8.is_err());
    }

    #[test]
    fn of_two_settings_with_one_name_the_first_counts() {
        let loaded = parsed("max_clients = 1\nmax_clients = \"x\"\nmax_cleints = 3\n");
        assert_eq!(loaded.conf.max_clients, 1);
        let told: Vec<String> = loaded
            .diagnostics
            .iter()
            .map(crate::Diagnostic::one_line)
            .collect();
        assert_eq!(
            told,
            [
                "f:2:1: error: `max_clients` is set already, in line 1, and the first one counts; take one of them away",
                "f:3:1: error: there is no setting `max_cleints`; perhaps `max_clients` was meant",
            ]
        );
    }
}
