//! Many connections at a time.

use std::os::unix::net::UnixStream;
use std::time::Instant;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::connection::PATIENCE;
use super::message::{Header, cmd};
use super::{connect, is_original, others_are_answered};
use crate::lab::Lab;
use crate::lab::failure::{Failure, While};
use crate::test::Test;

pub(super) fn tests() -> Vec<Test> {
    vec![Test {
        name: "wire/crowd",
        needs: &[],
        seconds: 10,
        run: crowd,
    }]
}

/// More clients than the C daemon has room for: it accepts them and forgets them. A replacement
/// may refuse them too, but not for ever, and nobody who was there before may suffer.
fn crowd(lab: &mut Lab) -> Result<(), Failure> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).during(|| "getrlimit".to_owned())?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).during(|| "setrlimit".to_owned())?;
    lab.start(1, &[])?;
    let mut first = connect(lab)?;
    let version = Header::new(cmd::VERSION).bytes();
    lab.same("the first client", "0", &first.ask(&version)?.to_string());
    let mut idle = Vec::new();
    for _ in 0..1000 {
        idle.push(UnixStream::connect(lab.host(1).socket())?);
    }
    let answered = others_are_answered(lab)?;
    lab.check("with 1000 idle clients the next is answered", answered);
    for _ in 0..100 {
        idle.push(UnixStream::connect(lab.host(1).socket())?);
    }
    if is_original(lab) {
        let answered = others_are_answered(lab)?;
        lab.check("with 1100 idle clients the next is not answered", !answered);
    }
    lab.same(
        "the first client again",
        "0",
        &first.ask(&version)?.to_string(),
    );
    drop(idle);
    // The room of those who left is found again.
    let since = Instant::now();
    while !others_are_answered(lab)? {
        if since.elapsed() > PATIENCE {
            return Err("nobody is answered any more".into());
        }
    }
    let runs = lab.process("daemon1")?.ended().is_none();
    lab.check("the daemon runs", runs);
    Ok(())
}
