//! A host of one's own: /run, /dev and /sys/class/watchdog in a mount namespace, with a device that the preloaded
//! library plays.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use nix::fcntl::{Flock, FlockArg};

use super::harness::{Outcome, skipped};

/// Set in a process that is in a namespace.
const INSIDE: &str = "WDMD_TEST_NAMESPACE";

/// Why there is none, for the cases to say.
const WHY_NOT: &str = "WDMD_TEST_NO_NAMESPACE";

/// What the device has said and been told.
const LOG: &str = "/run/watchdog.log";
/// How it behaves.
const RULES: &str = "/run/watchdog.rules";
/// What the clerk of the system's log would get.
const SYSLOG: &str = "/dev/log";

/// The program under test.
pub fn program() -> PathBuf {
    std::env::var_os("WDMD_PROGRAM")
        .map_or_else(|| env!("CARGO_BIN_EXE_wdmd").into(), PathBuf::from)
}

/// Whether another program than ours is tried.
pub fn is_original() -> bool {
    std::env::var_os("WDMD_PROGRAM").is_some()
}

/// Whether the program holds its device from its start, as up to 3.8.5.
pub fn holds_its_device() -> bool {
    is_original() && version().starts_with("3.8.")
}

/// The version that it says it has.
pub fn version() -> String {
    let output = Command::new(program()).arg("-V").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().nth(2).unwrap_or("").to_owned()
}

/// Each case starts this program anew; this puts it into a namespace first. `None` to go on.
pub fn enter() -> Option<ExitCode> {
    let is_case = std::env::var_os("HARNESS_CASE").is_some();
    if !is_case || std::env::var_os(INSIDE).is_some() || std::env::var_os(WHY_NOT).is_some() {
        return None;
    }
    let mut options = vec!["--mount", "--propagation", "private"];
    if !nix::unistd::geteuid().is_root() {
        options.extend(["--user", "--map-root-user"]);
    }
    // /dev/null and the like stay what they are.
    let script = r#"
        set -e
        mount -t tmpfs tmpfs /run
        mkdir /run/dev
        for each in null zero random urandom full; do
            touch /run/dev/$each
            mount --bind /dev/$each /run/dev/$each
        done
        mkdir /run/dev/shm
        mount --rbind /run/dev /dev
        mount -t tmpfs tmpfs /sys
        mkdir -p /sys/class/watchdog/watchdog0
        exec "$0" "$@"
    "#;
    let probe = Command::new("unshare")
        .args(&options)
        .args(["--", "sh", "-c", script, "true"])
        .output();
    let why = match probe {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(error.to_string()),
    };
    let this = std::env::current_exe().unwrap();
    let mut command = match why {
        None => {
            let mut command = Command::new("unshare");
            command
                .args(&options)
                .args(["--", "sh", "-c", script])
                .arg(&this);
            command.env(INSIDE, "1");
            command
        }
        Some(why) => {
            let mut command = Command::new(&this);
            command.env(WHY_NOT, format!("no mount namespace: {why}"));
            command
        }
    };
    let status = command.args(std::env::args_os().skip(1)).status().unwrap();
    Some(ExitCode::from(
        u8::try_from(status.code().unwrap_or(1)).unwrap_or(1),
    ))
}

/// The host of a case.
pub struct Host {
    preload: PathBuf,
    syslog: Arc<Mutex<Vec<String>>>,
    log_is_read: Arc<AtomicBool>,
}

