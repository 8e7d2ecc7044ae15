//! Tests of the socket itself: framing, malformed input, limits.

mod connection;
mod events;
mod framing;
mod limits;
mod lvb;
mod malformed;
mod message;

pub(crate) use connection::relay;

use connection::{Answer, Connection};
use message::{Header, cmd};

use crate::lab::Lab;
use crate::lab::failure::Failure;
use crate::lab::program::Kind;
use crate::test::Test;

/// The tests of this group.
pub(crate) fn tests() -> Vec<Test> {
    [
        framing::tests(),
        malformed::tests(),
        events::tests(),
        lvb::tests(),
        limits::tests(),
    ]
    .concat()
}

/// A daemon with a lockspace `LS` and a lease `R`, both in the file `{DIR}/ls`.
fn with_a_lockspace(lab: &mut Lab) -> Result<String, Failure> {
    let path = with_a_file(lab)?;
    let socket = lab.host(1).socket();
    let join = Header::new(cmd::ADD_LOCKSPACE).data(1, 0);
    let answer = Connection::open(&socket)?.ask(&join.with(&message::lockspace("LS", 1, &path)))?;
    if answer.to_string() != "0" {
        return Err(format!("add_lockspace {answer}").into());
    }
    Ok(path)
}

/// A daemon that has joined nothing, and the file `{DIR}/ls` with a lockspace and a lease.
fn with_a_file(lab: &mut Lab) -> Result<String, Failure> {
    lab.start(1, &[])?;
    let path = lab.path("ls");
    std::fs::File::create(&path)?.set_len(4 << 20)?;
    let path = path.display().to_string();
    let mut writer = Connection::open(&lab.host(1).socket())?;
    let space = Header::new(cmd::WRITE_LOCKSPACE).data(0, 1);
    let lease = Header::new(cmd::WRITE_RESOURCE);
    writer.ask(&space.with(&message::lockspace("LS", 0, &path)))?;
    writer.ask(&lease.with(&message::on_disk("LS", "R", &path, 1 << 20)))?;
    Ok(path)
}

/// A connection of this test's process.
fn connect(lab: &mut Lab) -> Result<Connection, Failure> {
    Connection::open(&lab.host(1).socket())
}

/// A connection that the daemon has accepted, for requests that are sent in pieces. The C daemon asks
/// for its clients' credentials after it accepted: of what was sent in between, nothing is read in one
/// go with what comes later, and the request counts as broken off.
fn accepted(lab: &mut Lab) -> Result<Connection, Failure> {
    let mut connection = connect(lab)?;
    let answer = connection.ask(&Header::new(cmd::VERSION).bytes())?;
    match answer {
        Answer::Reply(..) => Ok(connection),
        none => Err(format!("a new connection's first request: {none}").into()),
    }
}

/// A registered connection of a process of its own.
fn registered(lab: &mut Lab) -> Result<Connection, Failure> {
    let mut connection = Connection::through_a_process(&lab.host(1).socket())?;
    connection.send(&Header::new(cmd::REGISTER).bytes())?;
    Ok(connection)
}

/// Whether another client gets an answer at this moment.
fn others_are_answered(lab: &mut Lab) -> Result<bool, Failure> {
    let mut other = connect(lab)?;
    let answer = other.try_asking(&Header::new(cmd::VERSION).bytes())?;
    Ok(matches!(answer, Answer::Reply(..)))
}

/// What is expected where the C daemon is silent: a replacement answers with a number.
fn silence_or(lab: &mut Lab, ours: &'static str) -> &'static str {
    if is_original(lab) { "silence" } else { ours }
}

/// Whether the daemon is the C program, whose faults are its own.
fn is_original(lab: &mut Lab) -> bool {
    lab.host(1).daemon.kind == Kind::Original
}
