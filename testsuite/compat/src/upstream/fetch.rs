//! Where upstream's source and a Python for it come from.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lab::failure::{Failure, While};
use crate::lab::tools::{Tools, succeed};

/// Upstream's source tree: the caller's, or the distribution's source package.
pub(crate) fn source(tools: &Tools) -> Result<PathBuf, Failure> {
    tools.upstream_source(from_the_distribution)
}

/// `apt-get source sanlock`, with a configuration of its own: the system's sources, asked for
/// source packages, and nothing of the system changed.
fn from_the_distribution(dir: &Path) -> Result<PathBuf, Failure> {
    for part in [
        "state/lists/partial",
        "cache/archives/partial",
        "sources",
        "package",
    ] {
        std::fs::create_dir_all(dir.join(part))?;
    }
    source_lists(&dir.join("sources"))?;
    let at = dir.display();
    let conf = format!(
        "Dir::State \"{at}/state\";\nDir::State::status \"/var/lib/dpkg/status\";\n\
         Dir::Cache \"{at}/cache\";\nDir::Etc::SourceList \"/dev/null\";\n\
         Dir::Etc::SourceParts \"{at}/sources\";\nAPT::Sandbox::User \"root\";\n"
    );
    let file = dir.join("apt.conf");
    std::fs::write(&file, conf)?;
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .env("APT_CONFIG", &file)
            .current_dir(dir.join("package"))
            .args(arguments);
        succeed(&mut command, &dir.join("apt-get"))
    };
    apt(&["update"])?;
    apt(&["source", "sanlock"])?;
    let entries = std::fs::read_dir(dir.join("package"))?.flatten();
    let tree = entries
        .map(|entry| entry.path())
        .find(|path| path.join("tests").is_dir());
    tree.ok_or_else(|| Failure::new("the source package has no tests"))
}

/// The system's package sources with `deb` turned into `deb-src`.
fn source_lists(to: &Path) -> Result<(), Failure> {
    let mut files: Vec<PathBuf> = std::fs::read_dir("/etc/apt/sources.list.d")
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    files.push(PathBuf::from("/etc/apt/sources.list"));
    for file in files {
        let (Ok(text), Some(name)) = (std::fs::read_to_string(&file), file.file_name()) else {
            continue;
        };
        let turned: Vec<String> = text
            .lines()
            .filter(|line| !line.starts_with("deb-src"))
            .map(
                |line| match (line.strip_prefix("deb "), line.strip_prefix("Types:")) {
                    (Some(rest), _) => format!("deb-src {rest}"),
                    (_, Some(_)) => "Types: deb-src".to_owned(),
                    _ => line.to_owned(),
                },
            )
            .collect();
        std::fs::write(to.join(name), turned.join("\n") + "\n")?;
    }
    Ok(())
}

/// A Python with pytest and userstorage that also finds the installed module of sanlock.
pub(crate) fn python(tools: &Tools) -> Result<PathBuf, Failure> {
    tools.upstream_python(|dir| {
        std::fs::create_dir_all(dir).during(|| format!("make {}", dir.display()))?;
        let mut venv = Command::new("/usr/bin/python3");
        venv.args(["-m", "venv", "--system-site-packages"]).arg(dir);
        succeed(&mut venv, &dir.join("venv"))?;
        let python = dir.join("bin/python");
        let mut install = Command::new(&python);
        install.args(["-m", "pip", "install", "--quiet", "pytest", "userstorage"]);
        succeed(&mut install, &dir.join("install"))?;
        let mut import = Command::new(&python);
        import.args(["-c", "import pytest, userstorage, sanlock"]);
        succeed(&mut import, &dir.join("import"))?;
        Ok(python)
    })
}
