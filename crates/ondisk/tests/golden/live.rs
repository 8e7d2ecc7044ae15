//! The installed C program, if there is one.

use crate::fixture::{assert_same, clear_request_padding};
use crate::initial::{lockspace, resource, rindex};
use ondisk::{Geometry, IoTimeout, Leader, Name, RINDEX_LEASE_NAME};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, io, process};

const SANLOCK: &str = "/usr/sbin/sanlock";

/// A file of four areas for `sanlock direct`.
struct Disk {
    path: PathBuf,
    geometry: Geometry,
}

impl Disk {
    fn new(geometry: Geometry) -> Self {
        // Tests of one process run side by side.
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let process = process::id();
        let name = format!("{}-{geometry}-{process}-{number}", env!("CARGO_CRATE_NAME"));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name.replace('/', "-"));
        fs::write(&path, vec![b'x'; 4 * geometry.align.bytes()]).unwrap();
        Self { path, geometry }
    }

    fn location(&self, area: usize) -> String {
        format!(
            "{}:{}",
            self.path.display(),
            area * self.geometry.align.bytes()
        )
    }

    fn direct(&self, action: &str, arguments: &[&str]) {
        let sector = self.geometry.sector.to_string();
        let align = self.geometry.align.to_string();
        let done = Command::new(SANLOCK)
            .args(["direct", action, "-Z", &sector, "-A", &align])
            .args(arguments)
            .output()
            .unwrap();
        assert!(done.status.success(), "{action} {arguments:?}: {done:?}");
    }

    fn area(&self, area: usize) -> Vec<u8> {
        let bytes = fs::read(&self.path).unwrap();
        let len = self.geometry.align.bytes();
        bytes[area * len..(area + 1) * len].to_vec()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether there is a C program to ask; says so if not, even when tests are quiet.
fn c_program() -> bool {
    let there = Path::new(SANLOCK).exists();
    if !there {
        let _ = writeln!(
            io::stderr(),
            "SKIPPED: live comparison, {SANLOCK} is not installed"
        );
    }
    there
}

#[test]
fn the_installed_program_writes_the_same() {
    if !c_program() {
        return;
    }
    let space: Name = "a lockspace of thirty-nine bytes, or so".parse().unwrap();
    let long: Name = "r".repeat(48).parse().unwrap();
    for geometry in Geometry::ALL {
        let disk = Disk::new(geometry);
        disk.direct(
            "init",
            &["-o", "33", "-s", &format!("{space}:0:{}", disk.location(0))],
        );
        disk.direct(
            "init",
            &[
                "-n",
                "3000",
                "-r",
                &format!("{space}:{long}:{}", disk.location(1)),
            ],
        );
        let ours = lockspace(geometry, &space, IoTimeout(33));
        assert_same(&format!("lockspace {geometry}"), &ours, &disk.area(0));
        let mut theirs = disk.area(1);
        clear_request_padding(&mut theirs, geometry.sector);
        let ours = resource(geometry, &space, &long, 3000, None);
        assert_same(&format!("resource {geometry}"), &ours, &theirs);

        disk.direct(
            "init",
            &[
                "-z",
                "1",
                "-r",
                &format!("{space}:{long}:{}", disk.location(1)),
            ],
        );
        let mut theirs = disk.area(1);
        clear_request_padding(&mut theirs, geometry.sector);
        let at = Leader::decode(&theirs).unwrap().record.write_timestamp;
        assert!(!at.is_free());
        let ours = resource(geometry, &space, &long, 0, Some(at));
        assert_same(&format!("cleared {geometry}"), &ours, &theirs);

        disk.direct("format", &["-x", &format!("{space}:{}", disk.location(2))]);
        let ours = rindex(geometry, &space, 2 * geometry.align.bytes() as u64);
        assert_same(&format!("rindex {geometry}"), &ours, &disk.area(2));
        let mut theirs = disk.area(3);
        clear_request_padding(&mut theirs, geometry.sector);
        let ours = resource(
            geometry,
            &space,
            &RINDEX_LEASE_NAME.parse().unwrap(),
            0,
            None,
        );
        assert_same(&format!("rindex lease {geometry}"), &ours, &theirs);
    }
}

#[test]
fn the_installed_program_reads_what_we_write() {
    if !c_program() {
        return;
    }
    for geometry in Geometry::ALL {
        let disk = Disk::new(geometry);
        let (space, name): (Name, Name) = ("ours".parse().unwrap(), "mine".parse().unwrap());
        let mut areas = lockspace(geometry, &space, IoTimeout(33));
        areas.extend(resource(geometry, &space, &name, 0, None));
        fs::write(&disk.path, areas).unwrap();
        disk.direct(
            "read_leader",
            &["-s", &format!("ours:1:{}", disk.location(0))],
        );
        disk.direct(
            "read_leader",
            &["-r", &format!("ours:mine:{}", disk.location(1))],
        );
    }
}
