//! The process that kills.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use daemon::helper::{Ended, Helper, Order, Report, SendError};
use daemon::{Error, Process, ProcessState};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{Case, Outcome, skipped};
use crate::{SOON, Scratch, eventually, is_root, status_line};

pub const CASES: &[Case] = &[
    ("it_is_named_and_has_nothing_of_the_daemons", itself),
    ("it_runs_a_program_with_its_arguments", program),
    ("a_program_runs_like_from_a_shell", program_signals),
    ("a_program_that_cannot_be_run_is_reported", no_program),
    ("it_kills_a_process", kills),
    ("it_kills_no_later_process_with_the_pid", later_process),
    ("a_program_that_hangs_holds_nobody_up", hanging_program),
    ("a_full_pipe_is_told_and_never_waits", full),
    ("it_outlives_signals_that_ask_to_end", signals),
    ("its_end_is_noticed", gone),
    ("it_ends_with_the_daemon_and_does_what_it_was_told", end),
    ("a_device_that_is_not_there_is_reported", no_device),
    ("a_process_with_threads_starts_none", threads),
];

/// The next report that is not [`Report::Alive`].
fn report(helper: &Helper) -> Report {
    let deadline = Instant::now() + SOON;
    loop {
        assert!(Instant::now() < deadline, "no report in time");
        match helper.read_report().unwrap() {
            Some(Report::Alive) => {}
            Some(report) => return report,
            None => {
                let mut fds = [PollFd::new(helper.reports(), PollFlags::POLLIN)];
                poll(&mut fds, PollTimeout::from(1000_u16)).unwrap();
            }
        }
    }
}

fn sleeper() -> (Child, i32) {
    // Without our output: a case that fails leaves it behind, and its output must end all the same.
    let child = Command::new("sleep")
        .arg("600")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    (child, pid)
}

/// How a child ended that is about to be killed.
fn end_of(child: &mut Child) -> Option<i32> {
    let mut status = None;
    eventually("the end of a child", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap().signal()
}

fn script(directory: &Path, text: &str) -> PathBuf {
    let path = directory.join("program");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn run(path: &Path, arguments: &str, pid: Option<i32>) -> Order {
    let path = path.to_str().unwrap().as_bytes();
    Order::run_program(path, arguments.as_bytes(), pid).unwrap()
}

fn itself() -> Outcome {
    let directory = Scratch::new();
    // Something that the daemon has open and the helper must not keep.
    let _open = std::fs::File::create(directory.join("open")).unwrap();
    let helper = Helper::spawn(false).unwrap();
    eventually("the first report", || {
        helper.read_report().unwrap() == Some(Report::Alive)
    });
    let state = ProcessState::read(helper.pid()).unwrap();
    assert_eq!(state.name, "sanlock-helper");
    if is_root() {
        assert_eq!(status_line(helper.pid(), "Groups:"), "");
    }
    let fds = std::fs::read_dir(format!("/proc/{}/fd", helper.pid())).unwrap();
    assert_eq!(fds.count(), 5, "the standard streams and two pipes");
    assert_eq!(helper.ended(), None);
    Outcome::Passed
}

fn program() -> Outcome {
    let directory = Scratch::new();
    let helper = Helper::spawn(false).unwrap();
    let out = directory.join("out");
    let program = script(
        &directory,
        &format!("printf '[%s]' \"$@\" > {}\nexit 3", out.display()),
    );
    helper
        .send(&run(&program, "-x a\\ b  c\\\\d", Some(4711)))
        .unwrap();
    let Report::ProgramEnded { pid, how } = report(&helper) else {
        panic!("another report")
    };
    assert!(pid > 0);
    assert_eq!(how, Ended::Exited(3));
    let said = std::fs::read_to_string(&out).unwrap();
    assert_eq!(said, "[-x][a b][c\\d][4711]");
    Outcome::Passed
}

/// The signals in a line of a process's status.
fn set_of(line: &str) -> u64 {
    u64::from_str_radix(line.split_once('\t').unwrap().1, 16).unwrap()
}

fn program_signals() -> Outcome {
    let directory = Scratch::new();
    let helper = Helper::spawn(false).unwrap();
    let out = directory.join("out");
    let program = script(
        &directory,
        &format!(
            "grep -E 'Sig(Blk|Ign)' /proc/self/status > {out}; ls /proc/self/fd >> {out}; kill -KILL $$",
            out = out.display()
        ),
    );
    helper.send(&run(&program, "", None)).unwrap();
    assert!(matches!(
        report(&helper),
        Report::ProgramEnded {
            how: Ended::Killed(libc::SIGKILL),
            ..
        }
    ));
    let said = std::fs::read_to_string(&out).unwrap();
    // What whoever started all this ignores, as a shell does for what it starts in the background, stays ignored. The C
    // library's own two signals are beyond the ordinary ones.
    let inherited = std::fs::read_to_string("/proc/self/status").unwrap();
    let inherited = inherited.lines().find(|line| line.starts_with("SigIgn"));
    let inherited = set_of(inherited.unwrap());
    for line in said.lines().filter(|line| line.starts_with("Sig")) {
        assert_eq!(set_of(line) & !inherited & 0x7fff_ffff, 0, "{said}");
    }
    // Standard streams, and the directory that ls reads.
    assert_eq!(said.lines().count() - 2, 4, "{said}");
    Outcome::Passed
}

fn no_program() -> Outcome {
    let helper = Helper::spawn(false).unwrap();
    helper
        .send(&run(Path::new("/nonexistent/program"), "", None))
        .unwrap();
    assert!(matches!(
        report(&helper),
        Report::ProgramEnded {
            how: Ended::Exited(127),
            ..
        }
    ));
    Outcome::Passed
}

fn kills() -> Outcome {
    let helper = Helper::spawn(false).unwrap();
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let (mut child, pid) = sleeper();
        let start_time = Process::open(pid).unwrap().start_time();
        assert!(start_time.is_some());
        helper
            .send(&Order::kill(pid, signal, start_time).unwrap())
            .unwrap();
        assert_eq!(end_of(&mut child), Some(signal as i32));
        helper
            .send(&Order::kill(pid, signal, start_time).unwrap())
            .unwrap();
        assert_eq!(
            report(&helper),
            Report::KillFailed {
                pid,
                errno: libc::ESRCH
            }
        );
    }
    Outcome::Passed
}

fn later_process() -> Outcome {
    let helper = Helper::spawn(false).unwrap();
    let (mut child, pid) = sleeper();
    let start_time = Process::open(pid).unwrap().start_time().unwrap();
    let order = Order::kill(pid, Signal::SIGKILL, Some(start_time - 1)).unwrap();
    helper.send(&order).unwrap();
    assert_eq!(
        report(&helper),
        Report::KillFailed {
            pid,
            errno: libc::ESRCH
        }
    );
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    end_of(&mut child);
    Outcome::Passed
}

fn hanging_program() -> Outcome {
    let directory = Scratch::new();
    let helper = Helper::spawn(false).unwrap();
    let started = directory.join("started");
    let program = script(
        &directory,
        &format!("echo $$ > {}; exec sleep 600", started.display()),
    );
    helper.send(&run(&program, "", None)).unwrap();
    let (mut child, pid) = sleeper();
    helper
        .send(&Order::kill(pid, Signal::SIGKILL, None).unwrap())
        .unwrap();
    assert_eq!(end_of(&mut child), Some(libc::SIGKILL));
    eventually("the program", || {
        std::fs::read_to_string(&started).is_ok_and(|text| text.ends_with('\n'))
    });
    let program = std::fs::read_to_string(&started)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    kill(Pid::from_raw(program), Signal::SIGKILL).unwrap();
    assert!(matches!(report(&helper), Report::ProgramEnded { .. }));
    Outcome::Passed
}

fn full() -> Outcome {
    let helper = Helper::spawn(false).unwrap();
    eventually("the first report", || {
        helper.read_report().unwrap().is_some()
    });
    kill(Pid::from_raw(helper.pid()), Signal::SIGSTOP).unwrap();
    let order = Order::kill(i32::MAX, Signal::SIGTERM, None).unwrap();
    let mut sent = 0;
    let refused = loop {
        match helper.send(&order) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, SendError::Full), "{refused}");
    assert!(sent >= 128, "{sent}");
    kill(Pid::from_raw(helper.pid()), Signal::SIGCONT).unwrap();
    // It goes on where it was.
    let (mut child, pid) = sleeper();
    let order = Order::kill(pid, Signal::SIGKILL, None).unwrap();
    eventually("room in the pipe", || helper.send(&order).is_ok());
    assert_eq!(end_of(&mut child), Some(libc::SIGKILL));
    Outcome::Passed
}

