//! What is left in the process but cannot be taken over, and what only looks as if it had been left.

use std::path::Path;
use std::process::{Child, Command};

use fcntl::Kind;
use fcntl::record_lock;
use nix::sys::signal::Signal;

use super::client::{Client, NOBODY};
use super::host::{Lab, runs};
use super::virtlockd::{isolated, wait_until};

/// Locks a file, opens the daemon's sockets, writes a state that names them, and becomes the daemon. `%` in the state is
/// for what the daemon before would have been told.
const BEFORE: &str = "
import fcntl, json, os, socket, sys
program, conf, image, main, admin, run, kind = sys.argv[1:]
def listen(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.bind(path)
    s.listen()
    os.set_inheritable(s.fileno(), True)
    return s.detach()
lock = os.open(image, os.O_RDWR)
os.set_inheritable(lock, True)
fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)
def server(path):
    sock = dict(fd=listen(path), errfd=-1, pid=0, isClient=False, unlinkUNIX=True)
    service = dict(auth=0, readonly=False, nrequests_client_max=1, socks=[sock])
    return dict(min_workers=0, max_workers=0, priority_workers=0, max_clients=9, max_anonymous_clients=9,
                keepaliveInterval=4294967295, keepaliveCount=0, next_client_id=5, services=[service], clients=[])
held = dict(name=image, path=image, fd=lock, lockHeld=True, flags=0, owners=[0x7ffffffe])
state = json.dumps(dict(daemon=dict(servers=dict(admin=server(admin), virtlockd=server(main))),
                        defaultLockspace=dict(resources=[held]), lockspaces=[], magic=str(os.getpid())))
open(run + '/whole', 'w').write(state)
damage = dict(
    cut=lambda: state[:len(state) // 2],
    foreign=lambda: state.replace('\"magic\": \"', '\"magic\": \"9'),
    missing=lambda: state.replace('\"fd\": %d' % lock, '\"fd\": 399'),
    unknown=lambda: state.replace('\"virtlockd\"', '\"virtlogd\"'),
    none=lambda: '',
)
if kind != 'none':
    open('/run/virtlockd-restart-exec.json', 'w').write(damage[kind]())
os.execv(program, [program, '-f', conf, '-p', run + '/pid'])
";

fn start(lab: &Lab, kind: &str) -> Child {
    let run = lab.path(kind);
    std::fs::create_dir(&run).unwrap();
    let image = lab.file(&format!("{kind}/image"));
    isolated("python3")
        .args(["-c", BEFORE])
        .args([lab.path("virtlockd"), lab.path("conf"), image])
        .args([
            format!("{run}/main"),
            format!("{run}/admin"),
            run,
            kind.to_owned(),
        ])
        .stderr(std::fs::File::create(lab.path(&format!("{kind}/messages"))).unwrap())
        .spawn()
        .unwrap()
}

pub fn locks_that_cannot_be_taken_over(lab: &Lab) {
    let host = lab.prepare("");
    for kind in ["cut", "foreign", "missing", "unknown", "none"] {
        let mut child = start(lab, kind);
        let pid = child.id().try_into().unwrap();
        let send =
            |signal| nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
        let messages = || std::fs::read_to_string(lab.path(&format!("{kind}/messages"))).unwrap();
        wait_until("it is said what is wrong", || {
            messages().contains("cannot be taken over")
        });
        let image = std::fs::File::options()
            .read(true)
            .write(true)
            .open(lab.path(&format!("{kind}/image")))
            .unwrap();
        let is_held = || {
            assert_eq!(
                record_lock::holder(&image, Kind::Exclusive),
                Some(pid),
                "{kind}"
            )
        };
        is_held();
        // Whoever asks for the end does not know what would be lost.
        for signal in [
            Signal::SIGTERM,
            Signal::SIGINT,
            Signal::SIGHUP,
            Signal::SIGQUIT,
        ] {
            send(signal);
        }
        let before = runs(child.id());
        if kind != "unknown" {
            // Another program is not let into what would end it.
            host.install(&lab.programs[1].file);
            let said = messages().len();
            send(Signal::SIGUSR1);
            wait_until("it is said why not", || messages().len() > said);
            assert_eq!(runs(child.id()), before);
            is_held();
        }
        let state = format!("/proc/{pid}/root/run/virtlockd-restart-exec.json");
        std::fs::copy(lab.path(&format!("{kind}/whole")), state).unwrap();
        let next = host.install(&lab.programs[1].file);
        send(Signal::SIGUSR1);
        wait_until("the next program runs", || {
            runs(child.id()).is_some_and(|now| now == next)
        });
        is_held();
        let mut client = Client::registered(Path::new(&lab.path(&format!("{kind}/main"))), NOBODY);
        is_held();
        assert_eq!(
            client.release(("", &lab.path(&format!("{kind}/image")))),
            "ok"
        );
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// A state that names this very pid, as in a container, where the daemon always has the same.
pub fn a_state_of_another_time(lab: &Lab) {
    let host = lab.prepare("");
    let whole = lab.path("state");
    for (magic, text) in [
        ("$$", None),
        ("1", None),
        ("$$", Some("{\"magic\": \"$$\"")),
        ("$$", Some("")),
    ] {
        let text = text.map_or_else(
            || {
                format!(
                    "{{\"daemon\":{{\"servers\":{{\"virtlockd\":{{\"max_clients\":1,\"services\":[{{\"socks\":[{{\"fd\":77}}]}}],\
                     \"clients\":[]}}}}}},\"defaultLockspace\":{{\"resources\":[]}},\"lockspaces\":[],\"magic\":\"{magic}\"}}"
                )
            },
            str::to_owned,
        );
        std::fs::write(&whole, &text).unwrap();
        let script = "mount -t tmpfs tmpfs /run && sed s/[$][$]/$$/ \"$1\" > /run/virtlockd-restart-exec.json && \
                      exec \"$2\" -f \"$3\"";
        let mut child = Command::new("unshare")
            .args([
                "--mount",
                "--propagation",
                "private",
                "--",
                "sh",
                "-c",
                script,
                "sh",
            ])
            .args([&whole, &lab.path("virtlockd"), &lab.path("conf")])
            .spawn()
            .unwrap();
        let socket = format!("/proc/{}/root/run/libvirt/virtlockd-sock", child.id());
        wait_until("it listens", || {
            assert!(child.try_wait().unwrap().is_none());
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        });
        let mut client = Client::registered(Path::new(&socket), NOBODY);
        assert!(
            client.release(("", "/x")).contains("is not locked"),
            "{text}"
        );
        // And it can be replaced.
        let next = host.install(&lab.programs[1].file);
        let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
        nix::sys::signal::kill(pid, Signal::SIGUSR1).unwrap();
        wait_until("the next program runs", || {
            runs(child.id()).is_some_and(|now| now == next)
        });
        assert!(client.release(("", "/x")).contains("is not locked"));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
