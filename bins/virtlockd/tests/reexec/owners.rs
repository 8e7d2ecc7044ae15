//! Processes that hold locks for themselves, as guests do.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;

use super::client::{Client, NOBODY};
use super::host::{Host, Lab};
use super::virtlockd::wait_until;
use super::watchers::{Deed, Watcher};

const ORDER: &str = "VIRTLOCKD_TEST_OWNER";

/// How many: more in the environment, for a measurement.
const OWNERS: &str = "VIRTLOCKD_TEST_OWNERS";

/// Is an owner, if this process was started as one: registers itself, acquires a file's lock, and says of each line
/// what came of it. Ignores SIGTERM if its parent did.
pub fn obey() {
    let Ok(order) = std::env::var(ORDER) else {
        return;
    };
    let (socket, file) = order.split_once('\n').unwrap();
    // As the daemon numbers it, which may be in another process namespace.
    let pid = std::fs::read_link("/proc/self").unwrap();
    let pid = pid.to_str().unwrap().parse().unwrap();
    let mut client = Client::registered(Path::new(socket), pid);
    assert_eq!(client.acquire(("", file), 0), "ok");
    println!("ready");
    for line in std::io::stdin().lines() {
        match line.unwrap().as_str() {
            "call" => {
                let own = format!("{file}-own");
                let said = [
                    client.acquire(("", file), 0),
                    client.acquire(("", &own), 2),
                    client.release(("", &own)),
                ];
                println!("{} {} {}", said[0].contains("is locked"), said[1], said[2]);
            }
            "pid" => println!("{pid}"),
            _ => {
                // As a guest that goes on without its locks.
                client.stream.shutdown(std::net::Shutdown::Both).unwrap();
                println!("closed");
            }
        }
    }
    std::process::exit(0);
}

pub struct Owner {
    pub child: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Owner {
    pub fn start(host: &Host, file: &str, deaf: bool) -> Self {
        // An ignored signal stays ignored.
        let script = match deaf {
            true => "trap '' TERM; exec \"$0\"",
            false => "exec \"$0\"",
        };
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Self::run(command, host, file)
    }

    /// By a command to which a program can be added.
    fn run(mut command: Command, host: &Host, file: &str) -> Self {
        let mut child = command
            .arg(std::env::current_exe().unwrap())
            .env(ORDER, format!("{}\n{file}", host.socket().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut owner = Self { child, said };
        assert_eq!(owner.line(), "ready");
        owner
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    pub fn says(&mut self, order: &str) -> String {
        writeln!(self.child.stdin.as_mut().unwrap(), "{order}").unwrap();
        self.line()
    }

    /// Which signal ended it.
    pub fn end(&mut self) -> Option<i32> {
        let mut status = None;
        wait_until("the owner ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().signal()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn guests(lab: &Lab) {
    let host = lab.host("");
    let count = std::env::var(OWNERS).map_or(12, |text| text.parse().unwrap());
    let files: Vec<String> = (0..count)
        .map(|number| lab.file(&format!("disk-{number}")))
        .collect();
    let mut owners: Vec<Owner> = files
        .iter()
        .map(|file| Owner::start(&host, file, false))
        .collect();
    let pid = host.daemon().pid();
    let watchers = [Deed::Look, Deed::Try].map(|deed| Watcher::start(deed, &files, pid));
    let mut before = lab.programs[0].name;
    for program in &lab.programs[1..] {
        let took = host.reload(program);
        for owner in &mut owners {
            assert_eq!(owner.says("call"), "true ok ok");
        }
        println!(
            "measured: {before} to {}: {count} owners; executed after {} ms",
            program.name,
            took.as_millis()
        );
        before = program.name;
    }
    for watcher in watchers {
        let (times, found) = watcher.stop();
        assert!(times > 0);
        assert_eq!(found.trim(), "");
    }
    let is_free = |file: &str| {
        let mut client = Client::registered(&host.socket(), NOBODY);
        let free = client.acquire(("", file), 0) == "ok";
        if free {
            assert_eq!(client.release(("", file)), "ok");
        }
        free
    };
    // The program that is there now knows whose locks they are, and ends an owner that goes on without.
    owners[0].child.kill().unwrap();
    assert_eq!(owners[0].end(), Some(Signal::SIGKILL as i32));
    wait_until("the lock is free", || is_free(&files[0]));
    assert_eq!(owners[1].says("close"), "closed");
    assert_eq!(owners[1].end(), Some(Signal::SIGTERM as i32));
    wait_until("the lock is free", || is_free(&files[1]));
    assert!(!is_free(&files[2]));
    assert_eq!(owners[2].says("call"), "true ok ok");
}

/// An owner whose end the kernel cannot finish, as with one that waits for its disk: the first process of a namespace
/// in which a process has ended that is the child of one outside, which does not ask for it.
pub fn one_that_does_not_end(lab: &Lab) {
    let host = lab.host("");
    let file = lab.file("disk");
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--"]);
    let mut owner = Owner::run(command, &host, &file);
    let pid = owner.says("pid");
    let mut parent = Command::new("nsenter")
        .args(["--pid", "--no-fork", "--target", &pid, "--", "sh", "-c"])
        .arg("sleep 1000 & echo; exec sleep 1000")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let said = parent.stdout.take().unwrap();
    BufReader::new(said).read_line(&mut line).unwrap();
    let watcher = Watcher::start(Deed::Try, std::slice::from_ref(&file), host.daemon().pid());
    assert_eq!(owner.says("close"), "closed");
    wait_until("it is asked to end", || {
        host.messages().contains("ending it")
    });
    // It is waited for, but not for ever.
    host.reload(&lab.programs[1]);
    let said = format!("process {pid} does not end; its locks stay");
    assert!(host.messages().contains(&said), "{}", host.messages());
    let mut client = Client::registered(&host.socket(), NOBODY);
    assert!(client.acquire(("", &file), 0).contains("is locked"));
    assert!(owner.child.try_wait().unwrap().is_none());
    let (_, found) = watcher.stop();
    assert_eq!(found.trim(), "");
    // Now it can.
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_until("the lock is free", || {
        client.acquire(("", &file), 0) == "ok"
    });
}
