//! Into the background, and what the parent says.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use daemon::helper::{Helper, Order};
use daemon::limits::{self, Limit};
use daemon::log::{Log, Settings, Threshold};
use daemon::memory::{self, MemoryLock};
use daemon::{Daemonize, Error, Identity, Need, PidFile, Process, make_run_dir, realtime};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{Case, Outcome, skipped};
use crate::{SOON, Scratch, eventually, is_root, role, role_within, stderr, stdout};

pub const CASES: &[Case] = &[
    ("the_parent_returns_when_the_daemon_is_ready", ready),
    ("the_daemon_is_detached", detached),
    ("a_failure_is_told_by_the_parent", failure),
    ("a_daemon_that_dies_is_told_by_the_parent", death),
    ("a_daemon_that_gives_up_silently_is_told_too", silence),
    (
        "a_death_is_noticed_although_there_is_a_helper",
        death_with_helper,
    ),
    ("all_steps_in_their_order", all_steps),
    ("a_process_with_threads_stays_in_the_foreground", threads),
    ("a_notify_service_stays_in_the_foreground", notify_service),
    ("the_service_manager_is_told", told),
];

pub fn play(role: &str, directory: &Path) {
    match role {
        "ready" => {
            let mut ready = Daemonize::Background.start().unwrap();
            std::thread::sleep(Duration::from_millis(300));
            std::fs::write(directory.join("pid.new"), std::process::id().to_string()).unwrap();
            std::fs::rename(directory.join("pid.new"), directory.join("pid")).unwrap();
            ready.notify();
            ready.notify();
            eventually("the end", || !directory.exists());
        }
        "fail" => {
            let ready = Daemonize::Background.start().unwrap();
            ready.fail(&"there is no disk", 3)
        }
        "fail-in-foreground" => {
            let ready = Daemonize::Foreground.start().unwrap();
            ready.fail(&"there is no disk", 3)
        }
        "exit" => {
            let _ready = Daemonize::Background.start().unwrap();
            std::process::exit(7)
        }
        "abort" => {
            let _ready = Daemonize::Background.start().unwrap();
            std::process::abort()
        }
        "abort-with-helper" => {
            let _ready = Daemonize::Background.start().unwrap();
            let helper = Helper::spawn(false).unwrap();
            eventually("the helper", || helper.read_report().unwrap().is_some());
            // Were the helper to keep the parent's pipe open, the parent would wait for its end.
            kill(Pid::from_raw(helper.pid()), Signal::SIGSTOP).unwrap();
            std::fs::write(directory.join("helper"), helper.pid().to_string()).unwrap();
            std::process::abort()
        }
        "all-steps" => all_steps_here(directory),
        "silence" => {
            drop(Daemonize::Background.start().unwrap());
            eventually("the end", || !directory.exists());
        }
        "choose" => println!("{:?}", Daemonize::choose(false)),
        "debug" => println!("{:?}", Daemonize::choose(true)),
        "notify" => {
            let mut ready = Daemonize::Foreground.start().unwrap();
            assert!(ready.is_listened_to());
            ready.status("starting");
            ready.extend_timeout(Duration::from_secs(1));
            ready.notify();
            ready.stopping();
        }
        _ => panic!("{role}"),
    }
}

fn ready() -> Outcome {
    let directory = Scratch::new();
    let output = role("background/ready", &directory).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    // It is there already, because the parent has waited for it.
    assert!(directory.join("pid").exists());
    Outcome::Passed
}

