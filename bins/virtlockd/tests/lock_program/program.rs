//! The program: options, files, sockets, its start and its end.

use std::path::Path;
use std::process::{Command, Output};

use nix::sys::signal::Signal;

use super::client::{Client, NOBODY};
use super::virtlockd::{Daemon, isolated, wait_until};
use super::{Lab, Subject};

fn run(lab: &Lab, arguments: &[&str]) -> Output {
    Command::new(&lab.program).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn options(lab: &Lab) {
    for version in ["-V", "--version", "--vers"] {
        let said = run(lab, &[version]);
        let wanted = format!("{} (libvirt) 9.0.0\n", lab.program.display());
        assert_eq!((said.status.code(), text(&said.stdout)), (Some(0), wanted));
    }
    let help = run(lab, &["-h"]);
    assert_eq!(help.status.code(), Some(0));
    let help = text(&help.stderr);
    for part in [
        "-h | --help",
        "-v | --verbose",
        "-d | --daemon",
        "-t | --timeout <secs>",
        "-f | --config <file>",
        "-V | --version",
        "-p | --pid-file <file>",
        "/etc/libvirt/virtlockd.conf",
        "/run/libvirt/virtlockd-sock",
        "/run/virtlockd.pid",
    ] {
        assert!(help.contains(part), "{part}: {help}");
    }
    for wrong in [
        &["-x"][..],
        &["--ver"],
        &["-f"],
        &["-t", "x"],
        &["-t", "-1"],
        &["-t", "2147484"],
    ] {
        let said = run(lab, wrong);
        assert_eq!(said.status.code(), Some(1), "{wrong:?}");
        assert!(!said.stderr.is_empty());
    }
}

pub fn configuration(lab: &Lab) {
    let conf = lab.path("conf");
    for (wrong, about) in [
        ("max_clients = ", "expecting a value"),
        ("a b", "expecting an assignment"),
        ("max_clients = \"x\"", "max_clients"),
        ("log_filters = 1", "log_filters"),
        ("log_filters = \"x\"", "'x'"),
        ("log_outputs = \"9:stderr\"", "9:stderr"),
        ("log_outputs = \"1:tape\"", "tape"),
        ("log_level = 7", "7"),
    ] {
        std::fs::write(&conf, wrong).unwrap();
        let said = run(lab, &["-f", &conf]);
        assert_eq!(said.status.code(), Some(1), "{wrong}");
        assert!(
            text(&said.stderr).contains(about),
            "{wrong}: {}",
            text(&said.stderr)
        );
    }
    let said = run(lab, &["-f", "/nonexistent"]);
    assert_eq!(said.status.code(), Some(1));
    // Every key, and where the log goes.
    let log = lab.path("log");
    let daemon = lab.daemon(&format!(
        "log_level = 3\nlog_filters = \"1:locking 4:object\"\nlog_outputs = \"2:file:{log} 4:stderr\"\n\
         max_clients = 10\nadmin_max_clients = 3\nother = [ \"a\", 1 ]\n"
    ));
    let mut client = Client::registered(&daemon.socket(), NOBODY);
    assert!(
        client
            .acquire(("", "/nonexistent/x"), 0)
            .contains("Unable to open resource")
    );
    wait_until("the error is logged", || {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        let line = log
            .lines()
            .find(|line| line.contains("Unable to open resource /nonexistent/x"));
        line.is_some_and(|line| {
            line.contains(&format!("+0000: {}: error : ", daemon.pid())) && line.starts_with("20")
        })
    });
}

pub fn one_at_a_time(lab: &Lab) {
    let conf = lab.path("conf");
    std::fs::write(&conf, "").unwrap();
    let pid_file = lab.path("pid");
    let arguments = ["-f", &conf, "-p", &pid_file];
    let mut daemon = Daemon::start(&lab.program, &arguments);
    assert_eq!(
        std::fs::read_to_string(&pid_file).unwrap(),
        daemon.pid().to_string()
    );
    // The C program and ours exclude each other too. Each is stopped here by the pid file alone: the sockets are made
    // after it.
    let mut programs = vec![Path::new(env!("CARGO_BIN_EXE_virtlockd")).to_owned()];
    programs.extend(super::virtlockd::original());
    for program in programs {
        let said = Command::new(&program).args(arguments).output().unwrap();
        assert_eq!(said.status.code(), Some(1), "{program:?}");
        let said = text(&said.stderr);
        assert!(
            said.contains(&format!("Failed to acquire pid file '{pid_file}'")),
            "{said}"
        );
    }
    assert!(
        Client::new(&daemon.socket())
            .restrict(0)
            .contains("have not been registered")
    );
    daemon.signal(Signal::SIGINT);
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(!Path::new(&pid_file).exists());
}

pub fn the_end_without_clients(lab: &Lab) {
    let conf = lab.path("conf");
    std::fs::write(&conf, "").unwrap();
    let mut daemon = Daemon::start(&lab.program, &["-f", &conf, "-t", "1"]);
    let client = Client::registered(&daemon.socket(), NOBODY);
    std::thread::sleep(std::time::Duration::from_millis(2500));
    drop(client);
    assert_eq!(daemon.wait().code(), Some(0));
    if lab.subject == Subject::Ours {
        // The C daemon ends, and loses the lock.
        let file = lab.file("image");
        let daemon = Daemon::start(&lab.program, &["-f", &conf, "-t", "1"]);
        let mut client = Client::registered(&daemon.socket(), NOBODY);
        assert_eq!(client.acquire(("", &file), 0), "ok");
        drop(client);
        std::thread::sleep(std::time::Duration::from_millis(2500));
        let mut client = Client::registered(&daemon.socket(), NOBODY);
        assert_eq!(client.release(("", &file)), "ok");
    }
}

const ACTIVATE: &str = "
import os, socket, sys
program, *sockets = sys.argv[1:]
names = []
for fd, word in enumerate(sockets, 3):
    name, path = word.split('=')
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.bind(path)
    s.listen()
    os.dup2(s.fileno(), fd + 40)
    names.append(name)
for fd in range(3, 3 + len(sockets)):
    os.dup2(fd + 40, fd)
    os.close(fd + 40)
    os.set_inheritable(fd, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(sockets)), LISTEN_FDNAMES=':'.join(names))
