//! The two variables by which upstream's tests and users run a daemon of their own.

use std::path::PathBuf;

/// Where the run directory is, and whether the daemon uses the rights of root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// `SANLOCK_RUN_DIR`, else `/run/sanlock`: pid file and socket.
    pub run_dir: PathBuf,
    /// `SANLOCK_PRIVILEGED`: true if unset or `1`. Else the daemon neither raises limits nor changes
    /// user and group.
    pub privileged: bool,
}

impl Environment {
    /// The run directory when the environment names none.
    pub const DEFAULT_RUN_DIR: &str = "/run/sanlock";

    /// Reads this process's environment.
    #[must_use]
    pub fn read() -> Self {
        Self::from_variables(|name| std::env::var_os(name))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Self {
        Self {
            run_dir: variable("SANLOCK_RUN_DIR")
                .map_or_else(|| PathBuf::from(Self::DEFAULT_RUN_DIR), PathBuf::from),
            privileged: variable("SANLOCK_PRIVILEGED").is_none_or(|value| value == "1"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_upstream_reads_them() {
        let read = |run_dir: Option<&str>, privileged: Option<&str>| {
            Environment::from_variables(|name| match name {
                "SANLOCK_RUN_DIR" => run_dir.map(Into::into),
                _ => privileged.map(Into::into),
            })
        };
        assert_eq!(read(None, None).run_dir, PathBuf::from("/run/sanlock"));
        assert_eq!(read(Some("/x"), None).run_dir, PathBuf::from("/x"));
        for (value, privileged) in [
            (None, true),
            (Some("1"), true),
            (Some("0"), false),
            (Some("yes"), false),
            (Some(""), false),
        ] {
            assert_eq!(read(None, value).privileged, privileged, "{value:?}");
        }
    }
}
