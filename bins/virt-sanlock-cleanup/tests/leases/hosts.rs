//! Two hosts and their directory.

use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use faultfs::{Fault, FaultFs, Kinds, Rule};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sanlock_proto::flags::{AddFlags, WriteFlags};
use sanlock_proto::{Client, Disk, DiskPath, Lockspace, Name, Resource};

/// Set in a process that is to be a lease daemon.
pub const DAEMON: &str = "CLEANUP_TEST_DAEMON";

/// Other lease daemons than ours: `/usr/sbin/sanlock` there tries the program with the original's. With several, and
/// colons between them, each host has its own, ours where there is none.
const PROGRAM: &str = "SANLOCK_PROGRAM";

pub const LOCKSPACE: &str = "__LIBVIRT__DISKS__";

/// Removes its directory and ends its daemons when it is dropped.
pub struct Lab {
    pub dir: PathBuf,
    daemons: Vec<Child>,
    slow: Option<FaultFs>,
}

impl Drop for Lab {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        drop(self.slow.take());
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Lab {
    /// A directory of leases, and so many hosts that have joined its lockspace.
    pub fn new(hosts: u64) -> Self {
        Self::new_at("", hosts)
    }

    /// The same, on storage that takes its time for each request.
    pub fn on_slow_storage(hosts: u64, delay: Duration) -> Self {
        Self::start("", hosts, Some(delay))
    }

    /// The same, for a case that has two.
    pub fn new_at(name: &str, hosts: u64) -> Self {
        Self::start(name, hosts, None)
    }

    fn start(name: &str, hosts: u64, delay: Option<Duration>) -> Self {
        let dir = std::env::temp_dir().join(format!("cleanup-test{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let mut lab = Self {
            dir,
            daemons: Vec::new(),
            slow: None,
        };
        std::fs::create_dir_all(lab.leases()).unwrap();
        if let Some(delay) = delay {
            let backing = lab.dir.join("backing");
            std::fs::create_dir(&backing).unwrap();
            let slow = FaultFs::mount(&lab.leases(), &backing).unwrap();
            let rule = Rule::new(Fault::Delay(delay), Kinds::Io);
            slow.faults().add(rule);
            lab.slow = Some(slow);
        }
        for host in 1..=hosts {
            lab.add_host(host);
        }
        lab
    }

    pub fn leases(&self) -> PathBuf {
        self.dir.join("leases")
    }

    /// Stops a host's lease daemon for a while, wherever it is.
    pub fn pause(&self, host: u64, time: Duration) {
        let index = usize::try_from(host - 1).unwrap();
        let pid = Pid::from_raw(i32::try_from(self.daemons[index].id()).unwrap());
        kill(pid, Signal::SIGSTOP).unwrap();
        std::thread::sleep(time);
        kill(pid, Signal::SIGCONT).unwrap();
    }

    /// Ends the lease daemons, whatever they do.
    pub fn kill_daemons(&self) {
        for daemon in &self.daemons {
            let pid = Pid::from_raw(i32::try_from(daemon.id()).unwrap());
            kill(pid, Signal::SIGKILL).unwrap();
        }
    }

    fn run_dir(&self, host: u64) -> PathBuf {
        self.dir.join(format!("host{host}"))
    }

    fn add_host(&mut self, host: u64) {
        let run = self.run_dir(host);
        std::fs::create_dir_all(&run).unwrap();
        let log = File::create(run.join("log")).unwrap();
        let name = format!("host{host}");
        let daemon = Command::new(program_of(host))
            .args([
                "daemon", "-D", "-w", "0", "-e", &name, "-U", "root", "-G", "root",
            ])
            .envs([(DAEMON, "1"), ("SANLOCK_PRIVILEGED", "0")])
            .env("SANLOCK_RUN_DIR", &run)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.daemons.push(daemon);
        let client = self.client(host);
        until("the lease daemon answers", || client.version().is_ok());
        let path = self.leases().join(LOCKSPACE);
        let lockspace = Lockspace {
            host_id: host,
            disk: disk(&path),
            ..Lockspace::named(Name::truncated(LOCKSPACE.as_bytes()))
        };
        if host == 1 {
            File::create(&path).unwrap().set_len(1 << 20).unwrap();
            client
                .write_lockspace(&lockspace, 0, WriteFlags::NONE, 1)
                .unwrap();
        }
        client.add_lockspace(&lockspace, AddFlags::NONE, 1).unwrap();
    }

    pub fn client(&self, host: u64) -> Client {
        Client::at(self.run_dir(host).join("sanlock.sock"))
    }

    /// Runs the program on a host.
    pub fn cleanup(&self, host: u64, options: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_virt-sanlock-cleanup"))
            .arg("--directory")
            .arg(self.leases())
            .args(["--config", "/nonexistent"])
            .args(options)
            .env("SANLOCK_RUN_DIR", self.run_dir(host))
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    pub fn resource(&self, name: &str) -> Resource {
        Resource {
            lockspace: Name::truncated(LOCKSPACE.as_bytes()),
            name: Name::truncated(name.as_bytes()),
            disks: vec![disk(&self.leases().join(name))],
            ..Resource::default()
        }
    }

    /// Makes a lease as libvirt does.
    pub fn make(&self, host: u64, name: &str) -> std::io::Result<()> {
        let path = self.leases().join(name);
        if std::fs::metadata(&path).is_ok() {
            return Ok(());
        }
        let file = File::options().write(true).create_new(true).open(&path)?;
        file.set_len(1 << 20)?;
        self.client(host)
            .write_resource(&self.resource(name), 0, 0, WriteFlags::NONE)
            .map_err(|error| std::io::Error::other(error.to_string()))?;
        Ok(())
    }
}

/// The lease daemon of a host: the one that is named for it, or for all.
fn program_of(host: u64) -> PathBuf {
    let named = std::env::var(PROGRAM).unwrap_or_default();
    let mut programs = named.split(':');
    let index = usize::try_from(host - 1).unwrap();
    let program = if named.contains(':') {
        programs.nth(index)
    } else {
        programs.next()
    };
    match program {
        None | Some("") => std::env::current_exe().unwrap(),
        Some(program) => PathBuf::from(program),
    }
}

fn disk(path: &Path) -> Disk {
    let path = DiskPath::from_bytes(path.as_os_str().as_bytes()).unwrap();
    Disk { path, offset: 0 }
}

fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !reached() {
        assert!(Instant::now() < end, "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
