//! The client against daemons that misbehave.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use super::*;

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(60);

/// A listening socket of its own, removed at the end.
struct Socket {
    path: PathBuf,
    listener: Option<UnixListener>,
}

impl Socket {
    fn new() -> Socket {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("wdmd-proto-{}-{count}.sock", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&path);
        let listener = Some(UnixListener::bind(&path).unwrap());
        Socket { path, listener }
    }

    /// Accepts one connection and hands it over.
    fn serve<T: Send + 'static>(
        &mut self,
        serve: impl FnOnce(UnixStream) -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let listener = self.listener.take().unwrap();
        std::thread::spawn(move || serve(listener.accept().unwrap().0))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn next(stream: &mut UnixStream) -> Option<Message> {
    let mut bytes = [0; Message::LEN];
    stream.read_exact(&mut bytes).ok()?;
    Some(Message::decode(&bytes).unwrap())
}

/// Answers status, and open_watchdog if it is known, until the client goes; gives what it was asked.
fn wdmd(mut stream: UnixStream, knows_open: bool, fire_timeout: u32) -> Vec<Request> {
    let mut asked = Vec::new();
    while let Some(message) = next(&mut stream) {
        let request = Request::try_from(&message).unwrap();
        asked.push(request);
        let answer = match request {
            Request::Status => message.with_status(Status {
                test_interval: 10,
                fire_timeout,
                last_keepalive: 77,
            }),
            Request::OpenWatchdog { .. } if knows_open => message.with_fire_timeout(fire_timeout),
            _ => continue,
        };
        stream.write_all(&answer.encode()).unwrap();
    }
    asked
}

#[test]
fn a_whole_session_is_sent_as_it_was_meant() {
    let mut socket = Socket::new();
    let server = socket.serve(|stream| wdmd(stream, true, 60));
    let mut client = Client::connect(&socket.path, LONG).unwrap();
    assert_eq!(client.open_watchdog(60).unwrap(), Opened::Yes);
    client.register("sanlock_space:1").unwrap();
    client.refcount_set().unwrap();
    assert_eq!(client.status().unwrap().last_keepalive, 77);
    client.test_live(100, 180).unwrap();
    client.test_live(0, 0).unwrap();
    client.refcount_clear().unwrap();
    drop(client);
    assert_eq!(
        server.join().unwrap(),
        [
            Request::OpenWatchdog { fire_timeout: 60 },
            Request::Status,
            Request::Register(Name::from_bytes(b"sanlock_space:1").unwrap()),
            Request::RefcountSet,
            Request::Status,
            Request::TestLive {
                renewal: 100,
                expire: 180
            },
            Request::TestLive {
                renewal: 0,
                expire: 0
            },
            Request::RefcountClear,
        ]
    );
}

#[test]
fn an_old_daemon_is_recognised_by_its_silence() {
    let mut socket = Socket::new();
    let _server = socket.serve(|stream| wdmd(stream, false, 60));
    let mut client = Client::connect(&socket.path, LONG).unwrap();
    let opened = client.open_watchdog(60).unwrap();
    assert!(matches!(opened, Opened::AtItsStart(status) if status.test_interval == 10));
    assert!(matches!(
        client.open_watchdog(30),
        Err(ClientError::FireTimeout {
            wanted: 30,
            found: 60
        })
    ));
    assert_eq!(client.status().unwrap().fire_timeout, 60);
}

#[test]
fn a_fire_timeout_that_cannot_be_had_is_an_error_and_the_connection_goes_on() {
    for fire_timeout in [0, 30] {
        let mut socket = Socket::new();
        let _server = socket.serve(move |stream| wdmd(stream, true, fire_timeout));
        let mut client = Client::connect(&socket.path, LONG).unwrap();
        let error = client.open_watchdog(60).unwrap_err();
        assert_eq!(error.code(), -1);
        assert!(
            matches!(error, ClientError::FireTimeout { wanted: 60, found } if found == fire_timeout)
        );
        assert!(!client.is_broken());
        assert!(client.status().is_ok());
    }
}

#[test]
fn a_daemon_that_does_not_answer_holds_nobody_up() {
    let mut socket = Socket::new();
    let server = socket.serve(|stream| stream);
    let mut client = Client::connect(&socket.path, SHORT).unwrap();
    let _stream = server.join().unwrap();
    let error = client.status().unwrap_err();
    assert!(matches!(error, ClientError::TimedOut { .. }), "{error}");
    assert_eq!(error.code(), -11);
    // Its answer could still come and be taken for another one's.
    assert!(client.is_broken());
    assert!(matches!(
        client.test_live(1, 2),
        Err(ClientError::Broken { .. })
    ));
}

#[test]
fn a_daemon_that_does_not_read_holds_nobody_up() {
    let mut socket = Socket::new();
    let server = socket.serve(|stream| stream);
    let mut client = Client::connect(&socket.path, SHORT).unwrap();
    let _stream = server.join().unwrap();
    let error = (0..1_000_000)
        .find_map(|at| client.test_live(at, at).err())
        .unwrap();
    assert!(matches!(error, ClientError::TimedOut { .. }), "{error}");
}

#[test]
fn a_daemon_that_does_not_accept_holds_nobody_up() {
    let socket = Socket::new();
    // wdmd's queue has five places, this one two.
    socket::listen(
        socket.listener.as_ref().unwrap(),
        socket::Backlog::new(1).unwrap(),
    )
    .unwrap();
    let mut clients = Vec::new();
    let error = loop {
        match Client::connect(&socket.path, SHORT) {
            Ok(client) => clients.push(client),
            Err(error) => break error,
        }
        assert!(clients.len() < 10, "the queue never fills");
    };
    assert_eq!(error.code(), -11, "{error}");
}

#[test]
fn an_answer_cut_short_is_a_closed_connection() {
    let mut socket = Socket::new();
    let _server = socket.serve(|mut stream| {
        let message = next(&mut stream).unwrap();
        stream.write_all(&message.encode()[..100]).unwrap();
    });
    let mut client = Client::connect(&socket.path, LONG).unwrap();
    let error = client.status().unwrap_err();
    assert!(matches!(error, ClientError::Closed { .. }), "{error}");
    assert_eq!(error.code(), -1);
}

#[test]
fn an_answer_to_something_else_is_not_taken() {
    let mut socket = Socket::new();
    let _server = socket.serve(|mut stream| {
        let message = next(&mut stream).unwrap();
        let other = Message {
            command: 4,
            ..message
        };
        stream.write_all(&other.encode()).unwrap();
        next(&mut stream)
    });
    let mut client = Client::connect(&socket.path, LONG).unwrap();
    assert!(matches!(
        client.status(),
        Err(ClientError::OutOfStep { .. })
    ));
    assert!(client.is_broken());
}

#[test]
fn a_dump_ends_when_nothing_more_comes_or_the_connection_ends() {
    let text = b"wdmd 1 socket_gid 0\n".repeat(3000);
    for stays_open in [true, false] {
        let mut socket = Socket::new();
        let expected = text.clone();
        let sent = text.clone();
        let server = socket.serve(move |mut stream| {
            next(&mut stream).unwrap();
            stream.write_all(&sent).unwrap();
            stays_open.then_some(stream)
        });
        let client = Client::connect(&socket.path, LONG).unwrap();
        assert_eq!(client.dump_debug().unwrap(), expected);
        drop(server.join().unwrap());
    }
}

#[test]
fn nobody_there_is_told_as_the_library_tells_it() {
    let mut socket = Socket::new();
    drop(socket.listener.take());
    assert_eq!(
        Client::connect(&socket.path, LONG).unwrap_err().code(),
        -111
    );
    let gone = socket.path.with_extension("gone");
    assert_eq!(Client::connect(gone, LONG).unwrap_err().code(), -2);
    let long = "x".repeat(129);
    let mut socket = Socket::new();
    let _server = socket.serve(|stream| stream);
    let mut client = Client::connect(&socket.path, LONG).unwrap();
    assert_eq!(client.register(&long).unwrap_err().code(), -36);
    client.register(&long[..128]).unwrap();
}
