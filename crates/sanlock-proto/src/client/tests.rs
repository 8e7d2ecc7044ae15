//! The client against daemons that misbehave: what libsanlock returns.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::*;
use crate::header::Header;

/// A daemon that serves one connection.
struct Fake {
    path: PathBuf,
}

impl Fake {
    fn new(serve: impl FnOnce(UnixStream) + Send + 'static) -> Fake {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sanlock-proto-{}-{count}.sock", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || serve(listener.accept().unwrap().0));
        Fake { path }
    }

    /// One that reads a bare header and sends this.
    fn answering(bytes: Vec<u8>) -> Fake {
        Fake::new(move |mut stream| {
            stream.read_exact(&mut [0; Header::LEN]).unwrap();
            stream.write_all(&bytes).unwrap();
        })
    }

    fn client(&self) -> Client {
        Client::at(&self.path)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn header(command: Command, change: impl Fn(&mut Header)) -> Vec<u8> {
    let mut header = Header::request(command.number(), 0, 0, 0, 0);
    change(&mut header);
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    bytes
}

#[test]
fn no_daemon_is_the_systems_number() {
    assert_eq!(
        Client::at("/nowhere/sanlock.sock")
            .version()
            .unwrap_err()
            .code(),
        -2
    );
    let fake = Fake::new(drop);
    drop(UnixStream::connect(&fake.path).unwrap());
    let refused = loop {
        // until the listener is gone
        if let Err(e @ ClientError::Connect { .. }) = fake.client().version() {
            break e;
        }
    };
    assert_eq!(refused.code(), -111);
    let long = format!("/{}", "x".repeat(200));
    assert_eq!(Client::at(long).version().unwrap_err().code(), -2);
}

#[test]
fn a_connection_that_ends_early_is_minus_one() {
    for len in [0, 31] {
        let bytes = header(Command::Version, |_| {})[..len].to_vec();
        let error = Fake::answering(bytes).client().version().unwrap_err();
        assert!(matches!(error, ClientError::Closed { .. }), "{error}");
        assert_eq!(error.code(), -1);
    }
    // two lockspaces announced, half of one sent
    let mut bytes = header(Command::GetLockspaces, |h| {
        h.data2 = 2;
        h.length = 32 + 2 * Lockspace::LEN as u32;
    });
    bytes.resize(600, 0);
    assert_eq!(
        Fake::answering(bytes)
            .client()
            .get_lockspaces()
            .unwrap_err()
            .code(),
        -1
    );
}

#[test]
fn a_length_that_cannot_be_is_not_waited_for() {
    let bytes = header(Command::GetLockspaces, |h| h.length = u32::MAX);
    let error = Fake::answering(bytes)
        .client()
        .get_lockspaces()
        .unwrap_err();
    assert!(matches!(error, ClientError::Malformed { .. }), "{error}");
    let bytes = header(Command::Version, |h| h.magic = 1);
    let error = Fake::answering(bytes).client().version().unwrap_err();
    assert!(matches!(error, ClientError::Malformed { .. }), "{error}");
}

#[test]
fn a_list_that_did_not_fit_says_how_long_it_would_be() {
    let mut bytes = header(Command::GetLockspaces, |h| {
        h.data = -28i32 as u32;
        h.data2 = 1000;
        h.length = 32 + Lockspace::LEN as u32;
    });
    Lockspace::named("one".parse().unwrap()).encode(&mut bytes);
    let list = Fake::answering(bytes).client().get_lockspaces().unwrap();
    assert_eq!((list.items.len(), list.total), (1, 1000));
}

#[test]
fn half_a_log_is_still_shown() {
    let mut bytes = header(Command::LogDump, |h| h.data = 100);
    bytes.extend_from_slice(b"half");
    let log = Fake::answering(bytes).client().log_dump().unwrap();
    assert_eq!((log.text.as_slice(), log.announced), (&b"half"[..], 100));
}

#[test]
fn a_silent_daemon_is_not_waited_for_longer_than_allowed() {
    let fake = Fake::new(|mut stream| {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
    });
    let client = fake.client().with_timeout(Duration::from_millis(50));
    assert_eq!(client.version().unwrap_err().code(), -11);
}

#[test]
fn arguments_that_the_library_refuses_are_not_sent() {
    let client = Client::at("/nowhere");
    let none = Resource::default();
    let many = Resource {
        disks: vec![Disk::default(); 5],
        ..Resource::default()
    };
    assert_eq!(client.read_resource(&none).unwrap_err().code(), -22);
    assert_eq!(client.read_resource_owners(&many).unwrap_err().code(), -22);
    assert_eq!(
        client
            .read_lockspace(&Lockspace::default())
            .unwrap_err()
            .code(),
        -22
    );
    assert_eq!(client.set_lvb(&none.head(), b"").unwrap_err().code(), -22);
    let acquire = |resources: &[Resource]| {
        client
            .acquire(1, crate::flags::AcquireFlags::NONE, resources, None)
            .unwrap_err()
            .code()
    };
    assert_eq!(acquire(&vec![none.clone(); 9]), -22);
    assert_eq!(acquire(&[many]), -22);
    assert_eq!(acquire(&[none]), -2);
}

#[test]
fn owners_are_judged_by_their_hosts() {
    let host = |host_id, generation, state: u32| HostEntry {
        host_id,
        generation,
        flags: state,
        ..HostEntry::default()
    };
    let owner = [host(1, 5, 0)];
    assert_eq!(owners_prevent_acquire(&owner, &[]), Ok(false));
    assert_eq!(owners_prevent_acquire(&owner, &[host(1, 6, 3)]), Ok(false));
    assert_eq!(owners_prevent_acquire(&owner, &[host(1, 4, 3)]), Err(-22));
    for (state, prevents) in [(1, true), (2, false), (3, true), (4, true), (5, false)] {
        assert_eq!(
            owners_prevent_acquire(&owner, &[host(2, 5, 9), host(1, 5, state)]),
            Ok(prevents)
        );
    }
    assert_eq!(owners_prevent_acquire(&owner, &[host(1, 5, 6)]), Err(-22));
}
