//! Within one process, where the kernel sees no conflict.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::state::{Restored, SpaceState};

const ONE: OwnerPid = OwnerPid(1001);
const TWO: OwnerPid = OwnerPid(1002);
const PLAIN: AcquireFlags = AcquireFlags {
    shared: false,
    autocreate: false,
};
const SHARED: AcquireFlags = AcquireFlags {
    shared: true,
    autocreate: false,
};
const AUTO: AcquireFlags = AcquireFlags {
    shared: false,
    autocreate: true,
};
const SHARED_AUTO: AcquireFlags = AcquireFlags {
    shared: true,
    autocreate: true,
};

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("fcntl-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, "").unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// Whether the kernel has a lock of this process on the file, and of which kind.
///
/// The list is consistent within one read of it, not from read to read: while other tests lock and unlock, entries move
/// up and one is passed over. So it is read in large pieces, and again when nothing is found.
fn in_kernel(path: &Path) -> Option<String> {
    let number = fs::metadata(path).unwrap().ino();
    let pid = std::process::id().to_string();
    (0..5).find_map(|_| {
        let list = locks();
        list.lines().find_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [_, "POSIX", _, kind, owner, file, range @ ..] = words.as_slice() else {
                return None;
            };
            let same = *owner == pid && file.ends_with(&format!(":{number}"));
            same.then(|| format!("{kind} {}", range.join(" ")))
        })
    })
}

fn locks() -> String {
    use std::io::Read as _;
    let mut file = File::open("/proc/locks").unwrap();
    let mut text = Vec::new();
    let mut piece = vec![0; 1 << 16];
    loop {
        match file.read(&mut piece).unwrap() {
            0 => return String::from_utf8(text).unwrap(),
            count => text.extend_from_slice(&piece[..count]),
        }
    }
}

fn text(result: Result<impl Sized, LockError>) -> String {
    result.map_or_else(|error| error.to_string(), |_| "done".to_owned())
}

#[test]
fn the_first_byte_is_locked_as_long_as_it_is_held() {
    let scratch = Scratch::new("byte");
    let file = scratch.file("a");
    let mut table = LockTable::new();
    table.acquire(b"", bytes(&file), ONE, PLAIN).unwrap();
    assert_eq!(in_kernel(&file).as_deref(), Some("WRITE 0 0"));
    let again = text(table.acquire(b"", bytes(&file), ONE, PLAIN));
    assert_eq!(
        again,
        format!("Lockspace resource '{}' is locked", file.display())
    );
    table.release(b"", bytes(&file), ONE).unwrap();
    assert_eq!(in_kernel(&file), None);
    let shared = table.acquire(b"", bytes(&file), ONE, SHARED).unwrap();
    assert_eq!(shared.owners(), [ONE]);
    assert_eq!(in_kernel(&file).as_deref(), Some("READ 0 0"));
}

#[test]
fn owners_of_a_shared_resource_come_and_go() {
    let scratch = Scratch::new("owners");
    let file = scratch.file("a");
    let name = bytes(&file);
    let mut table = LockTable::new();
    for owner in [ONE, TWO, ONE] {
        table.acquire(b"", name, owner, SHARED).unwrap();
    }
    assert!(text(table.acquire(b"", name, TWO, PLAIN)).ends_with("is locked"));
    table.release(b"", name, TWO).unwrap();
    let not_held = "owner 1002 does not hold the resource lock";
    assert_eq!(text(table.release(b"", name, TWO)), not_held);
    assert_eq!((table.held_by(ONE), table.held_by(TWO)), (1, 0));
    assert_eq!(table.release_all(ONE), 1);
    assert_eq!(in_kernel(&file), None);
    let free = format!("Lockspace resource '{}' is not locked", file.display());
    assert_eq!(text(table.release(b"", name, ONE)), free);
}

#[test]
fn a_file_by_two_names_has_one_owner() {
    let scratch = Scratch::new("alias");
    let file = scratch.file("a");
    let (hard, soft) = (scratch.0.join("hard"), scratch.0.join("soft"));
    fs::hard_link(&file, &hard).unwrap();
    symlink(&file, &soft).unwrap();
    let space = bytes(&scratch.0);
    let mut table = LockTable::new();
    table.create_space(space).unwrap();
    table.acquire(b"", bytes(&file), ONE, PLAIN).unwrap();
    for flags in [PLAIN, SHARED, AUTO, SHARED_AUTO] {
        for (space, name) in [
            (&b""[..], bytes(&hard)),
            (b"", bytes(&soft)),
            (space, b"a"),
            (space, b"./hard"),
        ] {
            assert!(table.acquire(space, name, TWO, flags).is_err());
            assert_eq!(in_kernel(&file).as_deref(), Some("WRITE 0 0"));
        }
    }
    assert!(text(table.delete_resource(space, b"a")).ends_with("is locked"));
    // Making a file that is there opens nothing.
    table.create_resource(space, b"a").unwrap();
    assert_eq!(in_kernel(&file).as_deref(), Some("WRITE 0 0"));
}

