//! What the C daemon leaves on disk.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ondisk::{Generation, Geometry, HostId, Timestamp};
use paxos::resource::{Request, request};
use paxos::{
    AcquireOptions, Cancel, Held, Member, NoLiveness, SharedOptions, acquire_exclusive,
    acquire_shared, convert_to_exclusive, convert_to_shared, release,
};

use crate::pair::{Pair, SANLOCK, at_times, run};

/// A running C daemon, in a directory of its own.
struct Daemon {
    process: Child,
    dir: PathBuf,
}

impl Daemon {
    fn start(dir: PathBuf) -> Self {
        std::fs::create_dir_all(&dir).unwrap();
        let process = Command::new(SANLOCK)
            .args(["daemon", "-D", "-w", "0", "-e", "host"])
            .env("SANLOCK_RUN_DIR", &dir)
            .env("SANLOCK_PRIVILEGED", "0")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let daemon = Self { process, dir };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !daemon.dir.join("sanlock.sock").exists() {
            assert!(Instant::now() < deadline, "the C daemon does not start");
            sleep(Duration::from_millis(20));
        }
        daemon
    }

    fn client(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(SANLOCK);
        command
            .arg("client")
            .args(arguments)
            .env("SANLOCK_RUN_DIR", &self.dir);
        command
    }

    fn must(&self, arguments: &[&str]) {
        let output = self.client(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "sanlock client {arguments:?}: {text}"
        );
    }

    /// A process that has acquired the resource, once it says so.
    fn command(&self, resource: &str) -> Holder {
        let marker = self.dir.join("acquired");
        let _ = std::fs::remove_file(&marker);
        let script = format!("touch {} && exec sleep 600", marker.display());
        let child = self
            .client(&["command", "-r", resource, "-c", "/bin/sh", "-c", &script])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let holder = Holder(child);
        let deadline = Instant::now() + Duration::from_secs(60);
        while !marker.exists() {
            assert!(
                Instant::now() < deadline,
                "the C program does not acquire {resource}"
            );
            sleep(Duration::from_millis(20));
        }
        holder
    }
}

/// A process for which the C daemon holds the resource.
struct Holder(Child);

impl Holder {
    fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// One resource on both images, and its area.
struct Resource<'a> {
    pair: &'a Pair,
    offset: u64,
    us: Member,
}

impl Resource<'_> {
    /// The times at which C acquired the lease and wrote the leader.
    fn times(&self) -> [Timestamp; 2] {
        let leader = self.pair.their_leader(self.offset);
        let dblock = self.offset + self.pair.geometry.dblock_offset(self.us.host).unwrap();
        let sector = self.pair.their_sector(dblock);
        let acquired = ondisk::Dblock::decode(&sector).unwrap().record.inp3;
        [acquired, leader.write_timestamp]
    }

    /// C leaves four bytes of a mode block and of a request record as they were in memory, and during a
    /// conversion the rest of our sector.
    fn must_be_alike(&self, what: &str) {
        let pair = self.pair;
        let sector = self.offset + pair.geometry.dblock_offset(self.us.host).unwrap();
        let len = pair.geometry.sector.bytes() as u64;
        let ignored = [
            (0, self.offset),
            (sector + 132, 4),
            (sector + 144, len - 144),
            pair.padding_of_request(self.offset),
            (self.offset + pair.align(), 64 << 20),
        ];
        pair.must_be_alike(what, &ignored);
    }

    fn acquire_exclusive(&self) -> Held {
        let ctx = at_times(&self.times());
        let (lease, options) = (
            self.pair.resource("RES", self.offset),
            AcquireOptions::default(),
        );
        let cancel = Cancel::new();
        let held = acquire_exclusive(&ctx, &lease, self.us, &NoLiveness, &options, &cancel);
        run(held).unwrap()
    }

    /// Afterwards the time of acquisition is in the dblock only.
    fn acquire_shared(&self) -> Held {
        let [acquired, freed] = self.times();
        let ctx = at_times(&[acquired, freed]);
        let (lease, options) = (
            self.pair.resource("RES", self.offset),
            SharedOptions::default(),
        );
        let cancel = Cancel::new();
        let held = acquire_shared(&ctx, &lease, self.us, &NoLiveness, &options, &cancel);
        run(held).unwrap()
    }
}

fn against_the_daemon(geometry: Geometry) {
    let pair = Pair::new("daemon", geometry);
    let offset = pair.align();
    let resource = pair.c_resource("RES", offset);
    let shared = format!("{resource}:SH");
    pair.c(&["init", "-s", &pair.c_lockspace(0)]);
    pair.c(&["init", "-r", &resource]);
    let daemon = Daemon::start(pair.theirs.with_extension("run"));
    daemon.must(&["add_lockspace", "-s", &pair.c_lockspace(1)]);
    let us = Member {
        host: HostId(1),
        generation: Generation(1),
    };
    let ours = Resource {
        pair: &pair,
        offset,
        us,
    };

    pair.same_again();
    let holder = daemon.command(&resource);
    let pid = holder.pid();
    let mut held = ours.acquire_exclusive();
    ours.must_be_alike("acquire");

    daemon.must(&["convert", "-r", &shared, "-p", &pid]);
    let freed = |ours: &Resource<'_>| at_times(&[ours.times()[1]]);
    run(convert_to_shared(&freed(&ours), &mut held)).unwrap();
    ours.must_be_alike("convert to shared");

    daemon.must(&["convert", "-r", &resource, "-p", &pid]);
    let ctx = at_times(&ours.times());
    run(convert_to_exclusive(
        &ctx,
        &mut held,
        &NoLiveness,
        false,
        &Cancel::new(),
    ))
    .unwrap();
    ours.must_be_alike("convert to exclusive");

    let later = Request {
        lver: None,
        next_lver: false,
        force_mode: 1,
    };
    let too_old = run(request(&ctx, &held.lease, later)).unwrap_err();
    assert_eq!(too_old.code(), -272);

    daemon.must(&["release", "-r", &resource, "-p", &pid]);
    run(release(&freed(&ours), &mut held, None)).unwrap();
    ours.must_be_alike("release");
    drop(holder);

    let holder = daemon.command(&shared);
    let pid = holder.pid();
    let mut held = ours.acquire_shared();
    ours.must_be_alike("acquire shared");
    daemon.must(&["release", "-r", &resource, "-p", &pid]);
    run(release(&freed(&ours), &mut held, None)).unwrap();
    ours.must_be_alike("release shared");
    drop(holder);
    drop(daemon);
    pair.remove();
}

#[test]
fn the_c_daemon() {
    if !Path::new(SANLOCK).exists() {
        println!("skipped: the_c_daemon: {SANLOCK} is not installed");
        return;
    }
    std::thread::scope(|scope| {
        for geometry in [Geometry::ALL[0], Geometry::ALL[1], Geometry::ALL[4]] {
            scope.spawn(move || against_the_daemon(geometry));
        }
    });
}
