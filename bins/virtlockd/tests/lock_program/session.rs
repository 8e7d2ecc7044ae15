//! The daemon of a user who is not root, as libvirt's client spawns it.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

use super::client::{Client, NOBODY};
use super::virtlockd::wait_until;
use super::{Lab, Subject};

/// A user with nothing of their own.
const USER: u32 = 65_534;

/// A home, and what a login sets.
struct Session {
    uid: u32,
    home: PathBuf,
}

impl Session {
    fn new(lab: &Lab) -> Self {
        let home = PathBuf::from(lab.path("home"));
        std::fs::create_dir(&home).unwrap();
        let uid = match geteuid().is_root() {
            true => USER,
            false => geteuid().as_raw(),
        };
        chown(&home, Some(uid), Some(uid)).unwrap();
        Self { uid, home }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.home.join(path)
    }

    /// Runs it as the user, with the variables of a login or without.
    fn command(&self, program: &Path, arguments: &[&str], logged_in: bool) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().env("HOME", &self.home);
        command.env("PATH", std::env::var_os("PATH").unwrap());
        if logged_in {
            for (name, path) in [
                ("CONFIG_HOME", "c"),
                ("CACHE_HOME", "k"),
                ("RUNTIME_DIR", "r"),
            ] {
                command.env(format!("XDG_{name}"), self.at(path));
            }
        }
        if geteuid().is_root() {
            command.uid(self.uid).gid(self.uid);
        }
        command.current_dir("/").stdin(Stdio::null());
        command
    }

    fn mode(&self, path: &str) -> u32 {
        let metadata = std::fs::metadata(self.at(path)).unwrap();
        assert_eq!(metadata.uid(), self.uid, "{path}");
        metadata.permissions().mode() & 0o7777
    }
}

fn end(mut child: Child, with: Signal) -> Option<i32> {
    kill(Pid::from_raw(child.id().try_into().unwrap()), with).unwrap();
    child.wait().unwrap().code()
}

/// What `virt-admin` of the same user shows.
fn admin(session: &Session, words: &[&str]) -> String {
    let words = [&["-c", "virtlockd:///session"], words].concat();
    let mut command = session.command(Path::new("virt-admin"), &words, true);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

pub fn of_a_login(lab: &Lab) {
    super::admin::needs_virt_admin();
    let session = Session::new(lab);
    std::fs::create_dir_all(session.at("c/libvirt")).unwrap();
    std::fs::write(session.at("c/libvirt/virtlockd.conf"), "max_clients = 17\n").unwrap();
    // As libvirt's client calls it.
    let mut command = session.command(&lab.program, &["--timeout=120"], true);
    let child = command.spawn().unwrap();
    let socket = session.at("r/libvirt/virtlockd-sock");
    wait_until("the socket is there", || {
        std::os::unix::net::UnixStream::connect(&socket).is_ok()
    });
    for path in [
        "r/libvirt/virtlockd-sock",
        "r/libvirt/virtlockd-admin-sock",
        "r/libvirt",
    ] {
        assert_eq!(session.mode(path), 0o700, "{path}");
    }
    let pid_file = session.at("r/libvirt/virtlockd.pid");
    assert_eq!(
        std::fs::read_to_string(&pid_file).unwrap(),
        child.id().to_string()
    );
    assert_eq!(session.mode("r/libvirt/virtlockd.pid"), 0o644);
    // Its configuration was read.
    let limits = admin(&session, &["srv-clients-info", "virtlockd"]);
    assert!(limits.contains("nclients_max        : 17\n"), "{limits}");
    if geteuid().is_root() {
        // Not even root is served.
        let mut other = Client::new(&socket);
        assert!(other.try_register(1, NOBODY).is_none());
    }
    // The same user is: a lock on a file of theirs, by a client of theirs.
    if lab.subject == Subject::Ours {
        let list = session
            .command(&lab.program, &["--list", "--json"], true)
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&list.stdout), "[]\n", "{list:?}");
    }
    assert_eq!(end(child, Signal::SIGTERM), Some(0));
    assert!(!pid_file.exists());
}

/// Everything goes where caches are; in the background the log too.
pub fn without_a_login(lab: &Lab) {
    let session = Session::new(lab);
    let status = session
        .command(&lab.program, &["-d", "-v", "-t", "1"], false)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0));
    let pid_file = session.at(".cache/libvirt/virtlockd.pid");
    // It has no clients.
    wait_until("the daemon ends", || !pid_file.exists());
    assert_eq!(session.mode(".cache/libvirt"), 0o700);
    if !Path::new("/run/systemd/journal/socket").exists() {
        let log = session.at(".cache/libvirt/virtlockd.log");
        let log = std::fs::read_to_string(log).unwrap();
        assert!(log.contains("info : libvirt version: 9.0.0"), "{log}");
    }
}