#[test]
fn the_last_of_two_names_gives_the_lock_up() {
    let scratch = Scratch::new("parked");
    let file = scratch.file("a");
    let hard = scratch.0.join("hard");
    fs::hard_link(&file, &hard).unwrap();
    let mut table = LockTable::new();
    table.acquire(b"", bytes(&file), ONE, SHARED).unwrap();
    table.acquire(b"", bytes(&hard), TWO, SHARED_AUTO).unwrap();
    table.release(b"", bytes(&hard), TWO).unwrap();
    assert_eq!(in_kernel(&file).as_deref(), Some("READ 0 0"));
    assert!(hard.exists());
    table.release(b"", bytes(&file), ONE).unwrap();
    assert_eq!(in_kernel(&file), None);
}

#[test]
fn a_file_is_made_and_removed() {
    let scratch = Scratch::new("auto");
    let space = scratch.0.join("new/space");
    let mut table = LockTable::new();
    table.create_space(bytes(&space)).unwrap();
    table.create_space(bytes(&space)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&space), 0o700);
    let file = space.join("x");
    for flags in [AUTO, SHARED_AUTO] {
        table.acquire(bytes(&space), b"x", ONE, flags).unwrap();
        assert_eq!(mode(&file), 0o600);
        table.release(bytes(&space), b"x", ONE).unwrap();
        assert!(!file.exists());
    }
    // What is at the name now is somebody else's.
    table.acquire(bytes(&space), b"x", ONE, AUTO).unwrap();
    fs::remove_file(&file).unwrap();
    fs::write(&file, "other").unwrap();
    table.release(bytes(&space), b"x", ONE).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "other");
}

#[test]
fn files_of_resources_are_made_and_removed_by_hand() {
    let scratch = Scratch::new("hand");
    let space = bytes(&scratch.0).to_owned();
    let mut table = LockTable::new();
    table.create_space(&space).unwrap();
    table.create_resource(&space, b"x").unwrap();
    table.create_resource(&space, b"x").unwrap();
    table.acquire(&space, b"x", ONE, PLAIN).unwrap();
    assert!(text(table.create_resource(&space, b"x")).ends_with("is locked"));
    assert!(text(table.delete_resource(&space, b"x")).ends_with("is locked"));
    table.release(&space, b"x", ONE).unwrap();
    table.delete_resource(&space, b"x").unwrap();
    table.delete_resource(&space, b"x").unwrap();
    assert!(!scratch.0.join("x").exists());
    let missing = text(table.acquire(&space, b"x", ONE, PLAIN));
    assert!(missing.starts_with("Unable to open resource "), "{missing}");
    let directory = text(table.create_resource(&space, b"."));
    assert!(directory.starts_with("cannot create file "), "{directory}");
    let directory = text(table.acquire(&space, b".", ONE, AUTO));
    assert!(
        directory.starts_with("Unable to open/create resource "),
        "{directory}"
    );
}

#[test]
fn spaces_that_cannot_be() {
    let scratch = Scratch::new("spaces");
    let file = scratch.file("a");
    let mut table = LockTable::new();
    let no_directory = text(table.create_space(bytes(&file)));
    let wanted = format!(
        "Lockspace location {} exists, but is not a directory",
        file.display()
    );
    assert_eq!(no_directory, wanted);
    let below = text(table.create_space(bytes(&file.join("b"))));
    assert!(below.starts_with("Unable to create lockspace "), "{below}");
    let unknown = "Lockspace for path /x does not exist";
    assert_eq!(text(table.acquire(b"/x", b"a", ONE, AUTO)), unknown);
    assert_eq!(text(table.release(b"/x", b"a", ONE)), unknown);
    assert_eq!(text(table.create_resource(b"/x", b"a")), unknown);
    assert_eq!(text(table.delete_resource(b"/x", b"a")), unknown);
}

