//! The C program, and what ours says in its words.

use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use config::{qemu_lockd_conf, qemu_sanlock_conf};
use domain_xml::{Domain, Host, OnLockFailure, System, Volume, lockd, sanlock};
use sanlock_proto::flags::ResourceFlags;
use sanlock_proto::text::format_resource;
use sanlock_proto::{Disk, DiskPath, Name, Resource};

/// A lock driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    Sanlock,
    Lockd,
}

impl Driver {
    pub fn name(self) -> &'static str {
        match self {
            Driver::Sanlock => "sanlock",
            Driver::Lockd => "lockd",
        }
    }
}

/// What is said of one domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What is asked of the daemon, one line each.
    Started(Vec<String>),
    /// The driver does not start it.
    Failed,
    /// It is no domain.
    Unparsed,
}

/// What a driver does with a configuration and with domains.
pub struct Session {
    /// Whether it took the configuration.
    pub ready: bool,
    pub answers: Vec<(Answer, String)>,
}

/// A directory of this test, empty.
pub fn directory(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("domain-xml")
        .join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn program() -> Result<&'static Path, String> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = PROGRAM.get_or_init(|| {
        let program = directory(&format!("oracle-{}", std::process::id())).join("oracle");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/libvirt/oracle.c");
        let output = Command::new("cc")
            .args(["-O1", "-rdynamic", "-o"])
            .args([&program, &source])
            .arg("-ldl")
            .output()
            .map_err(|error| format!("no cc: {error}"))?;
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(program)
    });
    built.as_deref().map_err(Clone::clone)
}

/// Starts `driver` with `conf` and then each domain in turn.
///
/// # Errors
/// What is missing to do so.
pub fn ask(driver: Driver, conf: &[u8], domains: &[PathBuf]) -> Result<Session, String> {
    let program = program()?;
    let dir = directory(&format!("conf-{}", std::process::id()));
    std::fs::write(dir.join(format!("qemu-{}.conf", driver.name())), conf).unwrap();
    let list: String = domains
        .iter()
        .map(|path| format!("{}\n", path.display()))
        .collect();
    let file = dir.join("domains");
    std::fs::write(&file, list).unwrap();
    let output = Command::new(program)
        .args(["libvirt.so.0", "libsanlock_client.so.1", driver.name()])
        .arg(&dir)
        .stdin(std::fs::File::open(&file).unwrap())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) {
        return Err(stderr.trim().to_owned());
    }
    let stdout = String::from_utf8_lossy(&output.stdout);
    if stdout.contains("refused Plugin") || stdout.contains("refused Failed to load plugin") {
        return Err(stdout.trim().to_owned());
    }
    assert!(output.status.success(), "{}: {stderr}", output.status);
    Ok(session(&stdout))
}

fn session(stdout: &str) -> Session {
    let mut session = Session {
        ready: false,
        answers: Vec::new(),
    };
    let mut asked = Vec::new();
    for line in stdout.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let answer = match word {
            "ready" => {
                session.ready = true;
                continue;
            }
            "refused" | "lockspace" => continue,
            "lease" | "lock" | "killpath" => {
                asked.push(line.to_owned());
                continue;
            }
            "started" => Answer::Started(std::mem::take(&mut asked)),
            "failed" => Answer::Failed,
            "unparsed" => Answer::Unparsed,
            _ => panic!("{line}"),
        };
        asked.clear();
        session.answers.push((answer, rest.to_owned()));
    }
    session
}

/// This host, but without storage pools: the drivers are given their volumes untranslated, and lock none.
pub struct NoPools;

impl Host for NoPools {
    fn lvm_uuid(&self, path: &str) -> std::io::Result<Option<std::ffi::OsString>> {
        System.lvm_uuid(path)
    }

    fn scsi_id(&self, path: &str) -> std::io::Result<Option<std::ffi::OsString>> {
        System.scsi_id(path)
    }

    fn volume(&self, _pool: &str, _volume: &str) -> Option<Volume> {
        Some(Volume::Remote)
    }
}

