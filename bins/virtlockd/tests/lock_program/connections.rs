//! Who may connect, and what they can do to others.

use std::io::Write as _;
use std::process::Command;

use libvirt_rpc::xdr::{self, Decoder, Encoder, Xdr, XdrError};
use libvirt_rpc::{MessageType, Text, lock};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::client::{Client, NOBODY};
use super::virtlockd::wait_until;
use super::{Lab, Subject};

pub fn half_a_packet_disturbs_nobody(lab: &Lab) {
    let daemon = lab.daemon("");
    let mut halves = Vec::new();
    for bytes in [&[0, 0][..], &[0, 0, 1, 0, 7], &[2, 0, 0, 4, 0, 0, 0]] {
        let mut half = Client::new(&daemon.socket());
        half.stream.write_all(bytes).unwrap();
        halves.push(half);
    }
    let mut client = Client::registered(&daemon.socket(), NOBODY);
    assert!(client.release(("", "/x")).contains("is not locked"));
    // What can be no packet ends the connection, and only that.
    let mut wrong = Client::new(&daemon.socket());
    wrong.stream.write_all(&[255; 28]).unwrap();
    assert!(wrong.answer().is_none());
    assert!(client.release(("", "/x")).contains("is not locked"));
    drop(halves);
    assert!(client.release(("", "/x")).contains("is not locked"));
}

pub fn more_than_may_connect_wait(lab: &Lab) {
    let daemon = lab.daemon("max_clients = 2\n");
    // The one that waited for the daemon's start may take a moment to be gone.
    let first = Client::registered(&daemon.socket(), NOBODY);
    let second = Client::registered(&daemon.socket(), NOBODY);
    let mut third = Client::new(&daemon.socket());
    assert!(third.waits());
    drop(first);
    let answer = third.answer().unwrap();
    assert_eq!(answer.header.kind, MessageType::REPLY);
    assert_eq!(answer.header.procedure, lock::RESTRICT);
    drop(second);
}

pub fn many(lab: &Lab) {
    let daemon = lab.daemon("");
    let space = lab.path("space");
    let mut clients: Vec<Client> = (0..300)
        .map(|number| Client::registered(&daemon.socket(), NOBODY - number))
        .collect();
    assert_eq!(clients[0].create_space(&space), "ok");
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.acquire((&space, &format!("r{number}")), 2), "ok");
        assert_eq!(client.acquire((&space, "shared"), 3), "ok");
    }
    let first = clients[0].acquire((&space, "r299"), 2);
    assert!(
        first.ends_with("Lockspace resource 'r299' is locked"),
        "{first}"
    );
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.release((&space, &format!("r{number}"))), "ok");
        assert_eq!(client.release((&space, "shared")), "ok");
    }
    assert_eq!(std::fs::read_dir(&space).unwrap().count(), 0);
}

pub fn the_admin_socket(lab: &Lab) {
    let daemon = lab.daemon("");
    let mut client = Client::new(&daemon.admin_socket());
    // Another program than that of the socket.
    let said = client.restrict(0);
    let program = lock::PROGRAM.0;
    assert!(
        said.contains(&format!("Cannot find program {program} version 1")),
        "{said}"
    );
}

/// Arguments that no type of the protocol has.
struct Raw(Vec<u8>);