#[test]
fn locks_as_data_are_those_of_the_c_daemon() {
    let scratch = Scratch::new("state");
    let (file, hard) = (scratch.file("a"), scratch.0.join("hard"));
    fs::hard_link(&file, &hard).unwrap();
    let space = bytes(&scratch.0).to_owned();
    let mut table = LockTable::new();
    table.create_space(&space).unwrap();
    table.acquire(&space, b"x", OwnerPid(-1), AUTO).unwrap();
    for (name, owner) in [(&file, ONE), (&hard, TWO), (&file, TWO)] {
        table.acquire(b"", bytes(name), owner, SHARED).unwrap();
    }
    // Leaves a descriptor that must be kept.
    table.release(b"", bytes(&hard), TWO).unwrap();
    let states = table.hand_over().unwrap();
    let json = serde_json::to_value(&states).unwrap();
    assert_eq!(json[0].get("directory"), None);
    assert_eq!(json[1]["directory"], scratch.0.to_str().unwrap());
    let held = &json[1]["resources"][0];
    assert_eq!(held["name"], "x");
    assert_eq!(held["path"], scratch.0.join("x").to_str().unwrap());
    assert_eq!(held["flags"], 2);
    assert_eq!(held["lockHeld"], true);
    assert_eq!(held["owners"], serde_json::json!([u64::MAX]));
    assert_eq!(
        json[0]["resources"][0]["owners"],
        serde_json::json!([1001, 1002])
    );
    assert_eq!(
        json[0]["resources"][0]["parkedFds"]
            .as_array()
            .unwrap()
            .len(),
        1
    );

    // What the C daemon writes has no more than its own keys.
    let mut theirs = json.clone();
    for space in theirs.as_array_mut().unwrap() {
        for resource in space["resources"].as_array_mut().unwrap() {
            resource.as_object_mut().unwrap().remove("since");
            resource.as_object_mut().unwrap().remove("parkedFds");
        }
    }
    for json in [json, theirs] {
        let states: Vec<SpaceState> = serde_json::from_value(json).unwrap();
        // Another descriptor of the same file stands in for the one that is inherited.
        let mut adopt = |fd: i32| {
            let path = format!("/proc/self/fd/{fd}");
            OpenOptions::new()
                .read(true)
                .write(true)
                .open(path)
                .map(Into::into)
        };
        let Restored {
            table: restored,
            lost,
        } = LockTable::from_state(&states, &mut adopt).unwrap();
        assert!(lost.is_empty());
        assert_eq!(
            (restored.held_by(TWO), restored.held_by(OwnerPid(-1))),
            (1, 1)
        );
        assert!(restored.has_space(&space));
        let found = in_kernel(&scratch.0.join("x"));
        assert_eq!(found.as_deref(), Some("WRITE 0 0"));
        assert_eq!(restored.hand_over().unwrap().len(), 2);
        // Its end would give up the locks that the first still has.
        std::mem::forget(restored);
    }
}

#[test]
fn what_cannot_be_taken_over_stays_open() {
    use nix::fcntl::{FcntlArg, fcntl};
    let scratch = Scratch::new("midway");
    let mut table = LockTable::new();
    for name in ["a", "b", "c"] {
        let file = scratch.file(name);
        table.acquire(b"", bytes(&file), ONE, PLAIN).unwrap();
    }
    let mut states = table.hand_over().unwrap();
    // The first two are adopted, the last one is not there.
    let mut adopted = Vec::new();
    let mut adopt = |fd: i32| {
        if adopted.len() == 2 {
            return Err(io::Error::from_raw_os_error(9));
        }
        let another = File::open(format!("/proc/self/fd/{fd}"))?;
        adopted.push(another.as_raw_fd());
        Ok(another.into())
    };
    let failed = LockTable::from_state(&states, &mut adopt).unwrap_err();
    let said = failed.to_string();
    assert!(said.contains("was not handed over"), "{said}");
    assert_eq!(adopted.len(), 2);
    for fd in adopted {
        let path = format!("/proc/self/fdinfo/{fd}");
        let info = fs::read_to_string(path).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = i32::from_str_radix(flags.unwrap().trim(), 8).unwrap();
        // Nor closed by the next program.
        assert_eq!(flags & libc::O_CLOEXEC, 0, "{info}");
    }
    // Nothing is touched if something is there twice.
    let mut nobody = |_| panic!("adopted");
    let fd = states[0].resources[0].fd;
    states[0].resources[1].fd = fd;
    assert!(LockTable::from_state(&states, &mut nobody).is_err());
    states[0].resources.remove(0);
    states[0].resources[1].parked.push(fd);
    assert!(LockTable::from_state(&states, &mut nobody).is_err());
    states.push(SpaceState {
        directory: None,
        resources: Vec::new(),
    });
    assert!(LockTable::from_state(&states, &mut nobody).is_err());
    assert_eq!(
        fcntl(
            &table.direct.resources.values().next().unwrap().file,
            FcntlArg::F_GETFD
        ),
        Ok(0)
    );
}