os.execv(program, [program, '-f', '/dev/null', '-p', os.path.dirname(path) + '/pid'])
";

pub fn sockets_of_a_service_manager(lab: &Lab) {
    let (main, admin) = (lab.path("main"), lab.path("admin"));
    let command = |names: [&str; 2]| {
        let mut command = isolated("python3");
        command.args(["-c", ACTIVATE]).arg(&lab.program);
        command.args([
            format!("{}={main}", names[0]),
            format!("{}={admin}", names[1]),
        ]);
        command
    };
    let mut child = command(["virtlockd.socket", "virtlockd-admin.socket"])
        .spawn()
        .unwrap();
    wait_until("the sockets are there", || Path::new(&admin).exists());
    std::thread::sleep(std::time::Duration::from_millis(100));
    let mut client = Client::registered(Path::new(&main), NOBODY);
    assert!(client.release(("", "/x")).contains("is not locked"));
    // No others were made.
    let made = format!("/proc/{}/root/run/libvirt/virtlockd-sock", child.id());
    assert!(!Path::new(&made).exists());
    child.kill().unwrap();
    child.wait().unwrap();
    for path in [&main, &admin] {
        std::fs::remove_file(path).unwrap();
    }
    let refused = command(["virtlockd.socket", "other.socket"])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(6));
    let said = text(&refused.stderr);
    assert!(
        said.contains("Some activation file descriptors are unclaimed"),
        "{said}"
    );
}

pub fn in_the_background(lab: &Lab) {
    let conf = lab.path("conf");
    std::fs::write(
        &conf,
        format!("log_outputs = \"1:file:{}\"\n", lab.path("log")),
    )
    .unwrap();
    let pid_file = lab.path("pid");
    // The first program ends when the daemon can be talked to, which then lives in a namespace that only it has.
    let status = isolated(&lab.program)
        .args(["-d", "-f", &conf, "-p", &pid_file])
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0));
    let pid = std::fs::read_to_string(&pid_file).unwrap();
    let socket = format!("/proc/{pid}/root/run/libvirt/virtlockd-sock");
    let mut client = Client::registered(Path::new(&socket), NOBODY);
    assert!(client.release(("", "/x")).contains("is not locked"));
    let pid = nix::unistd::Pid::from_raw(pid.parse().unwrap());
    nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
    wait_until("the daemon ends", || !Path::new(&pid_file).exists());
}
