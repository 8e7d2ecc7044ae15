//! `sanlock daemon --check-config`.

use std::ffi::OsString;
use std::path::Path;

use config::environment_file::{self, Program};
use config::qemu_conf::{self, LockManager};
use config::{Check, qemu_sanlock_conf};

use super::command_line::{self, Remarks};
use super::console::Console;

/// Says what is wrong with the daemon's files; whether nothing is.
pub(super) fn run(console: &mut Console<'_>) -> bool {
    let mut check = Check::default();
    check.sanlock_conf(&crate::conf_path());
    let path = Program::Sanlock.path();
    if let Some(options) = check.loaded(path, environment_file::load(path, Program::Sanlock)) {
        let words = std::iter::once("daemon".to_owned()).chain(options.words);
        let words: Vec<OsString> = words.map(OsString::from).collect();
        let mut remarks = Remarks::default();
        let read = command_line::parse(&words, super::configured(), &mut remarks);
        let lines = remarks
            .lines
            .iter()
            .map(|line| String::from_utf8_lossy(line).into_owned());
        let said: Vec<String> = lines.chain(remarks.hints).collect();
        if read.is_none() {
            check.wrong(format_args!(
                "the options in {}: {}",
                path.display(),
                said.join("; ")
            ));
        }
    }
    libvirt(&mut check);
    console.say(&check);
    check.is_good()
}

/// What libvirt's driver for this daemon is set to, where libvirt is told to use it.
fn libvirt(check: &mut Check) {
    if !check.lock_manager(Path::new(qemu_conf::PATH), &LockManager::Sanlock) {
        return;
    }
    let path = Path::new(qemu_sanlock_conf::PATH);
    check.loaded(path, qemu_sanlock_conf::load(path));
}