impl Host {
    /// With one device, softdog.
    pub fn new() -> Result<Self, Outcome> {
        if let Ok(why) = std::env::var(WHY_NOT) {
            return Err(skipped(why));
        }
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let preload = directory.join(format!("watchdog-{}.so", std::process::id()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/watchdog.c");
        let compiled = Command::new("gcc")
            .args(["-Wall", "-Werror", "-shared", "-fPIC", "-o"])
            .arg(&preload)
            .arg(source)
            .arg("-ldl")
            .output();
        match compiled {
            Ok(output) if output.status.success() => {}
            Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => return Err(skipped(format!("no gcc: {error}"))),
        }
        let host = Self {
            preload,
            syslog: Arc::default(),
            log_is_read: Arc::new(AtomicBool::new(true)),
        };
        host.read_syslog();
        for device in ["/dev/watchdog0", "/dev/watchdog"] {
            fs::write(device, "").unwrap();
        }
        host.identity("Software Watchdog");
        host.rules("");
        fs::write(LOG, "").unwrap();
        Ok(host)
    }

    /// What the device calls itself.
    pub fn identity(&self, identity: &str) {
        fs::write(
            "/sys/class/watchdog/watchdog0/identity",
            format!("{identity}\n"),
        )
        .unwrap();
    }

    /// How the device behaves from now on, see watchdog.c.
    pub fn rules(&self, rules: &str) {
        // At once, for whoever reads it meanwhile.
        let new = format!("{RULES}.new");
        fs::write(&new, rules).unwrap();
        fs::rename(new, RULES).unwrap();
    }

    /// The program, on the device.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .args(arguments)
            .env("LD_PRELOAD", &self.preload)
            .env("WATCHDOG_LOG", LOG)
            .env("WATCHDOG_RULES", RULES)
            .stdin(std::process::Stdio::null());
        command
    }

    /// What happened to the device so far: when, in milliseconds of the monotonic clock, and what.
    pub fn device(&self) -> Vec<(u64, String)> {
        fs::read_to_string(LOG)
            .unwrap()
            .lines()
            .map(|line| {
                let (at, rest) = line.split_once(' ').unwrap();
                let (what, _) = rest.rsplit_once(' ').unwrap();
                (at.parse().unwrap(), what.to_owned())
            })
            .collect()
    }

    /// The same without the times, runs of the same taken as one.
    pub fn order(&self) -> Vec<String> {
        let mut order: Vec<String> = self.device().into_iter().map(|(_, what)| what).collect();
        order.dedup();
        order
    }

    /// Whether any process has the device open, by the kernel's word. Not while the daemon may open it: looking takes it
    /// for a moment.
    pub fn is_open(&self) -> bool {
        let device = fs::File::open("/dev/watchdog0").unwrap();
        Flock::lock(device, FlockArg::LockExclusiveNonblock).is_err()
    }

    /// Forgets what happened so far.
    pub fn forget(&self) {
        fs::write(LOG, "").unwrap();
    }

    /// A new device that nobody has changed.
    pub fn renew(&self) {
        let _ = fs::remove_file(format!("{RULES}.set"));
        self.forget();
    }

    /// When the device fires by its own clock if nothing more happens, in milliseconds; `None` if it is disarmed.
    pub fn fires(&self, timeout: u64) -> Option<u64> {
        let (mut ping, mut magic) = (None, false);
        for (at, what) in self.device() {
            match what.as_str() {
                "magic" => magic = true,
                "close" if magic => (ping, magic) = (None, false),
                _ => ping = Some(at),
            }
        }
        ping.map(|at| at + timeout * 1000)
    }

    /// Plays the system's log.
    fn read_syslog(&self) {
        let socket = UnixDatagram::bind(SYSLOG).unwrap();
        let (lines, is_read) = (Arc::clone(&self.syslog), Arc::clone(&self.log_is_read));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while is_read.load(Ordering::SeqCst) {
                let count = socket.recv(&mut buffer).unwrap();
                let line = String::from_utf8_lossy(&buffer[..count]).into_owned();
                lines.lock().unwrap().push(line);
            }
            // It stays, and is not read.
            loop {
                std::thread::park();
            }
        });
    }

    /// From now on, what is written to the system's log stays there until whoever writes has to wait.
    pub fn log_is_not_read(&self) {
        self.log_is_read.store(false, Ordering::SeqCst);
    }

    /// What the system's log was given so far.
    pub fn syslog(&self) -> Vec<String> {
        self.syslog.lock().unwrap().clone()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.preload);
    }
}