/// What ours says of a domain.
pub fn ours(driver: Driver, conf: &[u8], domain: &Path) -> (Answer, String) {
    let name = Path::new("conf");
    let domain = match Domain::load(domain) {
        Ok(domain) => domain,
        Err(error) => return (Answer::Unparsed, error.to_string()),
    };
    let asked = match driver {
        Driver::Sanlock => {
            let conf = qemu_sanlock_conf::parse(name, conf).unwrap().conf;
            sanlock::leases(&domain, &conf, &NoPools).map(|leases| {
                let kill = match domain.on_lock_failure {
                    OnLockFailure::Default => None,
                    action => Some(format!(
                        "killpath qemu:///system {} {action}",
                        uuid(&domain)
                    )),
                };
                let leases = leases
                    .iter()
                    .map(|lease| format!("lease {}", shown(&text(lease))));
                kill.into_iter().chain(leases).collect()
            })
        }
        Driver::Lockd => {
            let conf = qemu_lockd_conf::parse(name, conf).unwrap().conf;
            lockd::locks(&domain, &conf, &NoPools).map(|locks| {
                let line = |lock: &lockd::Lock| {
                    let flags = u32::from(lock.shared) | u32::from(lock.autocreate) << 1;
                    let space = shown(&lock.lockspace.to_string_lossy());
                    let name = shown(&lock.name.to_string_lossy());
                    format!("lock {space}\t{name}\t{flags}")
                };
                locks.iter().map(line).collect()
            })
        }
    };
    match asked {
        Ok(asked) => (Answer::Started(asked), String::new()),
        Err(refusal) => (Answer::Failed, refusal.to_string()),
    }
}

/// In one line, as the C program writes it.
fn shown(text: &str) -> String {
    let char = |char: char| match u32::from(char) {
        code @ 0..0x20 => format!("<{code:02X}>"),
        _ => char.to_string(),
    };
    text.chars().map(char).collect()
}

/// As libvirt writes it.
fn uuid(domain: &Domain) -> String {
    let written = domain.uuid.clone().unwrap_or_default();
    let digits: Vec<char> = written.chars().filter(char::is_ascii_hexdigit).collect();
    let part = |from: usize, to: usize| digits[from..to].iter().collect::<String>();
    [
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32),
    ]
    .join("-")
    .to_lowercase()
}

fn text(lease: &sanlock::Lease) -> String {
    let resource = Resource {
        lockspace: Name::from_bytes(lease.lockspace.as_bytes()).unwrap(),
        name: Name::from_bytes(lease.name.as_bytes()).unwrap(),
        flags: if lease.shared {
            ResourceFlags::SHARED
        } else {
            ResourceFlags::default()
        },
        disks: vec![Disk {
            path: DiskPath::from_bytes(lease.path.as_os_str().as_bytes()).unwrap(),
            offset: lease.offset,
        }],
        ..Resource::default()
    };
    String::from_utf8(format_resource(&resource).unwrap()).unwrap()
}

/// Writes the XML of a domain as a status file.
pub fn status_file(path: &Path, xml: &str) {
    let xml = match xml.trim_start().strip_prefix("<?xml") {
        Some(rest) => rest.split_once("?>").map_or("", |(_, rest)| rest),
        None => xml,
    };
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    writeln!(
        file,
        "<domstatus state='running' reason='booted' pid='4242'>{xml}</domstatus>"
    )
    .unwrap();
}

/// The ways in which the drivers are set up. The directory is one to make leases in.
pub fn setups(dir: &Path) -> Vec<(Driver, String)> {
    let dir = dir.display();
    vec![
        (
            Driver::Sanlock,
            format!("auto_disk_leases = 1\nhost_id = 1\ndisk_lease_dir = \"{dir}\"\n"),
        ),
        (Driver::Sanlock, "# by hand\n".to_owned()),
        (Driver::Sanlock, "require_lease_for_disks = 0\n".to_owned()),
        (Driver::Lockd, String::new()),
        (Driver::Lockd, format!("file_lockspace_dir = \"{dir}\"\n")),
        (
            Driver::Lockd,
            format!("file_lockspace_dir = \"{dir}\"\nscsi_lockspace_dir = \"{dir}/scsi\"\n"),
        ),
        (
            Driver::Lockd,
            "lvm_lockspace_dir = \"/volumes\"\n".to_owned(),
        ),
        (Driver::Lockd, "auto_disk_leases = 0\n".to_owned()),
        (
            Driver::Lockd,
            "auto_disk_leases = 0\nrequire_lease_for_disks = 0\n".to_owned(),
        ),
    ]
}
