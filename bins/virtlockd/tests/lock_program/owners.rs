//! What becomes of a process that loses its connection with locks held.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;

use super::client::{Client, NOBODY};
use super::virtlockd::{Daemon, wait_until};
use super::{Lab, Subject};

/// In the environment of this program, when it is to be an owner: socket, file, and what to do.
pub const ORDER: &str = "VIRTLOCKD_TEST_ORDER";

/// Registers as the owner itself, and goes on as ordered. Lives until it is killed.
pub fn obey(order: &str) -> ! {
    let words: Vec<&str> = order.split('\n').collect();
    let [socket, file, deeds] = words.as_slice() else {
        panic!("{order}");
    };
    let mut client = Client::registered(Path::new(socket), std::process::id());
    if deeds.contains("acquire") {
        assert_eq!(client.acquire(("", file), 2), "ok");
    }
    if deeds.contains("restrict") {
        assert_eq!(client.restrict(0), "ok");
    }
    if deeds.contains("close") {
        drop(client);
        println!("ready");
    } else {
        println!("ready");
        std::mem::forget(client);
    }
    loop {
        std::thread::sleep(std::time::Duration::from_secs(60));
    }
}

fn owner(daemon: &Daemon, file: &str, deeds: &str, deaf: bool) -> Child {
    // An ignored signal stays ignored over exec.
    let script = if deaf {
        "trap '' TERM; exec \"$0\""
    } else {
        "exec \"$0\""
    };
    let order = format!("{}\n{file}\n{deeds}", daemon.socket().display());
    let mut child = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .env(ORDER, order)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    child
}

/// Which signal ended it.
fn end(mut child: Child) -> Option<i32> {
    let mut status = None;
    wait_until("the owner ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap().signal()
}

fn is_free(daemon: &Daemon, file: &str) -> bool {
    let mut client = Client::registered(&daemon.socket(), NOBODY);
    let free = client.acquire(("", file), 2) == "ok";
    if free {
        assert_eq!(client.release(("", file)), "ok");
    }
    free
}

pub fn one_that_heeds_the_request_to_end(lab: &Lab) {
    let daemon = lab.daemon("");
    let file = lab.path("image");
    let child = owner(&daemon, &file, "acquire close", false);
    assert_eq!(end(child), Some(Signal::SIGTERM as i32));
    wait_until("the lock is free", || is_free(&daemon, &file));
    assert!(!Path::new(&file).exists());
}

pub fn one_that_does_not(lab: &Lab) {
    let daemon = lab.daemon("");
    let file = lab.path("image");
    let child = owner(&daemon, &file, "acquire close", true);
    assert_eq!(end(child), Some(Signal::SIGKILL as i32));
    wait_until("the lock is free", || is_free(&daemon, &file));
}

pub fn one_without_locks_is_left_alone(lab: &Lab) {
    let daemon = lab.daemon("");
    let file = lab.path("image");
    let mut child = owner(&daemon, &file, "close", false);
    assert!(is_free(&daemon, &file));
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
}

pub fn another_connection_frees_nothing(lab: &Lab) {
    let daemon = lab.daemon("");
    let file = lab.path("image");
    let mut child = owner(&daemon, &file, "restrict", false);
    let pid = child.id();
    // As libvirtd does when the guest's processors start.
    let mut other = Client::registered(&daemon.socket(), pid);
    assert_eq!(other.acquire(("", &file), 2), "ok");
    drop(other);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(!is_free(&daemon, &file));
    assert!(child.try_wait().unwrap().is_none());
    // Its own connection's end does.
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the lock is free", || is_free(&daemon, &file));
}

pub fn the_daemons_end(lab: &Lab) {
    let mut daemon = lab.daemon("");
    let mut child = owner(&daemon, &lab.path("image"), "acquire restrict", false);
    let mut idle = owner(&daemon, &lab.path("other"), "restrict", false);
    if lab.subject == Subject::Ours {
        // The C daemon ends at once, and its locks with it.
        daemon.signal(Signal::SIGHUP);
        daemon.signal(Signal::SIGUSR1);
        assert!(!is_free(&daemon, &lab.path("image")));
    }
    // One that comes while it executes itself anew is of no effect.
    wait_until("the owner ends", || {
        daemon.signal(Signal::SIGTERM);
        std::thread::sleep(std::time::Duration::from_millis(100));
        child.try_wait().unwrap().is_some()
    });
    assert_eq!(end(child), Some(Signal::SIGTERM as i32));
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(idle.try_wait().unwrap().is_none());
    idle.kill().unwrap();
    idle.wait().unwrap();
}
