//! Who may connect, and what they can do to others.

use std::io::Write as _;

use libvirt_rpc::{MessageType, lock};

use super::Lab;
use super::client::{Client, NOBODY};

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
