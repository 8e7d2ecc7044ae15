//! Bad input: no keepalive is lost, nothing crashes, and what is wrong is said.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use wdmd_proto::{Client, Message, Name, Request, SOCKET};

use super::daemon::{
    Daemon, PATIENCE, bytes, connect, dump, let_go, line_of, monotime, until, watched, well_for,
};
use super::harness::{Case, Outcome, skipped};
use super::host::{Host, holds_its_device, is_original};

pub const CASES: &[Case] = &[
    ("short_messages_end_a_connection", short),
    ("half_a_message_holds_nobody_up", half),
    ("many_messages_at_once", many_at_once),
    ("unknown_commands_have_no_effect", unknown),
    ("odd_names", names),
    ("odd_expiries", expiries),
    ("hundreds_of_clients", hundreds),
    ("a_client_that_does_not_read_holds_nobody_up", deaf),
    ("garbage", garbage),
    ("a_log_that_is_not_read_holds_nobody_up", unread_log),
];

fn daemon() -> Result<(Host, Daemon), Outcome> {
    let host = Host::new()?;
    let daemon = Daemon::start(&host, &[]);
    Ok((host, daemon))
}

fn raw() -> UnixStream {
    let stream = UnixStream::connect(SOCKET).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends messages, good or bad.
fn send(stream: &mut UnixStream, messages: impl IntoIterator<Item = Message>) {
    for message in messages {
        stream.write_all(&message.encode()).unwrap();
    }
}

/// The next message that comes.
fn answer(stream: &mut UnixStream) -> Message {
    let mut bytes = [0; Message::LEN];
    stream.read_exact(&mut bytes).unwrap();
    Message::decode(&bytes).unwrap()
}

/// Messages with these commands and nothing else.
fn commands(numbers: impl IntoIterator<Item = u32>) -> impl Iterator<Item = Message> {
    numbers.into_iter().map(|command| Message {
        command,
        ..Message::default()
    })
}

/// The device has been kept alive since.
fn kept_alive_since(at: u64) {
    until("it is kept alive", || {
        connect().status().unwrap().last_keepalive >= at
    });
}

fn short() -> Outcome {
    let (_host, daemon) = match daemon() {
        Ok(both) => both,
        Err(outcome) => return outcome,
    };
    for length in [1, 100, 175] {
        let mut stream = raw();
        stream
            .write_all(&bytes(&Request::Status)[..length])
            .unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = [0; 1];
        assert_eq!(stream.read(&mut answer).unwrap(), 0);
        daemon.until_said(&format!("recv size {length}"));
    }
    assert_eq!(connect().status().unwrap().fire_timeout, 60);
    Outcome::Passed
}

fn half() -> Outcome {
    if is_original() {
        return skipped("not so in the original: it waits for the rest, and the host is reset");
    }
    let (_host, _daemon) = match daemon() {
        Ok(both) => both,
        Err(outcome) => return outcome,
    };
    let mut client = watched("one", 9);
    well_for(&mut client, 1000);
    let mut stream = raw();
    stream.write_all(&bytes(&Request::Status)[..100]).unwrap();
    kept_alive_since(monotime() + 2);
    stream.write_all(&bytes(&Request::Status)[100..]).unwrap();
    answer(&mut stream);
    let_go(&mut client);
    Outcome::Passed
}

fn many_at_once() -> Outcome {
    let (_host, _daemon) = match daemon() {
        Ok(both) => both,
        Err(outcome) => return outcome,
    };
    let mut stream = raw();
    let asked = bytes(&Request::Status).repeat(50);
    stream.write_all(&asked).unwrap();
    for _ in 0..50 {
        assert_eq!(answer(&mut stream).fire_timeout, 60);
    }
    Outcome::Passed
}

fn unknown() -> Outcome {
    let (_host, daemon) = match daemon() {
        Ok(both) => both,
        Err(outcome) => return outcome,
    };
    let mut stream = raw();
    send(&mut stream, commands([0, 8, 99, u32::MAX]));
    let asked = Message {
        magic: 1,
        len: 2,
        flags: 3,
        ..Request::Status.message()
    };
    send(&mut stream, [asked]);
    let answer = answer(&mut stream);
    assert_eq!(
        (answer.magic, answer.command, answer.len, answer.flags),
        (1, 5, 2, 3)
    );
    if !is_original() {
        daemon.until_said("sent command 99");
    }
    Outcome::Passed
}

fn names() -> Outcome {
    let (_host, _daemon) = match daemon() {
        Ok(both) => both,
        Err(outcome) => return outcome,
    };
    let mut stream = raw();
    let long = Name::from_bytes(&[b'n'; 128]).unwrap();
    send(
        &mut stream,
        [Request::Register(long), Request::Status].map(|request| request.message()),
    );
    answer(&mut stream);
    line_of(&"n".repeat(64));
    if !is_original() {
        // Nobody can forge lines.
        let bad = Name::from_bytes(b"a\nclient 9 name \xff\xfe%s%n").unwrap();
        send(
            &mut stream,
            [Request::Register(bad), Request::Status].map(|request| request.message()),
        );
        answer(&mut stream);
        let text = dump();
        assert!(text.contains(" name a?client 9 name ??%s%n pid "), "{text}");
        assert!(
            text.lines()
                .all(|line| line.starts_with("wdmd ") || line.starts_with("client "))
        );
        assert!(!text.contains("\nclient 9 "), "{text}");
    }
    Outcome::Passed
}

fn expiries() -> Outcome {
    let (host, _daemon) = match daemon() {
        Ok(both) => both,
        Err(outcome) => return outcome,
    };
    if holds_its_device() {
        return skipped("3.8.5 has one fire timeout, of a minute");
    }
    let mut client = watched("one", 20);
    // In trouble the tests follow each other faster.
    let interval = || connect().status().unwrap().test_interval;
    for expire in [1, monotime() - 1] {
        client.test_live(0, expire).unwrap();
        until("it has failed", || interval() == 1);
        let fires = host.fires(20);
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(host.fires(20), fires);
        client.test_live(u64::MAX, u64::MAX).unwrap();
        until("it is forgiven", || interval() == 2);
    }
    kept_alive_since(monotime() + 2);
    let_go(&mut client);
    Outcome::Passed
}

fn hundreds() -> Outcome {
    let (host, daemon) = match daemon() {
        Ok(both) => both,
        Err(outcome) => return outcome,
    };
    if holds_its_device() {
        return skipped("3.8.5 has one fire timeout, of a minute");
    }
    let mut first = watched("first", 9);
    well_for(&mut first, 1000);
    let mut clients: Vec<Client> = Vec::new();
    for number in 0..400 {
        let mut client = connect();
        client.register(&format!("client {number}")).unwrap();
        well_for(&mut client, 1000);
        clients.push(client);
    }
    kept_alive_since(monotime() + 2);
    let text = dump();
    assert!(text.contains("name client 399 pid "), "{}", text.len());
    assert!(text.len() < 200 * 1024);
    for client in &mut clients {
        let_go(client);
    }
    drop(clients);
    until("they are gone", || dump().lines().count() < 10);
    assert_eq!(daemon.times_said("closed unclean"), 0);
    let_go(&mut first);
    drop(first);
    until("nobody needs it", || host.fires(60).is_none());
    Outcome::Passed
}

fn deaf() -> Outcome {
    if is_original() {
        return skipped("not so in the original: it waits until the client reads");
    }
    let (_host, _daemon) = match daemon() {
        Ok(both) => both,
        Err(outcome) => return outcome,
    };
    let mut client = watched("one", 9);
    well_for(&mut client, 1000);
    let mut stream = raw();
    stream
        .set_write_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let asked = [bytes(&Request::Status), bytes(&Request::DumpDebug)].concat();
    let mut written = 0;
    // Until neither direction has any room left.
    while stream.write_all(&asked).is_ok() {
        written += 1;
        assert!(written < 1_000_000);
    }
    kept_alive_since(monotime() + 2);
    assert!(dump().contains("name one "));
    drop(stream);
    let_go(&mut client);
    Outcome::Passed
}

fn unread_log() -> Outcome {
    if is_original() {
        return skipped("not so in the original: it waits for syslog, and the host is reset");
    }
    let host = match Host::new() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    host.log_is_not_read();
    let _daemon = Daemon::start(&host, &[]);
    let mut client = watched("one", 9);
    well_for(&mut client, 1000);
    for command in 100..400 {
        // Each is worth a line.
        send(&mut raw(), commands([command]));
    }
    kept_alive_since(monotime() + 2);
    let_go(&mut client);
    Outcome::Passed
}

fn garbage() -> Outcome {
    let (_host, mut daemon) = match daemon() {
        Ok(both) => both,
        Err(outcome) => return outcome,
    };
    let mut state = 0x1234_5678_9abc_def1_u64;
    for _ in 0..50 {
        let mut stream = raw();
        for _ in 0..20 {
            let mut message = [0; Message::LEN];
            for byte in &mut message {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                *byte = state.to_le_bytes()[0];
            }
            // Any command but those that have the device opened or answer; nothing that is watched is left behind.
            let command = 1000 + u32::from(message[4]);
            message[4..8].copy_from_slice(&command.to_le_bytes());
            stream.write_all(&message).unwrap();
        }
    }
    assert!(daemon.is_running());
    assert_eq!(connect().status().unwrap().fire_timeout, 60);
    Outcome::Passed
}