fn detached() -> Outcome {
    let directory = Scratch::new();
    assert!(
        role("background/ready", &directory)
            .status()
            .unwrap()
            .success()
    );
    let pid = std::fs::read_to_string(directory.join("pid")).unwrap();
    let proc = Path::new("/proc").join(&pid);
    assert_eq!(proc.join("cwd").read_link().unwrap(), Path::new("/"));
    for fd in 0..3 {
        let target = proc.join(format!("fd/{fd}")).read_link().unwrap();
        assert_eq!(target, Path::new("/dev/null"));
    }
    // Its own session, without a terminal: fields 6 and 7.
    let stat = std::fs::read_to_string(proc.join("stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    assert_eq!((fields[3], fields[4]), (pid.as_str(), "0"), "{stat}");
    Outcome::Passed
}

fn failure() -> Outcome {
    let directory = Scratch::new();
    for failing in ["background/fail", "background/fail-in-foreground"] {
        let output = role(failing, &directory).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{failing}");
        assert_eq!(stderr(&output), "there is no disk", "{failing}");
    }
    Outcome::Passed
}

fn death() -> Outcome {
    let directory = Scratch::new();
    let output = role("background/exit", &directory).output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(
        stderr(&output),
        "the daemon ended with status 7 before it was ready"
    );
    let output = role("background/abort", &directory).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stderr(&output),
        "SIGABRT ended the daemon before it was ready"
    );
    Outcome::Passed
}

fn death_with_helper() -> Outcome {
    let directory = Scratch::new();
    let within = ["timeout", "20"];
    let output = role_within(&within, "background/abort-with-helper", &directory)
        .output()
        .unwrap();
    let helper = std::fs::read_to_string(directory.join("helper")).unwrap();
    kill(Pid::from_raw(helper.parse().unwrap()), Signal::SIGKILL).unwrap();
    assert_eq!(
        stderr(&output),
        "SIGABRT ended the daemon before it was ready"
    );
    Outcome::Passed
}

/// What a daemon's `main` does, as far as this crate has a part in it.
fn all_steps_here(directory: &Path) {
    let mut ready = Daemonize::Background.start().unwrap();
    for limit in [
        Limit::LockedMemory,
        Limit::RealtimePriority,
        Limit::CoreSize,
    ] {
        let _ = limits::raise(limit, Need::Wished).unwrap();
    }
    let helper = Helper::spawn(false).unwrap();
    let identity = match is_root() {
        true => Identity::resolve(Some("nobody"), Some("nogroup")).0,
        false => Identity::root(),
    };
    let log = Log::start(Settings {
        file: Some(directory.join("log")),
        syslog_threshold: Threshold::NOTHING,
        ..Settings::sanlock()
    })
    .unwrap();
    identity.take_groups().unwrap();
    make_run_dir(&directory.join("run"), 0o775, None).unwrap();
    let _pid_file = PidFile::acquire(&directory.join("run"), "sanlock.pid").unwrap();
    identity.switch().unwrap();
    for outcome in [
        memory::lock(MemoryLock::Current, Need::Wished).unwrap(),
        realtime::raise_this_thread(Need::Wished).unwrap(),
    ] {
        if let Some(sentence) = outcome.warning() {
            tracing::warn!("{sentence}");
        }
    }
    // The helper still may what the daemon no longer may.
    assert!(!is_root());
    let victim = std::fs::read_to_string(directory.join("victim")).unwrap();
    let victim = Process::open(victim.parse().unwrap()).unwrap();
    let order = Order::kill(victim.pid(), Signal::SIGKILL, victim.start_time()).unwrap();
    helper.send(&order).unwrap();
    tracing::warn!(space = 1, "up");
    assert!(log.flush(SOON));
    ready.notify();
}

fn all_steps() -> Outcome {
    if !is_root() {
        return skipped("only root can change its user");
    }
    let directory = Scratch::new();
    // The daemon's user looks into it.
    std::fs::set_permissions(&*directory, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut victim = Command::new("sleep")
        .arg("600")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::fs::write(directory.join("victim"), victim.id().to_string()).unwrap();
    let output = role("background/all-steps", &directory).output().unwrap();
    let log = std::fs::read_to_string(directory.join("log")).unwrap_or_default();
    assert!(output.status.success(), "{}\n{log}", stderr(&output));
    assert!(log.trim_end().ends_with("]: s1 up"), "{log}");
    let mut ended = None;
    eventually("the end of the victim", || {
        ended = victim.try_wait().unwrap();
        ended.is_some()
    });
    assert_eq!(ended.unwrap().signal(), Some(libc::SIGKILL));
    Outcome::Passed
}

fn silence() -> Outcome {
    let directory = Scratch::new();
    let output = role("background/silence", &directory).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), "the daemon did not say that it is ready");
    Outcome::Passed
}

fn threads() -> Outcome {
    let (_keep, wait) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || wait.recv());
    let error = Daemonize::Background.start().unwrap_err();
    assert!(
        matches!(error, Error::Threads { threads: 2, .. }),
        "{error}"
    );
    Outcome::Passed
}

fn notify_service() -> Outcome {
    let directory = Scratch::new();
    let chosen = |socket: bool, role_name: &str, exec_pid: Option<&str>| {
        let mut command = role(role_name, &directory);
        command
            .env_remove("NOTIFY_SOCKET")
            .env_remove("SYSTEMD_EXEC_PID");
        if socket {
            command.env("NOTIFY_SOCKET", "/nonexistent");
        }
        if let Some(pid) = exec_pid {
            command.env("SYSTEMD_EXEC_PID", pid);
        }
        stdout(&command.output().unwrap())
    };
    assert_eq!(chosen(false, "background/choose", None), "Background");
    assert_eq!(chosen(false, "background/debug", None), "Foreground");
    // Within a service, but not what the service manager has started.
    assert_eq!(chosen(true, "background/choose", Some("1")), "Background");
    // A shell that execs keeps its pid, so it can name it.
    let program = std::env::current_exe().unwrap();
    let output = std::process::Command::new("sh")
        .args(["-c", "SYSTEMD_EXEC_PID=$$ exec \"$0\""])
        .arg(program)
        .env("NOTIFY_SOCKET", "/nonexistent")
        .env(crate::ROLE, "background/choose")
        .env(crate::DIRECTORY, &*directory)
        .output()
        .unwrap();
    assert_eq!(stdout(&output), "Foreground");
    Outcome::Passed
}

fn told() -> Outcome {
    let directory = Scratch::new();
    let path = directory.join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let status = role("background/notify", &directory)
        .env("NOTIFY_SOCKET", &path)
        .status()
        .unwrap();
    assert!(status.success());
    for expected in [
        "STATUS=starting",
        "EXTEND_TIMEOUT_USEC=1000000",
        "READY=1",
        "STOPPING=1",
    ] {
        let mut bytes = [0; 100];
        let length = socket.recv(&mut bytes).unwrap();
        assert_eq!(std::str::from_utf8(&bytes[..length]), Ok(expected));
    }
    Outcome::Passed
}
