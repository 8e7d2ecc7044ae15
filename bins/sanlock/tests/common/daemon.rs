//! Daemons under test, each in a run directory of its own.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use sanlock_proto::client::{Registered, socket_in};
use sanlock_proto::flags::{AddFlags, WriteFlags};
use sanlock_proto::{Client, Lockspace, Resource};

use super::process::{self, Size};
use super::wait::{PATIENCE, until};

/// Names another program than ours.
const VARIABLE: &str = "SANLOCK_PROGRAM";

/// Longer than any call of these tests may take: a test that hangs fails.
const CALL: Duration = Duration::from_secs(150);

/// The program under test.
pub fn program() -> PathBuf {
    std::env::var_os(VARIABLE).map_or_else(|| env!("CARGO_BIN_EXE_sanlock").into(), PathBuf::from)
}

/// Whether another program than ours is tried.
pub fn is_original() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// How a daemon is to be started.
pub struct Setup {
    run_dir: PathBuf,
    host_name: String,
    arguments: Vec<OsString>,
    conf: String,
}

impl Setup {
    /// A daemon for a host of this name, with its run directory in `parent`.
    pub fn new(parent: &Path, host_name: &str) -> Self {
        let run_dir = parent.join(format!("run-{host_name}"));
        fs::create_dir_all(&run_dir).unwrap();
        Self {
            run_dir,
            host_name: host_name.to_owned(),
            arguments: vec!["-w".into(), "0".into()],
            conf: String::new(),
        }
    }

    /// With more arguments.
    #[must_use]
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(Into::into));
        self
    }

    /// With these lines in its configuration file.
    #[must_use]
    pub fn configured(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.conf);
        self
    }

    pub fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    pub fn client(&self) -> Client {
        Client::at(socket_in(&self.run_dir)).with_timeout(CALL)
    }

    /// The command that starts it, with `-D` or without.
    pub fn command(&self, foreground: bool) -> Command {
        let conf = self.run_dir.join("sanlock.conf");
        fs::write(&conf, &self.conf).unwrap();
        let mut command = killed_with_us(&program());
        command
            .arg("daemon")
            .args(foreground.then_some("-D"))
            .args(["-e", &self.host_name])
            .args(&self.arguments)
            .env("SANLOCK_RUN_DIR", &self.run_dir)
            .env("SANLOCK_CONF_PATH", conf)
            .env("SANLOCK_PRIVILEGED", "0")
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null());
        command
    }

    /// Where a daemon in the foreground writes.
    pub fn stderr_path(&self) -> PathBuf {
        self.run_dir.join("stderr")
    }

    /// Starts it in the foreground, and waits until it answers.
    pub fn start(&self) -> Daemon {
        let stderr = File::options()
            .create(true)
            .append(true)
            .open(self.stderr_path())
            .unwrap();
        let child = self
            .command(true)
            .stdout(stderr.try_clone().unwrap())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let mut daemon = Daemon {
            child,
            client: self.client(),
            run_dir: self.run_dir.clone(),
            stderr: self.stderr_path(),
        };
        until("the daemon answers", PATIENCE, || {
            assert!(
                daemon.child.try_wait().unwrap().is_none(),
                "the daemon ended"
            );
            daemon.client.version().is_ok()
        });
        daemon
    }
}

/// A command that ends with the thread that starts it, whatever becomes of that, where the system has
/// the means.
pub fn killed_with_us(program: &Path) -> Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    if !setpriv.exists() {
        return Command::new(program);
    }
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// A running daemon; killed when dropped.
pub struct Daemon {
    child: Child,
    pub client: Client,
    pub run_dir: PathBuf,
    stderr: PathBuf,
}

impl Daemon {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn size(&self) -> Size {
        Size::of(self.pid())
    }

    /// What it wrote to its standard error.
    pub fn said(&self) -> String {
        // Nothing, if its directory is gone already.
        String::from_utf8_lossy(&fs::read(&self.stderr).unwrap_or_default()).into_owned()
    }

    /// Whether it has not ended.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn signal(&self, signal: Signal) {
        process::signal(self.pid(), signal);
    }

    /// Waits for its end.
    pub fn ended(&mut self, within: Duration) -> ExitStatus {
        process::ended(&mut self.child, within)
    }

    /// `kill -9`, as a crash.
    pub fn crash(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// A connection that stands for this process.
    pub fn register(&self) -> Registered {
        self.client.register().unwrap()
    }

    /// Makes a lockspace and its resources.
    pub fn format(&self, lockspace: &Lockspace, io_timeout: u32, resources: &[&Resource]) {
        self.client
            .write_lockspace(lockspace, 0, WriteFlags::NONE, io_timeout)
            .unwrap();
        for resource in resources {
            self.client
                .write_resource(resource, 0, 0, WriteFlags::NONE)
                .unwrap();
        }
    }

    /// Joins a lockspace, and waits until it is joined.
    pub fn join(&self, lockspace: &Lockspace, io_timeout: u32) {
        self.client
            .add_lockspace(lockspace, AddFlags::NONE, io_timeout)
            .unwrap();
    }

    /// Begins to join a lockspace.
    pub fn join_later(&self, lockspace: &Lockspace, io_timeout: u32) {
        self.client
            .add_lockspace(lockspace, AddFlags::ASYNC, io_timeout)
            .unwrap();
    }

    /// Waits until a lockspace is joined.
    pub fn joined(&self, lockspace: &Lockspace) {
        self.client
            .inq_lockspace(lockspace, sanlock_proto::flags::InqFlags::WAIT)
            .unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        // It cannot end while storage holds it in the kernel; then the next to go lets it go.
        for _ in 0..100 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        if std::thread::panicking() {
            let said = self.said();
            let lines: Vec<_> = said.lines().collect();
            let last = lines.len().saturating_sub(60);
            eprintln!(
                "--- {}\n{}\n---",
                self.run_dir.display(),
                lines[last..].join("\n")
            );
        }
    }
}