fn signals() -> Outcome {
    let helper = Helper::spawn(false).unwrap();
    eventually("the first report", || {
        helper.read_report().unwrap().is_some()
    });
    for signal in daemon::signals::TERMINATION {
        kill(Pid::from_raw(helper.pid()), signal).unwrap();
    }
    let (mut child, pid) = sleeper();
    helper
        .send(&Order::kill(pid, Signal::SIGKILL, None).unwrap())
        .unwrap();
    assert_eq!(end_of(&mut child), Some(libc::SIGKILL));
    assert_eq!(helper.ended(), None);
    Outcome::Passed
}

fn gone() -> Outcome {
    let helper = Helper::spawn(false).unwrap();
    kill(Pid::from_raw(helper.pid()), Signal::SIGKILL).unwrap();
    let mut how = None;
    eventually("its end", || {
        how = helper.ended();
        how.is_some()
    });
    assert_eq!(how, Some(Ended::Killed(libc::SIGKILL)));
    assert_eq!(how.unwrap().to_string(), "term signal 9");
    let order = Order::kill(i32::MAX, Signal::SIGTERM, None).unwrap();
    assert!(matches!(helper.send(&order), Err(SendError::Gone)));
    let error = loop {
        match helper.read_report() {
            Ok(Some(Report::Alive)) => {}
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    Outcome::Passed
}

fn end() -> Outcome {
    let helper = Helper::spawn(false).unwrap();
    let process = Process::open(helper.pid()).unwrap();
    let children: Vec<(Child, i32)> = (0..20).map(|_| sleeper()).collect();
    for (_, pid) in &children {
        helper
            .send(&Order::kill(*pid, Signal::SIGKILL, None).unwrap())
            .unwrap();
    }
    drop(helper);
    for (mut child, _) in children {
        assert_eq!(end_of(&mut child), Some(libc::SIGKILL));
    }
    eventually("its end", || !process.is_alive());
    Outcome::Passed
}

fn no_device() -> Outcome {
    if !Path::new("/sys/dev/block").exists() {
        return skipped("no /sys");
    }
    let helper = Helper::spawn(false).unwrap();
    helper
        .send(&Order::set_max_sectors_kb(9999, 1, 1024).unwrap())
        .unwrap();
    assert_eq!(
        report(&helper),
        Report::SettingFailed {
            errno: libc::ENOENT
        }
    );
    Outcome::Passed
}

fn threads() -> Outcome {
    let (_keep, wait) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || wait.recv());
    assert!(matches!(Helper::spawn(false), Err(Error::Threads { .. })));
    Outcome::Passed
}
