//! One daemon per run directory.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Stdio};

use daemon::{Error, PidFile, make_run_dir};
use nix::unistd::{Gid, Uid, getegid, geteuid};

use crate::harness::{Case, Outcome, skipped};
use crate::{Scratch, Upstream, is_root, role, stderr};

pub const CASES: &[Case] = &[
    ("the_file_holds_the_pid_and_stays", contents),
    ("a_second_daemon_is_told_who_is_first", second),
    ("of_many_exactly_one_wins", race),
    ("the_lock_ends_with_the_process", killed),
    ("the_directory_goes_to_its_owner", owner),
    ("who_may_not_is_told_what", refused),
    ("upstreams_daemon_and_ours_exclude_each_other", upstream),
];

const NAME: &str = "sanlock.pid";

/// As the lease daemon does it.
fn acquire(run_dir: &Path) -> Result<PidFile, Error> {
    make_run_dir(run_dir, 0o775, Some((geteuid(), getegid())))?;
    PidFile::acquire(run_dir, NAME)
}

pub fn play(role: &str, directory: &Path) {
    let held = acquire(&directory.join("run"));
    match role {
        // Says so, and holds it until it is killed or its standard input ends.
        "hold" => {
            let _held = held.unwrap();
            println!("held");
            let _ = std::io::stdin().read_line(&mut String::new());
        }
        "race" => match held {
            Ok(_held) => {
                println!("won");
                let _ = std::io::stdin().read_line(&mut String::new());
            }
            Err(Error::AlreadyRunning { .. }) => println!("lost"),
            Err(error) => panic!("{error}"),
        },
        _ => panic!("{role}"),
    }
}

fn start(role_name: &str, directory: &Path) -> Child {
    role(role_name, directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    let output = child.stdout.as_mut().unwrap();
    BufReader::new(output).read_line(&mut line).unwrap();
    line.trim().to_owned()
}

fn contents() -> Outcome {
    let directory = Scratch::new();
    let run = directory.join("run");
    let held = acquire(&run).unwrap();
    let expected = format!("{}\n", std::process::id());
    assert_eq!(std::fs::read_to_string(held.path()).unwrap(), expected);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&run), mode(held.path())), (0o775, 0o644));
    let path = held.path().to_owned();
    drop(held);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    // Unless it is removed on purpose.
    acquire(&run).unwrap().remove();
    assert!(!path.exists());
    // A longer content of an earlier run is gone.
    std::fs::write(&path, "12345678901234567890\n").unwrap();
    let _held = acquire(&run).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    Outcome::Passed
}

fn second() -> Outcome {
    let directory = Scratch::new();
    let mut holder = start("lock/hold", &directory);
    assert_eq!(first_line(&mut holder), "held");
    let error = acquire(&directory.join("run")).unwrap_err();
    let expected = format!(
        "another daemon is running: {} is locked by process {}",
        directory.join("run/sanlock.pid").display(),
        holder.id()
    );
    assert_eq!(error.to_string(), expected);
    // Its pid is still in the file.
    let pid = std::fs::read_to_string(directory.join("run/sanlock.pid")).unwrap();
    assert_eq!(pid, format!("{}\n", holder.id()));
    drop(holder.stdin.take());
    holder.wait().unwrap();
    Outcome::Passed
}

fn race() -> Outcome {
    let directory = Scratch::new();
    let mut children: Vec<Child> = (0..12).map(|_| start("lock/race", &directory)).collect();
    let results: Vec<String> = children.iter_mut().map(first_line).collect();
    for mut child in children {
        drop(child.stdin.take());
        child.wait().unwrap();
    }
    assert_eq!(
        results.iter().filter(|result| *result == "won").count(),
        1,
        "{results:?}"
    );
    assert_eq!(
        results.iter().filter(|result| *result == "lost").count(),
        11,
        "{results:?}"
    );
    Outcome::Passed
}

fn killed() -> Outcome {
    let directory = Scratch::new();
    let mut holder = start("lock/hold", &directory);
    assert_eq!(first_line(&mut holder), "held");
    holder.kill().unwrap();
    holder.wait().unwrap();
    acquire(&directory.join("run")).unwrap();
    Outcome::Passed
}

fn owner() -> Outcome {
    if !is_root() {
        return skipped("only root can give a directory away");
    }
    let directory = Scratch::new();
    let run = directory.join("run");
    let (uid, gid) = (Uid::from_raw(1234), Gid::from_raw(4321));
    make_run_dir(&run, 0o755, Some((uid, gid))).unwrap();
    let _held = PidFile::acquire(&run, NAME).unwrap();
    let metadata = std::fs::metadata(&run).unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (1234, 4321));
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o755);
    // A directory that exists keeps its mode.
    make_run_dir(&run, 0o700, None).unwrap();
    assert_eq!(
        std::fs::metadata(&run).unwrap().permissions().mode() & 0o7777,
        0o755
    );
    // The file stays root's, as upstream leaves it.
    assert_eq!(std::fs::metadata(run.join(NAME)).unwrap().uid(), 0);
    Outcome::Passed
}

fn refused() -> Outcome {
    let error = acquire(Path::new("/proc/nowhere")).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("make directory /proc/nowhere: "),
        "{error}"
    );
    let error = acquire(Path::new("/dev/null")).unwrap_err();
    assert!(error.to_string().contains("/dev/null"), "{error}");
    Outcome::Passed
}

fn upstream() -> Outcome {
    if !is_root() {
        return skipped("upstream's daemon gives its run directory away, which only root can");
    }
    let directory = Scratch::new();
    let run = directory.join("run");
    let Some(theirs) = Upstream::start(&run) else {
        return skipped("no program of upstream's");
    };
    match acquire(&run).unwrap_err() {
        Error::AlreadyRunning { pid, .. } => {
            assert_eq!(pid, i32::try_from(theirs.child.id()).ok());
        }
        error => panic!("{error}"),
    }
    drop(theirs);
    let ours = acquire(&run).unwrap();
    let output = std::process::Command::new(Upstream::program().unwrap())
        .args(["daemon", "-D", "-w", "0"])
        .env("SANLOCK_PRIVILEGED", "0")
        .env("SANLOCK_RUN_DIR", &run)
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(
        stderr(&output).contains("lockfile setlk error"),
        "{}",
        stderr(&output)
    );
    drop(ours);
    Outcome::Passed
}
