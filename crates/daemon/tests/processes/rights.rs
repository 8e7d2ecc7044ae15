//! With rights and without.

use std::process::Command;

use daemon::limits::{self, Limit};
use daemon::memory::{self, MemoryLock};
use daemon::{Identity, Need, Outcome as Granted, realtime};

use crate::harness::{Case, Outcome, skipped};
use crate::{Scratch, is_root, role_within, stderr, stdout};

pub const CASES: &[Case] = &[
    ("without_rights_wishes_are_warnings", wishes),
    ("without_rights_demands_are_errors", demands),
    ("limits_that_are_away_need_no_right", already),
    ("memory_locked_for_the_future_needs_no_limit", future),
    ("root_raises_limits", root_limits),
    ("one_thread_gets_real_time_priority", priority),
    ("a_thread_has_a_name", name),
    ("the_daemon_becomes_its_user", user),
];

/// Prints one line per thing that was asked for.
pub fn play(role: &str) {
    let need = match role {
        "wishes" => Need::Wished,
        "demands" => Need::Demanded,
        "user" => return become_nobody(),
        "future" => {
            println!(
                "{:?}",
                memory::lock(MemoryLock::CurrentAndFuture, Need::Demanded)
            );
            // Were this memory to be locked as well, it would not be granted.
            let large = vec![1_u8; 64 << 20];
            println!("{}", large.len());
            return;
        }
        _ => panic!("{role}"),
    };
    let say = |result: Result<Granted, daemon::Error>| match result {
        Ok(Granted::Done) => println!("done"),
        Ok(Granted::Without(sentence)) => println!("without: {sentence}"),
        Err(error) => println!("error: {error}"),
    };
    say(limits::raise(Limit::LockedMemory, need));
    say(limits::raise(Limit::RealtimePriority, need));
    say(limits::raise(Limit::CoreSize, need));
    say(memory::lock(MemoryLock::Current, need));
    say(realtime::raise_this_thread(need));
}

/// How to run a program without rights and with tight limits, if that is possible here.
fn powerless() -> Result<Vec<&'static str>, String> {
    const PROGRAM: [&str; 9] = [
        "prlimit",
        "--memlock=65536:65536",
        "--rtprio=0:0",
        "--core=0:0",
        "setpriv",
        "--reuid=65534",
        "--clear-groups",
        "--inh-caps=-all",
        "--bounding-set=-all",
    ];
    let works = Command::new(PROGRAM[0])
        .args(&PROGRAM[1..])
        .arg("true")
        .output()
        .is_ok_and(|output| output.status.success());
    if works {
        Ok(PROGRAM.to_vec())
    } else {
        Err("cannot give up rights here (prlimit, setpriv)".to_owned())
    }
}

fn wishes() -> Outcome {
    let program = match powerless() {
        Ok(program) => program,
        Err(why) => return skipped(why),
    };
    let directory = Scratch::new();
    let output = role_within(&program, "rights/wishes", &directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let said = stdout(&output);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines[..3],
        [
            "without: take away the limit of locked memory (RLIMIT_MEMLOCK): Operation not \
             permitted (os error 1); memory may be paged out under pressure",
            "without: take away the limit of real-time priority (RLIMIT_RTPRIO): Operation not \
             permitted (os error 1); the daemon competes with others for the processor",
            "without: take away the limit of core dumps (RLIMIT_CORE): Operation not permitted \
             (os error 1); a crash may leave no core dump",
        ]
    );
    assert!(
        lines[3].starts_with("without: lock memory (mlockall): "),
        "{said}"
    );
    assert!(
        lines[4].starts_with("without: take real-time priority "),
        "{said}"
    );
    assert_eq!(lines.len(), 5);
    Outcome::Passed
}

fn demands() -> Outcome {
    let program = match powerless() {
        Ok(program) => program,
        Err(why) => return skipped(why),
    };
    let directory = Scratch::new();
    let output = role_within(&program, "rights/demands", &directory)
        .output()
        .unwrap();
    let said = stdout(&output);
    assert_eq!(said.lines().count(), 5, "{said}");
    assert!(
        said.lines().all(|line| line.starts_with("error: ")),
        "{said}"
    );
    Outcome::Passed
}