#[test]
fn descriptors_outlive_a_change_of_program_only_when_handed_over() {
    use nix::fcntl::{FcntlArg, fcntl};
    let scratch = Scratch::new("cloexec");
    let file = scratch.file("a");
    let mut table = LockTable::new();
    table.acquire(b"", bytes(&file), ONE, PLAIN).unwrap();
    let flags = |table: &LockTable| {
        let (_, _, resource) = table.resources().next().unwrap();
        fcntl(&resource.file, FcntlArg::F_GETFD).unwrap()
    };
    assert_eq!(flags(&table), 1);
    table.hand_over().unwrap();
    assert_eq!(flags(&table), 0);
    table.take_back().unwrap();
    assert_eq!(flags(&table), 1);
}

/// What may be asked for, over few names of few files.
#[derive(Debug, Clone)]
enum Step {
    Acquire(usize, i32, bool),
    Release(usize, i32),
    ReleaseAll(i32),
    Create(usize),
    Delete(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (name, owner) = (0..4_usize, 1..4_i32);
    let step = prop_oneof![
        4 => (name.clone(), owner.clone(), any::<bool>())
            .prop_map(|(name, owner, shared)| Step::Acquire(name, owner, shared)),
        3 => (name.clone(), owner.clone()).prop_map(|(name, owner)| Step::Release(name, owner)),
        1 => owner.prop_map(Step::ReleaseAll),
        1 => name.clone().prop_map(Step::Create),
        1 => name.prop_map(Step::Delete),
    ];
    proptest::collection::vec(step, 0..40)
}

proptest! {
    /// Four names of two files, in two lock spaces: whatever is asked for, the kernel has a lock exactly on what is held,
    /// of the right kind, and an exclusive file has one owner whatever its names.
    #[test]
    fn the_kernel_agrees(steps in steps()) {
        let scratch = Scratch::new("model");
        let (a, b) = (scratch.file("a"), scratch.file("b"));
        fs::hard_link(&a, scratch.0.join("c")).unwrap();
        let space = bytes(&scratch.0).to_owned();
        let names = [
            (vec![], bytes(&a).to_vec()),
            (space.clone(), b"a".to_vec()),
            (space.clone(), b"c".to_vec()),
            (vec![], bytes(&b).to_vec()),
        ];
        // Kept by other links, so that a deleted name does not free an inode for another.
        let mut table = LockTable::new();
        table.create_space(&space).unwrap();
        for step in steps {
            match step {
                Step::Acquire(at, owner, shared) => {
                    let flags = AcquireFlags { shared, autocreate: false };
                    let _ = table.acquire(&names[at].0, &names[at].1, OwnerPid(owner), flags);
                }
                Step::Release(at, owner) => {
                    let _ = table.release(&names[at].0, &names[at].1, OwnerPid(owner));
                }
                Step::ReleaseAll(owner) => {
                    table.release_all(OwnerPid(owner));
                    prop_assert_eq!(table.held_by(OwnerPid(owner)), 0);
                }
                Step::Create(at) => {
                    let _ = table.create_resource(&names[at].0, &names[at].1);
                }
                Step::Delete(at) => {
                    let _ = table.delete_resource(&names[at].0, &names[at].1);
                    for (path, from) in [(&a, &b), (&b, &a)] {
                        if !path.exists() {
                            // A new file at the name.
                            fs::write(path, "").unwrap();
                            prop_assert!(from.exists());
                        }
                    }
                }
            }
            let mut kinds = std::collections::BTreeMap::new();
            for (_, _, held) in table.resources() {
                prop_assert!(!held.owners().is_empty());
                let shared = held.flags().shared;
                prop_assert!(shared || held.owners().len() == 1);
                let number = held.file.metadata().unwrap().ino();
                let before = kinds.insert(number, shared);
                prop_assert!(before.is_none_or(|before| before && shared), "two owners");
            }
            for path in [&a, &b] {
                let number = fs::metadata(path).unwrap().ino();
                let wanted = kinds.get(&number).map(|shared| match shared {
                    true => "READ 0 0",
                    false => "WRITE 0 0",
                });
                let found = in_kernel(path);
                prop_assert_eq!(found.as_deref(), wanted);
            }
        }
    }
}
