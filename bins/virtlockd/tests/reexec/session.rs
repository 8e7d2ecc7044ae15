//! The daemon of a user who is not root, as libvirt's client spawns it.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, geteuid, seteuid};

use super::client::{Client, NOBODY};
use super::host::{Host, Lab, runs};
use super::virtlockd::wait_until;
use super::watchers::{Deed, Watcher};

/// A user with nothing of their own.
const USER: u32 = 65_534;

/// A daemon of the user's, or of this process's if it is not root's.
struct Session {
    host: Host,
    child: Child,
    uid: Uid,
    home: PathBuf,
    messages: PathBuf,
}

impl Session {
    fn start(lab: &Lab) -> Self {
        let host = lab.prepare("");
        let home = PathBuf::from(lab.path("home"));
        std::fs::create_dir(&home).unwrap();
        let uid = match geteuid().is_root() {
            true => Uid::from_raw(USER),
            false => geteuid(),
        };
        chown(&home, Some(uid.as_raw()), Some(uid.as_raw())).unwrap();
        let messages = PathBuf::from(lab.path("messages"));
        // As libvirt's client calls it.
        let mut command = Command::new(lab.path("virtlockd"));
        command.arg("--timeout=120").env_clear().current_dir("/");
        for (name, value) in [
            ("HOME", ""),
            ("XDG_CONFIG_HOME", "c"),
            ("XDG_CACHE_HOME", "k"),
            ("XDG_RUNTIME_DIR", "r"),
        ] {
            command.env(name, home.join(value));
        }
        if geteuid().is_root() {
            command.uid(uid.as_raw()).gid(uid.as_raw());
        }
        let log = std::fs::File::create(&messages).unwrap();
        let child = command.stdin(Stdio::null()).stderr(log).spawn().unwrap();
        let session = Self {
            host,
            child,
            uid,
            home,
            messages,
        };
        wait_until("the daemon listens", || {
            session.as_user(|| std::os::unix::net::UnixStream::connect(session.socket()).is_ok())
        });
        session
    }

    fn at(&self, path: &str) -> PathBuf {
        self.home.join(path)
    }

    fn socket(&self) -> PathBuf {
        self.at("r/libvirt/virtlockd-sock")
    }

    fn state_file(&self) -> PathBuf {
        self.at("r/libvirt/virtlockd-restart-exec.json")
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().try_into().unwrap()), signal).unwrap();
    }

    /// Only the user is served.
    fn as_user<T>(&self, deed: impl FnOnce() -> T) -> T {
        let own = geteuid();
        seteuid(self.uid).unwrap();
        let done = deed();
        seteuid(own).unwrap();
        done
    }

    fn client(&self) -> Client {
        self.as_user(|| Client::registered(&self.socket(), NOBODY))
    }

    fn reload(&self, file: &Path) {
        let file = self.host.install(file);
        self.signal(Signal::SIGUSR1);
        wait_until("the next program runs", || {
            runs(self.pid()).is_some_and(|now| now == file)
        });
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn of_a_user(lab: &Lab) {
    let mut session = Session::start(lab);
    let space = session.at("space");
    let space = space.to_str().unwrap();
    let mut client = session.client();
    assert_eq!(client.create_space(space), "ok");
    assert_eq!(client.acquire((space, "disk"), 2), "ok");
    let disk = format!("{space}/disk");
    let watchers = [Deed::Look, Deed::Try]
        .map(|deed| Watcher::start(deed, std::slice::from_ref(&disk), session.pid()));
    for program in &lab.programs[1..] {
        session.reload(&program.file);
        // By the old connection, and by a new one.
        for client in [&mut client, &mut session.client()] {
            let refused = client.acquire((space, "disk"), 2);
            assert!(refused.contains("is locked"), "{refused}");
            assert_eq!(client.acquire((space, "other"), 2), "ok");
            assert_eq!(client.release((space, "other")), "ok");
        }
        if geteuid().is_root() {
            // Not even root is served.
            let mut other = Client::new(&session.socket());
            assert!(other.try_register(1, NOBODY).is_none());
        }
        assert!(!session.state_file().exists());
        let pid = std::fs::read_to_string(session.at("r/libvirt/virtlockd.pid"));
        assert_eq!(pid.unwrap(), session.pid().to_string());
    }
    for watcher in watchers {
        let (times, found) = watcher.stop();
        assert!(times > 0);
        assert_eq!(found.trim(), "");
    }
    assert_eq!(client.release((space, "disk")), "ok");
    drop(client);
    session.signal(Signal::SIGTERM);
    assert_eq!(session.child.wait().unwrap().code(), Some(0));
    assert!(!session.at("r/libvirt/virtlockd.pid").exists());
}

/// Only with ours: the C daemon ends.
pub fn a_state_that_may_not_be_written(lab: &Lab) {
    let session = Session::start(lab);
    let image = session.at("image");
    let image = image.to_str().unwrap();
    let mut client = session.client();
    assert_eq!(client.acquire(("", image), 2), "ok");
    let run_dir = session.state_file().parent().unwrap().to_owned();
    let set_mode = |mode| {
        std::fs::set_permissions(&run_dir, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set_mode(0o500);
    session.signal(Signal::SIGUSR1);
    let messages = || std::fs::read_to_string(&session.messages).unwrap();
    wait_until("it is said why not", || {
        messages().contains("goes on, with all its locks")
    });
    assert!(messages().contains("Permission denied"), "{}", messages());
    assert!(client.acquire(("", image), 2).contains("is locked"));
    set_mode(0o700);
    session.reload(&lab.programs[1].file);
    assert!(client.acquire(("", image), 2).contains("is locked"));
}