fn already() -> Outcome {
    let mut program = match powerless() {
        Ok(program) => program,
        Err(why) => return skipped(why),
    };
    // What most hosts start with, so that it takes no right here either.
    program[3] = "--core=unlimited:unlimited";
    let directory = Scratch::new();
    let output = role_within(&program, "rights/demands", &directory)
        .output()
        .unwrap();
    let said = stdout(&output);
    match said.lines().nth(2) {
        Some(core) => assert_eq!(core, "done", "{said}"),
        None => return skipped(format!("core dumps are limited: {}", stderr(&output))),
    }
    Outcome::Passed
}

fn future() -> Outcome {
    let mut program = match powerless() {
        Ok(program) => program,
        Err(why) => return skipped(why),
    };
    // Enough for what is mapped now.
    program[1] = "--memlock=8388608:8388608";
    let directory = Scratch::new();
    let output = role_within(&program, "rights/future", &directory)
        .output()
        .unwrap();
    let said = stdout(&output);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines.last(),
        Some(&"67108864"),
        "{said} {}",
        stderr(&output)
    );
    assert!(
        lines[0].starts_with("Ok(Without(\"locked memory is limited"),
        "{said}"
    );
    Outcome::Passed
}

fn root_limits() -> Outcome {
    let granted = limits::raise(Limit::LockedMemory, Need::Wished).unwrap();
    if let Some(sentence) = granted.warning() {
        return skipped(format!("no right to raise limits: {sentence}"));
    }
    for limit in [
        Limit::LockedMemory,
        Limit::RealtimePriority,
        Limit::CoreSize,
    ] {
        assert_eq!(limits::raise(limit, Need::Demanded).unwrap(), Granted::Done);
    }
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let locked = limits
        .lines()
        .find(|line| line.starts_with("Max locked memory"))
        .unwrap();
    assert_eq!(locked.matches("unlimited").count(), 2, "{locked}");
    Outcome::Passed
}

fn priority() -> Outcome {
    assert!(!realtime::is_this_thread_raised());
    let granted = realtime::raise_this_thread(Need::Wished).unwrap();
    if let Some(sentence) = granted.warning() {
        return skipped(format!("no right to real-time priority: {sentence}"));
    }
    assert!(realtime::is_this_thread_raised());
    // Not inherited: each thread that needs it asks for itself.
    std::thread::spawn(|| {
        assert!(!realtime::is_this_thread_raised());
        assert_eq!(
            realtime::raise_this_thread(Need::Demanded).unwrap(),
            Granted::Done
        );
        assert!(realtime::is_this_thread_raised());
    })
    .join()
    .unwrap();
    Outcome::Passed
}

fn name() -> Outcome {
    let comm = || std::fs::read_to_string("/proc/thread-self/comm").unwrap();
    realtime::name_this_thread("renew-s1");
    assert_eq!(comm(), "renew-s1\n");
    realtime::name_this_thread("a name that is too long");
    assert_eq!(comm(), "a name that is \n");
    realtime::name_this_thread("a\0b");
    assert_eq!(comm(), "a\n");
    Outcome::Passed
}

fn become_nobody() {
    let (identity, warnings) = Identity::resolve(Some("nobody"), Some("nogroup"));
    assert!(warnings.is_empty(), "{warnings:?}");
    // Threads of the daemon change along.
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        wait.recv().unwrap();
        std::fs::read_to_string("/proc/thread-self/status").unwrap()
    });
    identity.take_groups().unwrap();
    identity.switch().unwrap();
    go.send(()).unwrap();
    let status = thread.join().unwrap();
    for line in status.lines() {
        if line.starts_with("Uid:") || line.starts_with("Gid:") || line.starts_with("Groups:") {
            println!("{}", line.replace(['\t', ' '], " ").trim());
        }
    }
    // A process that is not dumpable belongs to root.
    use std::os::unix::fs::MetadataExt;
    println!("{}", std::fs::metadata("/proc/self").unwrap().uid());
    assert!(identity.take_groups().is_err(), "root's rights are gone");
}

fn user() -> Outcome {
    if !is_root() {
        return skipped("only root can change its user");
    }
    let id = |argument| {
        let output = Command::new("id")
            .args([argument, "nobody"])
            .output()
            .unwrap();
        stdout(&output)
    };
    let (uid, gid, groups) = (id("-u"), id("-g"), id("-G"));
    let directory = Scratch::new();
    let output = crate::role("rights/user", &directory).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let expected = format!(
        "Uid: {uid} {uid} {uid} {uid}\nGid: {gid} {gid} {gid} {gid}\nGroups: {groups}\n{uid}"
    );
    assert_eq!(stdout(&output), expected);
    Outcome::Passed
}
