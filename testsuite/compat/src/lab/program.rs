//! The program under test: the C sanlock or ours, and which generation its text follows.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::failure::{Failure, While};

/// Where distributions put the C program.
const ORIGINAL: &str = "/usr/sbin/sanlock";

/// Whose program it is. Faults of the C program are expected of the C program only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// The C program.
    Original,
    /// A replacement, which must do what is sane.
    Ours,
}

/// The two released generations whose text differs in places.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Generation {
    /// 3.8.5 and older.
    G38,
    /// 3.9.5: what a replacement follows where the two differ.
    G39,
}

/// One program: daemon and command line are the same file.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// Whose it is.
    pub(crate) kind: Kind,
    /// Whose text it follows.
    pub(crate) generation: Generation,
    /// Where it is.
    pub(crate) path: PathBuf,
}

impl Program {
    /// Reads `original`, `original:PATH` (another build of the C program) or `PATH` (ours).
    pub(crate) fn parse(argument: &str) -> Result<Program, Failure> {
        let (kind, path) = match argument.strip_prefix("original") {
            Some("") => (Kind::Original, PathBuf::from(ORIGINAL)),
            Some(rest) if rest.starts_with(':') => (Kind::Original, PathBuf::from(&rest[1..])),
            _ => (Kind::Ours, PathBuf::from(argument)),
        };
        let path = path
            .canonicalize()
            .during(|| format!("look for {}", path.display()))?;
        let generation = generation_of(&path)?;
        Ok(Program {
            kind,
            generation,
            path,
        })
    }

    /// The C program as the distribution installed it, if it did.
    pub(crate) fn installed() -> Option<Program> {
        Program::parse("original").ok()
    }

    /// The short name for test names and reports.
    pub(crate) fn name(&self) -> &'static str {
        match self.kind {
            Kind::Original => "original",
            Kind::Ours => "ours",
        }
    }

    /// Whether an expectation tagged for `tag` (`3.8`, `3.9`, `3.9orig`, `orig`, `ours`) is for this program.
    pub(crate) fn answers_to(&self, tag: &str) -> Option<bool> {
        match tag {
            "3.8" => Some(self.generation == Generation::G38),
            "3.9" => Some(self.generation == Generation::G39),
            "3.9orig" => Some(self.generation == Generation::G39 && self.kind == Kind::Original),
            "orig" => Some(self.kind == Kind::Original),
            "ours" => Some(self.kind == Kind::Ours),
            _ => None,
        }
    }
}

fn generation_of(path: &Path) -> Result<Generation, Failure> {
    let output = Command::new(path)
        .arg("version")
        .output()
        .during(|| format!("run {} version", path.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if text.starts_with("3.8.") {
        Ok(Generation::G38)
    } else {
        Ok(Generation::G39)
    }
}
