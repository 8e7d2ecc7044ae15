//! What logind is asked for while locks are held: by the C daemon nothing, by ours what libvirtd asks for its guests.

use std::io::{ErrorKind, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::client::{Client, NOBODY};
use super::virtlockd::{Daemon, wait_until};
use super::{Lab, Subject};

const CONFIG: &str =
    "<busconfig><type>system</type><listen>unix:path=BUS</listen><auth>EXTERNAL</auth>
<servicedir>DIR</servicedir><policy context='default'><allow send_destination='*'/><allow own='*'/>
<allow receive_sender='*'/><allow user='*'/></policy></busconfig>";

const SERVICE: &str = "[D-BUS Service]\nName=org.freedesktop.login1\nExec=/bin/false\nUser=root\n";

/// Requests as they came, each with the end of what was given for it.
type Asked = Arc<Mutex<Vec<(String, UnixStream)>>>;

/// Stands in for logind.
struct Login {
    asked: Asked,
}

#[zbus::interface(name = "org.freedesktop.login1.Manager")]
impl Login {
    fn inhibit(&self, what: &str, who: &str, why: &str, mode: &str) -> zbus::zvariant::OwnedFd {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let words = format!("{what}|{who}|{why}|{mode}");
        self.asked.lock().unwrap().push((words, ours));
        zbus::zvariant::OwnedFd::from(OwnedFd::from(theirs))
    }
}

struct Bus(Child);

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A bus of the test's own with that service on it.
fn bus(lab: &Lab, asked: &Asked) -> (Bus, String) {
    let path = lab.path("bus");
    let config = CONFIG
        .replace("BUS", &path)
        .replace("DIR", &lab.path("services"));
    std::fs::create_dir(lab.path("services")).unwrap();
    std::fs::write(lab.path("services/login1.service"), SERVICE).unwrap();
    std::fs::write(lab.path("bus.conf"), config).unwrap();
    let started = Command::new("dbus-daemon")
        .args(["--nofork", "--nopidfile", "--nosyslog"])
        .arg(format!("--config-file={}", lab.path("bus.conf")))
        .spawn();
    let Ok(started) = started else {
        println!("no dbus-daemon");
        std::process::exit(77);
    };
    let started = Bus(started);
    wait_until("the bus is there", || UnixStream::connect(&path).is_ok());
    let address = format!("unix:path={path}");
    let login = Login {
        asked: Arc::clone(asked),
    };
    let (at, (ready, is_ready)) = (address.clone(), std::sync::mpsc::channel());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let _connection = zbus::connection::Builder::address(at.as_str())
                .unwrap()
                .name("org.freedesktop.login1")
                .unwrap()
                .serve_at("/org/freedesktop/login1", login)
                .unwrap()
                .build()
                .await
                .unwrap();
            ready.send(()).unwrap();
            std::future::pending::<()>().await;
        });
    });
    is_ready.recv_timeout(Duration::from_secs(60)).unwrap();
    (started, address)
}

fn start(lab: &Lab, address: &str) -> Daemon {
    let address = format!("DBUS_SYSTEM_BUS_ADDRESS={address}");
    let program = lab.program.to_str().unwrap();
    Daemon::start(Path::new("env"), &[&address, program, "-f", "/dev/null"])
}

/// Whether the other end of what was given has been closed.
fn is_given_back(asked: &Asked, number: usize) -> bool {
    let asked = asked.lock().unwrap();
    let (_, given) = asked.get(number).unwrap();
    match (&*given).read(&mut [0]) {
        Ok(count) => count == 0,
        Err(failed) => {
            assert_eq!(failed.kind(), ErrorKind::WouldBlock);
            false
        }
    }
}

pub fn while_locks_are_held(lab: &Lab) {
    let asked = Asked::default();
    let (bus, address) = bus(lab, &asked);
    let daemon = start(lab, &address);
    let count = || asked.lock().unwrap().len();
    let mut client = Client::registered(&daemon.socket(), NOBODY);
    let [first, second] = ["first", "second"].map(|name| lab.file(name));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(count(), 0);
    assert_eq!(client.acquire(("", &first), 0), "ok");
    if lab.subject == Subject::C {
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(count(), 0);
        return;
    }
    wait_until("logind is asked", || count() == 1);
    let words = asked.lock().unwrap()[0].0.clone();
    assert_eq!(
        words,
        "shutdown|Libvirt|Virtual machines need to be saved|delay"
    );
    assert_eq!(client.acquire(("", &second), 0), "ok");
    assert_eq!(client.release(("", &first)), "ok");
    // A moment without locks does not count.
    assert_eq!(client.release(("", &second)), "ok");
    assert_eq!(client.acquire(("", &second), 0), "ok");
    std::thread::sleep(Duration::from_millis(1500));
    assert!(!is_given_back(&asked, 0));
    // Nothing is left behind in the daemon but what logind gave.
    let tasks = format!("/proc/{}/task", daemon.pid());
    assert_eq!(std::fs::read_dir(tasks).unwrap().count(), 1);
    assert_eq!(client.release(("", &second)), "ok");
    wait_until("it is given back", || is_given_back(&asked, 0));
    assert_eq!(count(), 1);
    // A bus that hangs holds up nobody.
    let pid = Pid::from_raw(bus.0.id().try_into().unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    for _ in 0..20 {
        assert_eq!(client.acquire(("", &first), 0), "ok");
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(client.release(("", &first)), "ok");
    }
    assert_eq!(client.acquire(("", &first), 0), "ok");
    kill(pid, Signal::SIGCONT).unwrap();
    wait_until("logind is asked again", || count() >= 2);
    // The daemon's end ends it too.
    drop(daemon);
    wait_until("it is given back", || {
        (0..count()).all(|number| is_given_back(&asked, number))
    });
}
