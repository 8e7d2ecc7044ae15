//! Compares with libwdmd (what it sends, what it makes of our answers) and with the C daemon (what it answers to
//! our client).
//!
//! The daemon is `/usr/sbin/wdmd` or what `$WDMD_UPSTREAM` names. It runs in a mount namespace without any
//! device, on a plain file in the place of the watchdog.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub
)]

#[path = "../../daemon/tests/common/harness.rs"]
mod harness;

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use harness::{Outcome, skipped};
use wdmd_proto::{Client, Message, Name, Opened, Request, Status};

const LONG: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    harness::run(&[
        ("the_librarys_messages_are_ours", library),
        ("the_client_gets_on_with_the_c_daemon", daemon),
    ])
}

/// A directory of its own, removed at the end.
struct TempDir(PathBuf);

impl TempDir {
    fn new(name: &str) -> TempDir {
        let dir = std::env::temp_dir().join(format!("wdmd-proto-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        TempDir(dir)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn compile(source: &str, to: &Path, options: &[&str]) -> Result<(), String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/c")
        .join(source);
    match Command::new("gcc")
        .arg("-w")
        .arg("-o")
        .arg(to)
        .arg(source)
        .args(options)
        .output()
    {
        Err(e) => Err(format!("no gcc: {e}")),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(said
                .lines()
                .find(|line| line.contains("error"))
                .unwrap_or("gcc failed")
                .to_owned())
        }
    }
}

/// Answers status until the client goes; gives all bytes that came.
fn fake_daemon(mut stream: UnixStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut bytes = [0; Message::LEN];
    while stream.read_exact(&mut bytes).is_ok() {
        all.extend_from_slice(&bytes);
        let message = Message::decode(&bytes).unwrap();
        if Request::try_from(&message) == Ok(Request::Status) {
            let status = Status {
                test_interval: 10,
                fire_timeout: 60,
                last_keepalive: 1 << 40,
            };
            stream
                .write_all(&message.with_status(status).encode())
                .unwrap();
        }
    }
    all
}

fn library() -> Outcome {
    let dir = TempDir::new("library");
    let program = dir.0.join("probe");
    if let Err(why) = compile("probe.c", &program, &["-lwdmd"]) {
        return skipped(format!("libwdmd cannot be used (libsanlock-dev): {why}"));
    }
    let socket = dir.0.join("wdmd.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let server = std::thread::spawn(move || fake_daemon(listener.accept().unwrap().0));
    let output = Command::new(&program)
        .env("WDMD_SOCKET", &socket)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "connect fd\nregister -36\nregister 0\nregister 0\nrefcount_set 0\nstatus 0 10 60 1099511627776\n\
         test_live 0\ntest_live 0\nrefcount_clear 0\n"
    );
    let requests = [
        Request::Register(Name::from_bytes(&[b'n'; 128]).unwrap()),
        Request::Register(Name::from_bytes(b"sanlock_space:1").unwrap()),
        Request::RefcountSet,
        Request::Status,
        Request::TestLive {
            renewal: 0x1234_5678_9abc_def0,
            expire: 0xfedc_ba98_7654_3210,
        },
        Request::TestLive {
            renewal: 0,
            expire: 0,
        },
        Request::RefcountClear,
    ];
    let ours: Vec<u8> = requests
        .iter()
        .flat_map(|request| request.message().encode())
        .collect();
    assert_eq!(server.join().unwrap(), ours);
    Outcome::Passed
}

/// The C daemon in a namespace of its own.
struct Wdmd {
    child: Child,
    socket: PathBuf,
    _dir: TempDir,
}

impl Wdmd {
    fn start() -> Result<Wdmd, String> {
        let program = std::env::var_os("WDMD_UPSTREAM")
            .map_or_else(|| PathBuf::from("/usr/sbin/wdmd"), PathBuf::from);
        if !program.exists() {
            return Err(format!("no C daemon at {}", program.display()));
        }
        let dir = TempDir::new("daemon");
        let preload = dir.0.join("no_device.so");
        compile("no_device.c", &preload, &["-shared", "-fPIC"])?;
        let run = dir.0.join("run");
        std::fs::create_dir_all(run.join("wdmd")).unwrap();
        // No device can be reached from in there; the socket can be reached from outside.
        let script = r#"
            set -e
            mount --bind "$RUN" /run
            mount -t tmpfs none /dev
            mkdir /dev/shm
            touch /dev/watchdog /dev/null
            export LD_PRELOAD="$PRELOAD"
            exec "$PROGRAM" -D -H 0
        "#;
        let mut child = Command::new("unshare")
            .args(["-m", "sh", "-c", script])
            .env("RUN", &run)
            .env("PRELOAD", &preload)
            .env("PROGRAM", &program)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("no unshare: {e}"))?;
        let socket = run.join("wdmd/wdmd.sock");
        let begun = Instant::now();
        while Client::connect(&socket, LONG).is_err() {
            if child.try_wait().unwrap().is_some() || begun.elapsed() > LONG {
                let _ = child.kill();
                let mut said = String::new();
                let _ = child.stderr.take().unwrap().read_to_string(&mut said);
                let last = said.lines().last().unwrap_or("it says nothing").to_owned();
                return Err(format!("{} does not run here: {last}", program.display()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Wdmd {
            child,
            socket,
            _dir: dir,
        })
    }

    fn connect(&self) -> Client {
        Client::connect(&self.socket, LONG).unwrap()
    }
}

impl Drop for Wdmd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn daemon() -> Outcome {
    let wdmd = match Wdmd::start() {
        Ok(wdmd) => wdmd,
        Err(why) => return skipped(why),
    };
    let mut client = wdmd.connect();
    let status = match client.open_watchdog(60).unwrap() {
        Opened::Yes => client.status().unwrap(),
        Opened::AtItsStart(status) => status,
    };
    assert_eq!((status.test_interval, status.fire_timeout), (10, 60));
    client.register("sanlock_space:1").unwrap();
    client.refcount_set().unwrap();
    client
        .test_live(status.last_keepalive, status.last_keepalive + 1000)
        .unwrap();
    // The daemon has read all this when it answers.
    assert_eq!(client.status().unwrap().fire_timeout, 60);
    let dump = String::from_utf8(wdmd.connect().dump_debug().unwrap()).unwrap();
    assert!(dump.starts_with("wdmd "), "{dump}");
    let line = dump
        .lines()
        .find(|line| line.contains("name sanlock_space:1"))
        .unwrap();
    assert!(
        line.contains(&format!("pid {}", std::process::id())),
        "{line}"
    );
    assert!(line.contains("ref 1"), "{line}");
    assert!(
        line.contains(&format!("expire {}", status.last_keepalive + 1000)),
        "{line}"
    );
    client.test_live(0, 0).unwrap();
    client.refcount_clear().unwrap();
    client.status().unwrap();

    // The status answer is the message, filled in; an unknown command has none.
    let mut stream = UnixStream::connect(&wdmd.socket).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let name = Name::from_bytes(b"echo").unwrap();
    let asked = Message {
        magic: 1,
        len: 2,
        flags: 3,
        name,
        ..Request::Status.message()
    };
    let unknown = Message {
        command: 99,
        ..asked
    };
    stream.write_all(&unknown.encode()).unwrap();
    stream.write_all(&asked.encode()).unwrap();
    let mut bytes = [0; Message::LEN];
    stream.read_exact(&mut bytes).unwrap();
    let answer = Message::decode(&bytes).unwrap();
    assert_eq!(bytes, asked.with_status(answer.status()).encode());

    // A message cut short ends the connection.
    stream.write_all(&bytes[..100]).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut bytes).unwrap(), 0);
    Outcome::Passed
}