impl Xdr for Raw {
    fn encode(&self, to: &mut Encoder) {
        to.opaque(&self.0);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, XdrError> {
        Ok(Self(from.rest().to_vec()))
    }
}

pub fn names_at_their_limit(lab: &Lab) {
    let daemon = lab.daemon("");
    let mut client = Client::registered(&daemon.socket(), NOBODY);
    let refused = |said: String, why: &str| assert!(said.contains(why), "{said:.300}");
    let longest = "n".repeat(65_536);
    refused(client.acquire(("", &longest), 0), "File name too long");
    refused(client.release(("", &longest)), "is not locked");
    refused(client.acquire((&longest, "x"), 0), "does not exist");
    // A byte more is no argument, nor is a length without bytes, nor nothing.
    let longer = Text::<{ 1 << 20 }>::cut("n".repeat(65_537));
    let longer = xdr::to_bytes(&(longer));
    for bytes in [longer, vec![0x7f, 255, 255, 255], vec![255; 4], Vec::new()] {
        let mut bytes = [vec![0; 4], bytes, vec![0; 4]].concat();
        if bytes.len() == 8 {
            bytes.clear();
        }
        refused(
            client.call(lock::ACQUIRE_RESOURCE, &Raw(bytes)),
            "Unable to decode message payload",
        );
    }
    // It goes on as if nothing had been said.
    assert_eq!(client.acquire(("", &lab.file("image")), 0), "ok");
}

pub fn five_thousand(lab: &Lab) {
    const COUNT: usize = 5000;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let has_room = most > COUNT as u64 + 100;
    if !has_room || setrlimit(Resource::RLIMIT_NOFILE, most, most).is_err() {
        println!("only {most} descriptors");
        std::process::exit(77);
    }
    let daemon = lab.daemon(&format!("max_clients = {}\n", COUNT + 1));
    let open = || {
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid()));
        descriptors.unwrap().count()
    };
    let file = lab.file("image");
    let mut first = Client::registered(&daemon.socket(), NOBODY);
    assert_eq!(first.acquire(("", &file), 0), "ok");
    let before = open();
    // All at once, and then each says something.
    let mut clients: Vec<Client> = (0..COUNT).map(|_| Client::new(&daemon.socket())).collect();
    for client in clients.iter_mut().step_by(100) {
        assert_eq!(client.register(1, NOBODY - 1, 0), "ok");
        assert!(client.acquire(("", &file), 0).contains("is locked"));
    }
    wait_until("all are served", || open() >= before + COUNT);
    assert_eq!(first.release(("", &file)), "ok");
    // Nothing of them is left.
    drop(clients);
    wait_until("all are gone", || open() < before);
    assert_eq!(first.acquire(("", &file), 0), "ok");
}

/// What ours says in its log, and the C daemon does not.
pub fn warnings(lab: &Lab) {
    let log = lab.path("log");
    let daemon = lab.daemon(&format!(
        "max_clients = 5\nlog_outputs = \"3:file:{log}\"\n"
    ));
    let lines = |part: &str| {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        log.lines().filter(|line| line.contains(part)).count()
    };
    let wanted = match lab.subject {
        Subject::C => 0,
        Subject::Ours => 1,
    };
    let near = "4 of 5 clients of virtlockd are connected";
    let mut clients = Vec::new();
    for number in 0..4 {
        assert_eq!(lines(near), 0, "{number}");
        clients.push(Client::registered(&daemon.socket(), NOBODY));
    }
    assert_eq!(lines(near), wanted);
    clients.push(Client::registered(&daemon.socket(), NOBODY));
    assert_eq!(lines(near), wanted);
    // A device whose lock no other host sees.
    let image = lab.path("disk");
    std::fs::write(&image, vec![0; 1 << 20]).unwrap();
    let output = Command::new("losetup")
        .args(["--find", "--show", &image])
        .output();
    let device = output.map(|output| String::from_utf8(output.stdout).unwrap().trim().to_owned());
    let Some(device) = device.ok().filter(|device| !device.is_empty()) else {
        println!("no loop device");
        std::process::exit(77);
    };
    let client = &mut clients[0];
    let told = "a lock on a device reaches this host only";
    assert_eq!(lines(told), 0);
    for _ in 0..2 {
        assert_eq!(client.acquire(("", &device), 0), "ok");
        assert_eq!(client.release(("", &device)), "ok");
    }
    let status = Command::new("losetup").args(["--detach", &device]).status();
    assert!(status.unwrap().success());
    assert_eq!(lines(told), wanted);
}
