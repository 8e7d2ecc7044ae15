//! Packages of a Debian release, whichever this machine runs: fetched with apt-get and unpacked, nothing is
//! installed and none of their scripts runs.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{Flock, FlockArg};

/// A release of Debian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// Debian 12: sanlock 3.8.5.
    Bookworm,
    /// Debian 13: sanlock 3.9.5.
    Trixie,
}

impl Release {
    fn name(self) -> &'static str {
        match self {
            Release::Bookworm => "bookworm",
            Release::Trixie => "trixie",
        }
    }
}

/// What was fetched for earlier runs is used again: remove the directory to have it renewed.
pub(crate) struct Store {
    dir: PathBuf,
}

impl Store {
    pub(crate) fn new(dir: &Path) -> Store {
        Store {
            dir: dir.to_owned(),
        }
    }

    /// Another run may want the same at the same time.
    fn one_at_a_time(&self) -> Result<Flock<File>> {
        std::fs::create_dir_all(&self.dir)
            .with_context(|| format!("cannot create {}", self.dir.display()))?;
        let path = self.dir.join("lock");
        let file =
            File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, error)| error)
            .with_context(|| format!("cannot lock {}", path.display()))
    }

    /// The directory with what is in these packages.
    pub(crate) fn unpacked(
        &self,
        name: &str,
        release: Release,
        packages: &[&str],
    ) -> Result<PathBuf> {
        let done = self.dir.join(name);
        let _alone = self.one_at_a_time()?;
        if done.is_dir() {
            return Ok(done);
        }
        println!(
            "fetching from Debian {}: {}",
            release.name(),
            packages.join(" ")
        );
        let apt = Apt::of(release, &self.dir)?;
        let wanted: Vec<String> = packages
            .iter()
            .map(|package| apt.real_name(package))
            .collect::<Result<_>>()?;
        let archives = self.dir.join(format!("{name}.deb"));
        let unfinished = self.dir.join(format!("{name}.new"));
        for dir in [&archives, &unfinished] {
            // One that an earlier run has left behind is made anew.
            let _ = std::fs::remove_dir_all(dir);
            std::fs::create_dir_all(dir)
                .with_context(|| format!("cannot create {}", dir.display()))?;
        }
        apt.download(&wanted, &archives)?;
        for entry in std::fs::read_dir(&archives)? {
            let archive = entry?.path();
            let mut dpkg = Command::new("dpkg-deb");
            checked(dpkg.arg("-x").arg(&archive).arg(&unfinished))?;
        }
        std::fs::remove_dir_all(&archives)?;
        std::fs::rename(&unfinished, &done)
            .with_context(|| format!("cannot rename to {}", done.display()))?;
        Ok(done)
    }
}

/// apt-get with lists of its own.
struct Apt {
    options: Vec<String>,
}

impl Apt {
    fn of(release: Release, dir: &Path) -> Result<Apt> {
        let dir = dir.join(format!("apt-{}", release.name()));
        for part in ["lists/partial", "cache/archives/partial"] {
            std::fs::create_dir_all(dir.join(part))
                .with_context(|| format!("cannot create {}", dir.display()))?;
        }
        let list = dir.join("sources.list");
        let source = format!("deb {} {} main\n", archive()?, release.name());
        std::fs::write(&list, source)
            .with_context(|| format!("cannot write {}", list.display()))?;
        let set = |key: &str, value: &dyn std::fmt::Display| format!("-o{key}={value}");
        let options = vec![
            "-qq".to_owned(),
            set("Dir::Etc::SourceList", &list.display()),
            set("Dir::Etc::SourceParts", &"/dev/null"),
            set("Dir::State::Lists", &dir.join("lists").display()),
            set("Dir::State::status", &"/dev/null"),
            set("Dir::Cache", &dir.join("cache").display()),
            set("APT::Architecture", &"amd64"),
            set("APT::Architectures", &"amd64"),
            set("Acquire::Languages", &"none"),
            set("Acquire::Retries", &"2"),
            // The directory need not be open to apt's own user.
            set("APT::Sandbox::User", &"root"),
        ];
        let apt = Apt { options };
        checked(apt.command("apt-get").arg("update"))?;
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(&self.options);
        command
    }

    /// `linux-image-amd64` and its like only name the package that has the kernel.
    fn real_name(&self, package: &str) -> Result<String> {
        if !package.starts_with("linux-image-") {
            return Ok(package.to_owned());
        }
        let said = checked(self.command("apt-cache").args(["depends", package]))?;
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        let kernel = text.lines().find_map(|line| {
            line.trim()
                .strip_prefix("Depends: ")
                .filter(|name| name.starts_with("linux-image-"))
        });
        Ok(kernel.unwrap_or(package).to_owned())
    }

    fn download(&self, packages: &[String], to: &Path) -> Result<()> {
        let mut command = self.command("apt-get");
        command.arg("download").args(packages).current_dir(to);
        checked(&mut command).map(drop)
    }
}

/// Where this machine takes Debian's packages from.
fn archive() -> Result<String> {
    let mut command = Command::new("apt-get");
    let said = checked(command.args([
        "indextargets",
        "--format",
        "$(ORIGIN)|$(COMPONENT)|$(CODENAME)|$(REPO_URI)",
    ]))?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    for line in text.lines() {
        let mut fields = line.split('|');
        let (origin, component) = (fields.next(), fields.next());
        let (codename, uri) = (fields.next().unwrap_or_default(), fields.next());
        // Updates are in `-security` and `-updates`, partly elsewhere.
        if origin == Some("Debian") && component == Some("main") && !codename.contains('-') {
            if let Some(uri) = uri {
                return Ok(uri.to_owned());
            }
        }
    }
    bail!("apt-get here knows no archive of Debian")
}

/// Runs it; an error says what it said.
pub(crate) fn checked(command: &mut Command) -> Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    ensure!(output.status.success(), "{name} failed: {said}");
    Ok(output)
}
