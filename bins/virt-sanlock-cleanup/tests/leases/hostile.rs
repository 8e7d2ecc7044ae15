//! What is not a lease that nobody holds.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;

use nix::sys::stat::Mode;
use sanlock_proto::flags::{AcquireFlags, WriteFlags};

use super::harness::Outcome;
use super::hosts::Lab;

fn md5_like(number: u32) -> String {
    format!("{number:032x}")
}

/// Inode, kind and bytes of all that is in a directory.
fn all_in(dir: &Path) -> BTreeMap<Vec<u8>, (u64, u32, Vec<u8>)> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let about = entry.path().symlink_metadata().unwrap();
            let bytes = if about.is_file() {
                fs::read(entry.path()).unwrap()
            } else {
                Vec::new()
            };
            let name = entry.file_name().as_bytes().to_vec();
            (name, (about.ino(), about.mode(), bytes))
        })
        .collect()
}

pub fn what_is_no_lease_is_left_alone() -> Outcome {
    let lab = Lab::new(1);
    let dir = lab.leases();
    let path = |name: &str| dir.join(name);
    let (free, held) = (md5_like(1), md5_like(2));
    for name in [&free, &held] {
        lab.make(1, name).unwrap();
    }
    let mut connection = lab.client(1).register().unwrap();
    connection
        .acquire(AcquireFlags::NONE, &[lab.resource(&held)], None)
        .unwrap();

    // A lease outside, which none of the links may lead to.
    let outside = lab.dir.join("outside");
    fs::copy(path(&free), &outside).unwrap();
    symlink(&outside, path(&md5_like(10))).unwrap();
    symlink(path(&free), path(&md5_like(11))).unwrap();
    symlink("..", path(&md5_like(12))).unwrap();
    symlink("/dev/zero", path(&md5_like(13))).unwrap();
    nix::unistd::mkfifo(&path(&md5_like(14)), Mode::S_IRWXU).unwrap();
    fs::create_dir(path(&md5_like(15))).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(path(&md5_like(16))).unwrap();
    fs::write(path(&md5_like(17)), b"").unwrap();
    fs::write(path(&md5_like(18)), vec![0; 1 << 20]).unwrap();
    fs::write(path(&md5_like(19)), vec![0xff; 4096]).unwrap();
    // Leases, but with other names than their resources.
    fs::copy(path(&free), path(&md5_like(20))).unwrap();
    for name in ["a\nb", "-rf", "*", " ", "$(touch x)", ".hidden"] {
        fs::copy(path(&free), path(name)).unwrap();
    }
    fs::copy(path(&free), dir.join(OsStr::from_bytes(b"\xff\xfe"))).unwrap();
    // With a second name, under which somebody else may use it.
    let twice = md5_like(21);
    lab.make(1, &twice).unwrap();
    fs::hard_link(path(&twice), lab.dir.join("second")).unwrap();
    // Of another lockspace.
    let foreign = md5_like(22);
    fs::write(path(&foreign), vec![0; 1 << 20]).unwrap();
    let mut resource = lab.resource(&foreign);
    resource.lockspace = sanlock_proto::Name::truncated(b"other");
    let client = lab.client(1);
    client
        .write_resource(&resource, 0, 0, WriteFlags::NONE)
        .unwrap();

    let mut before = all_in(&dir);
    let lockspace = before.remove(super::hosts::LOCKSPACE.as_bytes());
    assert!(lockspace.is_some());

    let dry = lab.cleanup(1, &["--dry-run", "--json"]);
    assert!(dry.status.success());
    let told = String::from_utf8(dry.stdout).unwrap();
    for wanted in [
        "\"removed\": 1",
        "\"in_use\": 1",
        "\"dry_run\": true",
        "in use by host 1",
    ] {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
    assert!(path(&free).is_file());

    let output = lab.cleanup(1, &[]);
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    let line = |name: &str, end: &str| {
        format!(
            "Cleanup: __LIBVIRT__DISKS__:{name}:{}/{name}:0 {end}\n",
            dir.display()
        )
    };
    assert!(said.contains(&line(&free, "PASS")), "{said}");
    assert!(said.contains(&line(&held, "FAIL")), "{said}");
    assert_eq!(said.matches("PASS").count(), 1, "{said}");
    let names = before.keys().filter(|name| !name.starts_with(b".")).count();
    assert_eq!(said.lines().count(), names, "{said}");

    before.remove(free.as_bytes());
    let mut after = all_in(&dir);
    after.remove(super::hosts::LOCKSPACE.as_bytes());
    assert!(after == before, "something else was touched");
    assert!(outside.is_file());

    // Made again, it can be taken at once.
    lab.make(1, &free).unwrap();
    connection
        .acquire(AcquireFlags::NONE, &[lab.resource(&free)], None)
        .unwrap();
    let quiet = lab.cleanup(1, &["-q"]);
    assert!(quiet.status.success());
    assert!(
        quiet.stdout.is_empty() && quiet.stderr.is_empty(),
        "{quiet:?}"
    );
    assert!(path(&free).is_file());
    Outcome::Passed
}

pub fn without_a_daemon() -> Outcome {
    let lab = Lab::new(0);
    let name = md5_like(1);
    let nothing = lab.cleanup(1, &[]);
    assert!(nothing.status.success() && nothing.stdout.is_empty());
    // As the original has it, nothing that it cannot remove is a failure.
    let bytes = {
        let other = Lab::new_at("with", 1);
        other.make(1, &name).unwrap();
        fs::read(other.leases().join(&name)).unwrap()
    };
    fs::write(lab.leases().join(&name), bytes).unwrap();
    let output = lab.cleanup(1, &[]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("FAIL\n"));
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    for wanted in ["sanlock.sock", "systemctl start sanlock"] {
        assert!(why.contains(wanted), "{why}");
    }
    fs::remove_dir_all(lab.leases()).unwrap();
    let output = lab.cleanup(1, &[]);
    assert_eq!(output.status.code(), Some(1));
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(why.contains("cannot open the directory of leases"), "{why}");
    Outcome::Passed
}
