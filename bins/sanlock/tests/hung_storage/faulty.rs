//! Storage that misbehaves on command.

use std::path::{Path, PathBuf};

pub use faultfs::{Fault, Kind};
use faultfs::{FaultFs, Kinds, Rule};

use super::common::harness::{Outcome, skipped};
use super::common::scratch::{Scratch, empty_file};

/// Says that a case is skipped where no faulty storage can be had.
pub fn missing() -> Option<Outcome> {
    faultfs::missing().map(skipped)
}

/// A directory behind a file system of its own.
///
/// To be dropped before the daemons that use it, that is declared after them: they cannot end while it
/// holds their requests.
pub struct Faulty {
    fs: FaultFs,
    backing: PathBuf,
}

impl Faulty {
    pub fn mount(scratch: &Scratch, name: &str) -> Self {
        let backing = scratch.directory(&format!("{name}-backing"));
        Self::over(scratch, name, &backing)
    }

    /// A second way to the same files: what goes wrong here does not go wrong there.
    pub fn beside(&self, scratch: &Scratch, name: &str) -> Self {
        Self::over(scratch, name, &self.backing)
    }

    fn over(scratch: &Scratch, name: &str, backing: &Path) -> Self {
        let mount_point = scratch.directory(name);
        let fs = FaultFs::mount(&mount_point, backing).unwrap();
        Self {
            fs,
            backing: backing.to_owned(),
        }
    }

    /// A new file of so many mebibytes.
    pub fn file(&self, name: &str, mebibytes: u64) -> PathBuf {
        empty_file(&self.backing.join(name), mebibytes);
        self.path(name)
    }

    /// A file as its users see it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.fs.mount_point().join(name)
    }

    /// From now on this goes wrong with all reads and writes of a file.
    pub fn io(&self, fault: Fault, file: &str) {
        self.fs.faults().add(Rule::new(fault, Kinds::Io).on(file));
    }

    /// From now on this goes wrong with requests of one kind.
    pub fn only(&self, fault: Fault, kind: Kind, file: &str) {
        self.fs
            .faults()
            .add(Rule::new(fault, Kinds::Only(kind)).on(file));
    }

    /// From now on everything about a file hangs: reading, writing, opening, closing, looking it up.
    pub fn hang_all(&self, file: &str) {
        self.fs
            .faults()
            .add(Rule::new(Fault::Hang, Kinds::All).on(file));
    }

    /// Nothing goes wrong any more.
    pub fn recover(&self) {
        self.fs.faults().recover();
    }

    /// How many requests it holds.
    pub fn held(&self) -> usize {
        self.fs.faults().held()
    }
}
