//! What is built once for a whole run: the C client, the Python client, upstream's own tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::failure::{Failure, While};
use super::process::lossy;

const C_CLIENT: &str = include_str!("../../c/client.c");
const PYTHON_CLIENT: &str = include_str!("../../py/client.py");

/// The tools of a run. What fails to build is tried once, and its reason kept.
#[derive(Debug)]
pub(crate) struct Tools {
    /// Where they are built.
    pub(crate) dir: PathBuf,
    /// Upstream's source, if the caller has it.
    pub(crate) upstream: Option<PathBuf>,
    c_client: OnceLock<Result<PathBuf, String>>,
    python_client: OnceLock<Result<PathBuf, String>>,
    upstream_source: OnceLock<Result<PathBuf, String>>,
    upstream_python: OnceLock<Result<PathBuf, String>>,
}

type Built = Result<PathBuf, Failure>;

fn once(cell: &OnceLock<Result<PathBuf, String>>, build: impl FnOnce() -> Built) -> Built {
    let built = cell.get_or_init(|| build().map_err(|failure| failure.to_string()));
    built.clone().map_err(Failure::new)
}

impl Tools {
    /// Tools that are built in `dir` when they are asked for.
    pub(crate) fn new(dir: PathBuf, upstream: Option<PathBuf>) -> Result<Tools, Failure> {
        std::fs::create_dir_all(&dir).during(|| format!("make {}", dir.display()))?;
        Ok(Tools {
            dir,
            upstream,
            c_client: OnceLock::new(),
            python_client: OnceLock::new(),
            upstream_source: OnceLock::new(),
            upstream_python: OnceLock::new(),
        })
    }

    /// The client of libsanlock.
    pub(crate) fn c_client(&self) -> Built {
        once(&self.c_client, || {
            let source = self.dir.join("client.c");
            std::fs::write(&source, C_CLIENT)?;
            compile(&source, &self.dir.join("client"), &["-lsanlock"])
        })
    }

    /// The client of python3-sanlock.
    pub(crate) fn python_client(&self) -> Built {
        once(&self.python_client, || {
            let path = self.dir.join("client.py");
            std::fs::write(&path, PYTHON_CLIENT)?;
            Ok(path)
        })
    }

    /// Upstream's source tree.
    pub(crate) fn upstream_source(&self, fetch: impl FnOnce(&Path) -> Built) -> Built {
        once(&self.upstream_source, || match &self.upstream {
            Some(path) => Ok(path.clone()),
            None => fetch(&self.dir.join("upstream")),
        })
    }

    /// A Python that finds pytest, userstorage and the installed module of sanlock.
    pub(crate) fn upstream_python(&self, make: impl FnOnce(&Path) -> Built) -> Built {
        once(&self.upstream_python, || make(&self.dir.join("venv")))
    }
}

/// Compiles one C program with libsanlock behind it.
pub(crate) fn compile(source: &Path, program: &Path, options: &[&str]) -> Built {
    let mut command = Command::new("gcc");
    command
        .args(["-O1", "-w", "-D_GNU_SOURCE", "-o"])
        .arg(program)
        .arg(source)
        .args(options);
    succeed(&mut command, program)?;
    Ok(program.to_owned())
}

/// Runs a command that must end with 0; otherwise what it said is the failure.
pub(crate) fn succeed(command: &mut Command, log: &Path) -> Result<(), Failure> {
    let log = log.with_extension("log");
    let file = std::fs::File::create(&log)?;
    command
        .stdin(std::process::Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file);
    let status = command
        .status()
        .during(|| format!("run {}", command.get_program().to_string_lossy()))?;
    if status.success() {
        return Ok(());
    }
    let said = lossy(&log)?;
    let lines: Vec<&str> = said.lines().collect();
    let end = lines[lines.len().saturating_sub(6)..].join("\n");
    Err(format!(
        "{} {status}: {end}",
        command.get_program().to_string_lossy()
    )
    .into())
}
