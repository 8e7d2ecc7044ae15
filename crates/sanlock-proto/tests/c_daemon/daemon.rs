//! The C daemon in a run directory of its own.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command as Process, Stdio};
use std::time::{Duration, Instant};

use sanlock_proto::flags::*;
use sanlock_proto::*;

use crate::common::TempDir;

pub(crate) struct Daemon {
    pub(crate) child: Child,
    dir: TempDir,
}

impl Daemon {
    pub(crate) fn start(name: &str) -> Result<Daemon, String> {
        let program = std::env::var_os("SANLOCK_UPSTREAM")
            .map_or_else(|| PathBuf::from("/usr/sbin/sanlock"), PathBuf::from);
        let dir = TempDir::new(name);
        let child = Process::new(&program)
            .args(["daemon", "-w", "0", "-D", "-h", "0", "-l", "0"])
            .env("SANLOCK_PRIVILEGED", "0")
            .env(RUN_DIR_VARIABLE, dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("no C daemon at {}: {e}", program.display()))?;
        let mut daemon = Daemon { child, dir };
        let begun = Instant::now();
        while daemon.client().version().is_err() {
            if begun.elapsed() > Duration::from_secs(20)
                || daemon.child.try_wait().unwrap().is_some()
            {
                return Err(format!("{} does not run here", program.display()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        if daemon.client().version().unwrap().0 >> 24 != 3 {
            return Err(format!("{} is not a sanlock 3.x", program.display()));
        }
        Ok(daemon)
    }

    pub(crate) fn client(&self) -> Client {
        Client::at(client::socket_in(self.dir.path())).with_timeout(Duration::from_secs(60))
    }

    pub(crate) fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(client::socket_in(self.dir.path())).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        stream
    }

    /// A file for leases.
    pub(crate) fn disk(&self, name: &str, mebibytes: u64) -> Disk {
        let path = self.dir.path().join(name);
        if !path.exists() {
            std::fs::File::create(&path)
                .unwrap()
                .set_len(mebibytes << 20)
                .unwrap();
        }
        Disk {
            path: DiskPath::from_bytes(path.to_str().unwrap().as_bytes()).unwrap(),
            offset: 0,
        }
    }

    pub(crate) fn lockspace(&self) -> Lockspace {
        Lockspace {
            name: "space".parse().unwrap(),
            host_id: 1,
            flags: LockspaceFlags::NONE,
            disk: self.disk("space", 1),
        }
    }

    pub(crate) fn resource(&self, at: u64) -> Resource {
        Resource {
            lockspace: "space".parse().unwrap(),
            name: format!("res{at}").parse().unwrap(),
            disks: vec![Disk {
                offset: at << 20,
                ..self.disk("resources", 8)
            }],
            ..Resource::default()
        }
    }

    /// Not before the first renewals.
    pub(crate) fn wait_until_hosts_are_known(&self) {
        let begun = Instant::now();
        while self.client().get_hosts(self.lockspace().name, 0).is_err()
            || self
                .client()
                .renewal(self.lockspace().name)
                .unwrap()
                .is_empty()
        {
            assert!(begun.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Formats and joins the lockspace with an io timeout of one second, and formats four leases.
    pub(crate) fn prepare(&self) {
        let client = self.client();
        let lockspace = self.lockspace();
        assert_eq!(
            client
                .write_lockspace(&lockspace, 0, WriteFlags::NONE, 1)
                .unwrap(),
            0
        );
        assert_eq!(
            client.add_lockspace(&lockspace, AddFlags::NONE, 1).unwrap(),
            0
        );
        for at in 0..4 {
            let resource = self.resource(at);
            assert_eq!(
                client
                    .write_resource(&resource, 0, 0, WriteFlags::NONE)
                    .unwrap(),
                0
            );
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
