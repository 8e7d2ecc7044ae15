//! What `--check-config` says.

use std::fmt::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use crate::libvirt_conf::{LoadError, Loaded};
use crate::qemu_conf::LockManager;
use crate::{Diagnostic, Severity, qemu_conf, sanlock_conf};

/// What was found in a program's files. `Display` is the whole text for the user.
#[derive(Debug, Default)]
pub struct Check {
    text: String,
    errors: usize,
}

impl Check {
    /// Whether nothing is wrong; warnings do not count.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.errors == 0
    }

    /// With what the program ends that has said it.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self.is_good() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }

    /// What is said of a file in libvirt's grammar, or of options; what it sets, if it is taken.
    pub fn loaded<T>(&mut self, path: &Path, loaded: Result<Loaded<T>, LoadError>) -> Option<T> {
        match loaded {
            Ok(loaded) => {
                self.file(path, &loaded.diagnostics);
                Some(loaded.conf)
            }
            Err(LoadError::Refused(diagnostics)) => {
                self.file(path, &diagnostics);
                None
            }
            Err(failed) => {
                self.wrong(failed);
                None
            }
        }
    }

    /// What is said of `sanlock.conf`.
    pub fn sanlock_conf(&mut self, path: &Path) {
        match sanlock_conf::load(path) {
            Ok(loaded) => self.file(path, &loaded.diagnostics),
            Err(failed) => self.wrong(failed),
        }
    }

    /// What is said of libvirt's `qemu.conf`, if it is there: whether libvirt asks for the daemon that `wanted` stands
    /// for at all. Not wrong if not, as others than libvirt may use it. Whether it does.
    pub fn lock_manager(&mut self, path: &Path, wanted: &LockManager) -> bool {
        if !path.exists() {
            return false;
        }
        let Some(conf) = self.loaded(path, qemu_conf::load(path)) else {
            return false;
        };
        let asked_for = conf.lock_manager == *wanted;
        if !asked_for {
            self.say(format_args!(
                "note: {} says lock_manager = \"{}\", so that libvirt does not ask this daemon for anything; it does with \
                 lock_manager = \"{wanted}\", from the next start of libvirt's daemon on",
                path.display(),
                conf.lock_manager
            ));
        }
        asked_for
    }

    /// Something else that is wrong.
    pub fn wrong(&mut self, what: impl fmt::Display) {
        self.errors += 1;
        self.say(format_args!("error: {what}\n"));
    }

    fn file(&mut self, path: &Path, diagnostics: &[Diagnostic]) {
        let shown = path.display();
        for diagnostic in diagnostics {
            self.errors += usize::from(diagnostic.severity == Severity::Error);
            self.say(format_args!("{diagnostic}\n"));
        }
        match diagnostics {
            [] if path.exists() => self.say(format_args!("{shown}: nothing is wrong")),
            [] => self.say(format_args!("{shown}: not there, which means the defaults")),
            _ => {}
        }
    }

    fn say(&mut self, line: fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{line}");
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.trim_end())
    }
}
