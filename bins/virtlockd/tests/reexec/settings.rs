//! What else goes over: limits, clients' numbers, the time-out, sockets of a service manager, the background.

use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use super::client::{Client, NOBODY};
use super::host::{Host, Lab, runs};
use super::virtlockd::{isolated, wait_until};

fn virt_admin(host: &Host, words: &[&str]) -> String {
    let output = Command::new("nsenter")
        .args(["--mount", "--target", &host.daemon().pid().to_string()])
        .args(["virt-admin", "-c", "virtlockd:///system"])
        .args(words)
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

pub fn limits_and_clients(lab: &Lab) {
    let host = lab.host("max_clients = 30\nadmin_max_clients = 6\n");
    let mut client = Client::registered(&host.socket(), NOBODY);
    assert_eq!(client.acquire(("", &lab.file("image")), 0), "ok");
    let mut restricted = Client::registered(&host.socket(), NOBODY);
    assert_eq!(restricted.restrict(0), "ok");
    let _admin = Client::admin(&host.daemon().admin_socket());
    let set = ["srv-clients-set", "virtlockd", "--max-clients"];
    virt_admin(
        &host,
        &[&set[..], &["20", "--max-unauth-clients", "10"]].concat(),
    );
    // The one that waited for the start may take a moment to be gone.
    let mut known = String::new();
    wait_until("two clients are left", || {
        known = virt_admin(&host, &["srv-clients-list", "virtlockd"]);
        known.matches("unix").count() == 2
    });
    for program in &lab.programs[1..] {
        host.reload(program);
        let limits = virt_admin(&host, &["srv-clients-info", "virtlockd"]);
        for (name, value) in [
            ("nclients_max", 20),
            ("nclients_unauth_max", 10),
            ("nclients", 2),
        ] {
            let line = limits
                .lines()
                .find(|line| line.split_whitespace().next() == Some(name));
            let found = line.and_then(|line| line.split_whitespace().last());
            assert_eq!(found, Some(value.to_string().as_str()), "{name}: {limits}");
        }
        let limits = virt_admin(&host, &["srv-clients-info", "admin"]);
        assert!(
            limits
                .lines()
                .any(|line| line.starts_with("nclients_max") && line.ends_with(" 6"))
        );
        // With their numbers and times.
        let list = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let now = virt_admin(&host, &["srv-clients-list", "virtlockd"]);
        assert_eq!(list(&now), list(&known));
        let refused = restricted.create_space("/x");
        assert!(refused.contains("has been restricted"), "{refused}");
        let refused = client.acquire(("", &lab.path("image")), 0);
        assert!(refused.contains("is locked"), "{refused}");
        // A file that only its user reads, and gone when it has been read.
        assert!(
            !host
                .daemon()
                .inside("/run/virtlockd-restart-exec.json")
                .exists()
        );
    }
}

pub fn the_background(lab: &Lab) {
    let host = lab.prepare(&format!("log_outputs = \"3:file:{}\"\n", lab.path("log")));
    let pid_file = lab.path("pid");
    // Without its directory, as somebody would start it by hand: the daemon goes to /.
    let status = isolated(lab.path("virtlockd"))
        .args(["-d", "-f", &lab.path("conf"), "-p", &pid_file])
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0));
    let pid: u32 = std::fs::read_to_string(&pid_file).unwrap().parse().unwrap();
    let socket = format!("/proc/{pid}/root/run/libvirt/virtlockd-sock");
    let mut client = Client::registered(Path::new(&socket), NOBODY);
    let image = lab.file("image");
    assert_eq!(client.acquire(("", &image), 0), "ok");
    let send = |signal| {
        let pid = nix::unistd::Pid::from_raw(pid.try_into().unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    };
    for program in &lab.programs[1..] {
        let file = host.install(&program.file);
        send(Signal::SIGUSR1);
        wait_until("the next program runs", || {
            runs(pid).is_some_and(|now| now == file)
        });
        assert!(client.acquire(("", &image), 0).contains("is locked"));
        // The same process, which holds its file: nobody else gets it.
        assert_eq!(std::fs::read_to_string(&pid_file).unwrap(), pid.to_string());
        for program in &lab.programs {
            let second = Command::new(&program.file)
                .args(["-f", &lab.path("conf"), "-p", &pid_file])
                .output()
                .unwrap();
            assert_eq!(second.status.code(), Some(1), "{second:?}");
        }
    }
    assert_eq!(client.release(("", &image)), "ok");
    drop(client);
    send(Signal::SIGTERM);
    wait_until("the daemon ends", || runs(pid).is_none());
    assert!(!Path::new(&pid_file).exists());
}

const ACTIVATE: &str = "
import os, socket, sys
program, conf, pid, *sockets = sys.argv[1:]
for fd, path in enumerate(sockets, 3):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.bind(path)
    s.listen()
    os.dup2(s.fileno(), fd + 40)
for fd in range(3, 3 + len(sockets)):
    os.dup2(fd + 40, fd)
    os.close(fd + 40)
    os.set_inheritable(fd, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='2', LISTEN_FDNAMES='virtlockd.socket:virtlockd-admin.socket')
os.execv(program, [program, '-f', conf, '-p', pid])
";

pub fn sockets_of_a_service_manager(lab: &Lab) {
    let host = lab.prepare("");
    let (main, admin) = (lab.path("main"), lab.path("admin"));
    let mut child = isolated("python3")
        .args(["-c", ACTIVATE])
        .args([lab.path("virtlockd"), lab.path("conf"), lab.path("pid")])
        .args([&main, &admin])
        .spawn()
        .unwrap();
    wait_until("the sockets are there", || Path::new(&admin).exists());
    let first = lab.path("program-0");
    wait_until("it runs", || {
        runs(child.id()).is_some_and(|now| now == Path::new(&first))
    });
    let mut client = Client::registered(Path::new(&main), NOBODY);
    let image = lab.file("image");
    assert_eq!(client.acquire(("", &image), 0), "ok");
    for program in &lab.programs[1..] {
        let file = host.install(&program.file);
        let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
        nix::sys::signal::kill(pid, Signal::SIGUSR1).unwrap();
        wait_until("the next program runs", || {
            runs(child.id()).is_some_and(|now| now == file)
        });
        // By the old connection, and by a new one.
        assert!(client.acquire(("", &image), 0).contains("is locked"));
        let mut new = Client::registered(Path::new(&main), NOBODY);
        assert!(new.acquire(("", &image), 0).contains("is locked"));
        let mut new = Client::new(Path::new(&admin));
        assert!(new.restrict(0).contains("Cannot find program"));
    }
    // They are the service manager's: not removed.
    drop(client);
    let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
    nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
    child.wait().unwrap();
    assert!(Path::new(&main).exists() && Path::new(&admin).exists());
}
