//! The domains of libvirt's own tests, from the distribution's source package of the libvirt that is installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Outcome, skipped};
use crate::oracle::{Answer, Driver, ask, directory, ours, setups, status_file};

/// Fewer would mean that the wrong files were looked at.
const LEAST_FILES: usize = 500;
const LEAST_LEASES: usize = 200;

pub fn all() -> Outcome {
    if let Err(why) = ask(Driver::Sanlock, b"", &[]) {
        return skipped(why);
    }
    let tests = match source() {
        Ok(tests) => tests,
        Err(why) => return skipped(why),
    };
    let leases = directory("corpus-leases");
    let domains = domains(&tests, &directory("corpus-domains"));
    assert!(
        domains.len() >= LEAST_FILES,
        "{} domains in {}",
        domains.len(),
        tests.display()
    );
    let (mut compared, mut asked, mut wrong) = (0, 0, Vec::new());
    for (driver, conf) in setups(&leases) {
        let session = match ask(driver, conf.as_bytes(), &domains) {
            Ok(session) => session,
            Err(why) => return skipped(why),
        };
        assert!(session.ready, "{conf}");
        assert_eq!(session.answers.len(), domains.len(), "{conf}");
        for ((theirs, why), path) in session.answers.iter().zip(&domains) {
            // For reasons that concern no lock.
            if *theirs == Answer::Unparsed {
                continue;
            }
            let (ours, our_why) = ours(driver, conf.as_bytes(), path);
            compared += 1;
            if let Answer::Started(list) = theirs {
                asked += list.len();
            }
            if ours != *theirs {
                wrong.push(format!(
                    "{} with {driver:?}, {conf:?}:\n  libvirt: {theirs:?} {why}\n  ours: {ours:?} {our_why}",
                    path.display()
                ));
            }
        }
    }
    let shown: Vec<&str> = wrong.iter().take(10).map(String::as_str).collect();
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        shown.join("\n")
    );
    assert!(asked >= LEAST_LEASES, "only {asked} leases");
    println!(
        "measured: {compared} answers on {} domains of libvirt's tests, {asked} leases and locks",
        domains.len()
    );
    let _ = std::fs::remove_dir_all(leases);
    Outcome::Passed
}

/// Each file of a domain as a status file in `to`.
fn domains(tests: &Path, to: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for set in [
        "qemuxml2argvdata",
        "qemuxml2xmloutdata",
        "genericxml2xmlindata",
        "qemuhotplugtestdomains",
    ] {
        let Ok(entries) = std::fs::read_dir(tests.join(set)) else {
            continue;
        };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Ok(xml) = std::fs::read_to_string(entry.path()) else {
                continue;
            };
            if name.ends_with(".xml") && xml.contains("<domain") {
                let path = to.join(format!("{set}-{name}"));
                status_file(&path, &xml);
                paths.push(path);
            }
        }
    }
    // libvirt's own status files as they are, except that they are of the process that asks.
    for entry in std::fs::read_dir(tests.join("qemustatusxml2xmldata"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let xml = std::fs::read_to_string(entry.path()).unwrap_or_default();
        if let Some((before, rest)) = xml.split_once(" pid='") {
            let behind = rest.split_once('\'').map_or("", |(_, behind)| behind);
            let path = to.join(entry.file_name());
            std::fs::write(&path, format!("{before} pid='4242'{behind}")).unwrap();
            paths.push(path);
        }
    }
    paths.sort();
    paths
}

/// The `tests` directory of libvirt's source: what `$LIBVIRT_SOURCE` names, or the source package, which is fetched
/// once.
fn source() -> Result<PathBuf, String> {
    if let Some(tree) = std::env::var_os("LIBVIRT_SOURCE") {
        return Ok(Path::new(&tree).join("tests"));
    }
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libvirt-source");
    if let Some(tests) = unpacked(&dir) {
        return Ok(tests);
    }
    fetch(&dir).map_err(|why| format!("no source package of libvirt: {why}"))?;
    unpacked(&dir).ok_or_else(|| "the source package has no tests".to_owned())
}

fn unpacked(dir: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(dir).ok()?.flatten();
    let mut tests = entries.map(|entry| entry.path().join("tests"));
    tests.find(|tests| tests.join("qemuxml2argvdata").is_dir())
}

/// `apt-get source`, with a configuration of its own: the system's sources, asked for source packages, and nothing of
/// the system changed.
fn fetch(dir: &Path) -> Result<(), String> {
    let apt = directory("apt");
    for part in ["state/lists/partial", "cache/archives/partial", "sources"] {
        std::fs::create_dir_all(apt.join(part)).map_err(|error| error.to_string())?;
    }
    let mut lists: Vec<PathBuf> = std::fs::read_dir("/etc/apt/sources.list.d")
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    lists.push(PathBuf::from("/etc/apt/sources.list"));
    for list in lists {
        let (Ok(text), Some(name)) = (std::fs::read_to_string(&list), list.file_name()) else {
            continue;
        };
        let turned: String = text
            .lines()
            .filter(|line| !line.starts_with("deb-src"))
            .map(|line| match line.strip_prefix("deb ") {
                Some(rest) => format!("deb-src {rest}\n"),
                None if line.starts_with("Types:") => "Types: deb-src\n".to_owned(),
                None => format!("{line}\n"),
            })
            .collect();
        std::fs::write(apt.join("sources").join(name), turned)
            .map_err(|error| error.to_string())?;
    }
    let at = apt.display();
    let conf = apt.join("apt.conf");
    let text = format!(
        "Dir::State \"{at}/state\";\nDir::State::status \"/var/lib/dpkg/status\";\nDir::Cache \"{at}/cache\";\n\
         Dir::Etc::SourceList \"/dev/null\";\nDir::Etc::SourceParts \"{at}/sources\";\nAPT::Sandbox::User \"root\";\n\
         Acquire::http::Timeout \"20\";\nAcquire::Retries \"1\";\n"
    );
    std::fs::write(&conf, text).map_err(|error| error.to_string())?;
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program)
            .env("APT_CONFIG", &conf)
            .current_dir(&apt)
            .args(arguments)
            .output()
            .map_err(|error| format!("no {program}: {error}"))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(format!(
                "{program}: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            )),
        }
    };
    run("apt-get", &["-qq", "update"])?;
    run("apt-get", &["-qq", "source", "--download-only", "libvirt"])?;
    let archive = std::fs::read_dir(&apt)
        .map_err(|error| error.to_string())?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            path.to_string_lossy().contains(".orig.tar")
                && !path.to_string_lossy().ends_with(".asc")
        })
        .ok_or("nothing was downloaded")?;
    std::fs::create_dir_all(dir).map_err(|error| error.to_string())?;
    let archive = archive.display().to_string();
    let to = dir.display().to_string();
    run(
        "tar",
        &["-C", &to, "-xf", &archive, "--wildcards", "*/tests/*.xml"],
    )?;
    let _ = std::fs::remove_dir_all(&apt);
    Ok(())
}
