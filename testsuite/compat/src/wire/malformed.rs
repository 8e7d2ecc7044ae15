//! Input that no library sends. Where the C daemon stops answering everybody, a replacement must
//! not.

use std::time::Duration;

use super::connection::{Answer, PATIENCE};
use super::message::{self, Header, MAGIC, SELF, cmd};
use super::{
    accepted, connect, is_original, others_are_answered, registered, silence_or, with_a_file,
    with_a_lockspace,
};
use crate::lab::Lab;
use crate::lab::failure::Failure;
use crate::test::Test;

pub(super) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "wire/half_header",
            needs: &[],
            seconds: 12,
            run: half_header,
        },
        Test {
            name: "wire/half_body",
            needs: &[],
            seconds: 20,
            run: half_body,
        },
        Test {
            name: "wire/half_close",
            needs: &[],
            seconds: 8,
            run: half_close,
        },
        Test {
            name: "wire/unknown",
            needs: &[],
            seconds: 25,
            run: unknown,
        },
        Test {
            name: "wire/disk_counts",
            needs: &[],
            seconds: 8,
            run: disk_counts,
        },
        Test {
            name: "wire/restricted",
            needs: &[],
            seconds: 15,
            run: restricted,
        },
        Test {
            name: "wire/disconnects",
            needs: &[],
            seconds: 10,
            run: disconnects,
        },
        Test {
            name: "wire/registered_twice",
            needs: &[],
            seconds: 8,
            run: registered_twice,
        },
        Test {
            name: "wire/strings",
            needs: &[],
            seconds: 8,
            run: strings,
        },
        Test {
            name: "wire/padding",
            needs: &[],
            seconds: 6,
            run: padding,
        },
    ]
}

/// A header that comes in part, and then no more: the C daemon waits for it and for nothing else.
fn half_header(lab: &mut Lab) -> Result<(), Failure> {
    lab.start(1, &[])?;
    for length in [1, 16, 31] {
        let mut slow = accepted(lab)?;
        let header = Header::new(cmd::VERSION).bytes();
        slow.send(&header[..length])?;
        std::thread::sleep(Duration::from_millis(100));
        let answered = others_are_answered(lab)?;
        let fault = is_original(lab);
        lab.check(
            &format!("others are answered while {length} bytes wait: {answered}"),
            answered != fault,
        );
        slow.send(&header[length..])?;
        let late = slow.answer(PATIENCE);
        lab.same("the late header", "0", &late.to_string());
        let answered = others_are_answered(lab)?;
        lab.check("others are answered after that", answered);
    }
    let mut broken = connect(lab)?;
    broken.send(&[1, 2, 3])?;
    drop(broken);
    let answered = others_are_answered(lab)?;
    lab.check("others are answered after a broken header", answered);
    Ok(())
}

/// A body that comes in part.
fn half_body(lab: &mut Lab) -> Result<(), Failure> {
    lab.start(1, &[])?;
    let space = message::lockspace("XX", 1, "/dev/null");
    let event = [space.clone(), message::event(1)].concat();
    // These are served by the C daemon's only thread that reads headers.
    let main = [
        ("get_hosts", cmd::GET_HOSTS, &space, "-2"),
        ("set_config", cmd::SET_CONFIG, &space, "-2"),
        ("host_status", cmd::HOST_STATUS, &space, "-28"),
        ("renewal", cmd::RENEWAL, &space, "-28"),
        ("reg_event", cmd::REG_EVENT, &event, "-2"),
        ("end_event", cmd::END_EVENT, &space, "-2"),
    ];
    // These are not.
    let workers = [
        ("inq_lockspace", cmd::INQ_LOCKSPACE, &space, "-2"),
        ("set_event", cmd::SET_EVENT, &event, "-2"),
    ];
    for (group, blocks) in [(&main[..], true), (&workers[..], false)] {
        for (what, cmd, body, expected) in group {
            let request = Header::new(*cmd).with(body);
            let mut slow = accepted(lab)?;
            slow.send(&request[..100])?;
            std::thread::sleep(Duration::from_millis(100));
            let answered = others_are_answered(lab)?;
            let fault = blocks && is_original(lab);
            let text = format!("others are answered while {what} waits: {answered}");
            lab.check(&text, answered != fault);
            slow.send(&request[100..])?;
            let late = slow.answer(PATIENCE);
            lab.same(
                &format!("{what} in two pieces"),
                expected,
                &late.to_string(),
            );
        }
    }
    Ok(())
}

/// A client that stops sending in mid-body is told so.
fn half_close(lab: &mut Lab) -> Result<(), Failure> {
    lab.start(1, &[])?;
    let space = message::lockspace("XX", 1, "/dev/null");
    for (what, cmd) in [
        ("inq_lockspace", cmd::INQ_LOCKSPACE),
        ("add_lockspace", cmd::ADD_LOCKSPACE),
        ("write_lockspace", cmd::WRITE_LOCKSPACE),
        ("get_hosts", cmd::GET_HOSTS),
    ] {
        let request = Header::new(cmd).with(&space);
        let mut connection = connect(lab)?;
        connection.send(&request[..200])?;
        connection.end_sending()?;
        let answer = connection.answer(PATIENCE);
        lab.same(
            what,
            "-107 closed",
            &format!("{answer} {}", connection.state()),
        );
    }
    let mut idle = connect(lab)?;
    idle.end_sending()?;
    lab.same(
        "nothing at all",
        "closed",
        &idle.answer(PATIENCE).to_string(),
    );
    Ok(())
}

/// What is not understood is not answered, or with -95 by a replacement if it may be a newer client's.
/// The connection stays usable.
fn unknown(lab: &mut Lab) -> Result<(), Failure> {
    lab.start(1, &[])?;
    let good = Header::new(cmd::VERSION).bytes();
    let mut magic = Header::new(cmd::VERSION);
    magic.magic = MAGIC + 1;
    let mut old = Header::new(cmd::INQUIRE);
    old.version = 0x0002_0000;
    let newer = silence_or(lab, "-95");
    let nothing = Header {
        magic: 0,
        version: 0,
        ..Header::new(0)
    };
    for (what, header, expected) in [
        ("a wrong magic", magic, "silence"),
        ("command 0", Header::new(0), newer),
        ("command 41", Header::new(41), newer),
        ("command 44", Header::new(44), newer),
        ("command 2^32-1", Header::new(u32::MAX), newer),
        ("a newer protocol", old, newer),
        ("zeros", nothing, "silence"),
    ] {
        let mut connection = connect(lab)?;
        let answer = connection.try_asking(&header.bytes())?;
        lab.same(what, expected, &answer.to_string());
        let answer = connection.ask(&good)?;
        lab.same(&format!("a request after {what}"), "0", &answer.to_string());
    }
    // Bytes behind such a header are taken for headers; none of them is one.
    let mut connection = connect(lab)?;
    let answer = connection.try_asking(&[magic.bytes(), vec![b'x'; 320]].concat())?;
    lab.same("junk", "silence", &answer.to_string());
    lab.same(
        "a request after junk",
        "0",
        &connection.ask(&good)?.to_string(),
    );
    Ok(())
}

/// Numbers of disks that cannot be.
fn disk_counts(lab: &mut Lab) -> Result<(), Failure> {
    let path = with_a_file(lab)?;
    let mut me = registered(lab)?;
    let none = [message::resource("LS", "R", 0, 0), message::options("x")].concat();
    let acquire = Header::new(cmd::ACQUIRE).data(1, SELF).with(&none);
    lab.same(
        "acquire without disks",
        "-34",
        &me.ask(&acquire)?.to_string(),
    );
    // What followed was drained: the connection is usable.
    let inquire = Header::new(cmd::INQUIRE).data(0, SELF).bytes();
    lab.same("inquire after it", "0", &me.ask(&inquire)?.to_string());
    let too_many = Header::new(cmd::ACQUIRE).data(9, SELF).bytes();
    lab.same(
        "acquire of 9 resources",
        "-7",
        &me.ask(&too_many)?.to_string(),
    );
    for count in [0, 5, 0x7fff_ffff, u32::MAX] {
        for (what, cmd) in [
            ("request", cmd::REQUEST),
            ("read_resource", cmd::READ_RESOURCE),
            ("write_resource", cmd::WRITE_RESOURCE),
            ("owners", cmd::READ_RESOURCE_OWNERS),
        ] {
            let mut body = message::resource("LS", "R", 0, count);
            body.extend_from_slice(&message::disk(&path, 0));
            let answer = connect(lab)?.ask(&Header::new(cmd).with(&body))?;
            lab.same(
                &format!("{what} with {count} disks"),
                "-34",
                &answer.to_string(),
            );
        }
    }
    let answered = others_are_answered(lab)?;
    lab.check("others are answered", answered);
    Ok(())
}

/// After RESTRICT_ALL nothing is answered on that connection, and it is not closed.
fn restricted(lab: &mut Lab) -> Result<(), Failure> {
    let path = with_a_lockspace(lab)?;
    let mut me = registered(lab)?;
    let pid = me.process().map_or(0, |process| process.pid());
    let restrict = Header::new(cmd::RESTRICT).flags(1).data(0, SELF).bytes();
    lab.same("restrict", "0", &me.ask(&restrict)?.to_string());
    for (what, request) in [
        ("version", Header::new(cmd::VERSION).bytes()),
        ("inquire", Header::new(cmd::INQUIRE).data(0, SELF).bytes()),
        ("restrict", Header::new(cmd::RESTRICT).bytes()),
    ] {
        let answer = me.try_asking(&request)?;
        let expected = silence_or(lab, "-1");
        lab.same(
            &format!("{what} when restricted"),
            expected,
            &answer.to_string(),
        );
    }
    // Others may still act for it.
    let body = [
        message::on_disk("LS", "R", &path, 1 << 20),
        message::options("guest"),
    ]
    .concat();
    let mut other = connect(lab)?;
    let acquired = other.ask(&Header::new(cmd::ACQUIRE).data(1, pid).with(&body))?;
    lab.same("acquire for it", "0", &acquired.to_string());
    let state = other.ask(&Header::new(cmd::INQUIRE).data(0, pid).bytes())?;
    let held = matches!(state, Answer::Reply(Header { data2: 1, .. }, _));
    lab.check("it holds the lease", held);
    Ok(())
}

/// Clients that go away or never read.
fn disconnects(lab: &mut Lab) -> Result<(), Failure> {
    let path = with_a_lockspace(lab)?;
    let space = message::lockspace("LS", 1, &path);
    let requests = [
        Header::new(cmd::ADD_LOCKSPACE).with(&space),
        Header::new(cmd::READ_LOCKSPACE).with(&space),
        Header::new(cmd::STATUS).bytes(),
        Header::new(cmd::LOG_DUMP).bytes(),
        Header::new(cmd::GET_HOSTS).with(&space),
        Header::new(cmd::REGISTER).bytes(),
    ];
    for request in &requests {
        for length in [0, 8, 32, request.len() / 2, request.len()] {
            let mut connection = connect(lab)?;
            connection.send(&request[..length])?;
            drop(connection);
        }
    }
    let answered = others_are_answered(lab)?;
    lab.check("others are answered after disconnects", answered);
    let mut deaf = Vec::new();
    for _ in 0..50 {
        let stream = std::os::unix::net::UnixStream::connect(lab.host(1).socket())?;
        std::io::Write::write_all(&mut &stream, &Header::new(cmd::READ_LOCKSPACE).with(&space))?;
        deaf.push(stream);
    }
    let answered = others_are_answered(lab)?;
    lab.check("others are answered while 50 do not read", answered);
    let runs = lab.process("daemon1")?.ended().is_none();
    lab.check("the daemon runs", runs);
    Ok(())
}

/// A second REGISTER on one connection: the C daemon forgets what is held, and it stays held on
/// the disk by nobody.
fn registered_twice(lab: &mut Lab) -> Result<(), Failure> {
    let path = with_a_lockspace(lab)?;
    let mut me = registered(lab)?;
    let body = [
        message::on_disk("LS", "R", &path, 1 << 20),
        message::options("owner"),
    ]
    .concat();
    let acquire = Header::new(cmd::ACQUIRE).data(1, SELF).with(&body);
    lab.same("acquire", "0", &me.ask(&acquire)?.to_string());
    me.send(&Header::new(cmd::REGISTER).bytes())?;
    let state = me.ask(&Header::new(cmd::INQUIRE).data(0, SELF).bytes())?;
    let Answer::Reply(header, _) = state else {
        return Err("no answer to inquire".into());
    };
    let kept = u32::from(!is_original(lab));
    lab.same(
        "leases held after it",
        &kept.to_string(),
        &header.data2.to_string(),
    );
    let again = me.ask(&acquire)?;
    lab.same("acquire again", "-17", &again.to_string());
    let released = me.ask(
        &Header::new(cmd::RELEASE)
            .data(1, SELF)
            .with(&message::resource("LS", "R", 0, 0)),
    )?;
    let expected = if is_original(lab) { "-1" } else { "0" };
    lab.same("release", expected, &released.to_string());
    Ok(())
}

/// Names and paths that fill their fields.
fn strings(lab: &mut Lab) -> Result<(), Failure> {
    let path = with_a_file(lab)?;
    let full = "n".repeat(48);
    let mut connection = connect(lab)?;
    let space = message::lockspace(&full, 0, &path);
    let written = connection.ask(&Header::new(cmd::WRITE_LOCKSPACE).data(0, 1).with(&space))?;
    lab.same(
        "write_lockspace, a name of 48 bytes",
        "0",
        &written.to_string(),
    );
    let lease = message::on_disk(&full, &full, &path, 1 << 20);
    let written = connection.ask(&Header::new(cmd::WRITE_RESOURCE).with(&lease))?;
    lab.same(
        "write_resource, names of 48 bytes",
        "0",
        &written.to_string(),
    );
    let read = connection.ask(&Header::new(cmd::READ_RESOURCE).with(&lease))?;
    lab.same("read_resource, names of 48 bytes", "0", &read.to_string());
    if let Answer::Reply(_, body) = read {
        lab.check(
            "both names come back whole",
            body.starts_with(full.repeat(2).as_bytes()),
        );
    }
    let mut join = message::lockspace(&full, 1, &path);
    let joined = connection.ask(&Header::new(cmd::ADD_LOCKSPACE).data(1, 0).with(&join))?;
    lab.same(
        "add_lockspace, a name of 48 bytes",
        "0",
        &joined.to_string(),
    );
    // A path without its NUL.
    join[64..64 + 1024].fill(b'p');
    for (what, cmd, expected) in [
        ("write_lockspace", cmd::WRITE_LOCKSPACE, "-19"),
        ("read_lockspace", cmd::READ_LOCKSPACE, "-19"),
        ("inq_lockspace", cmd::INQ_LOCKSPACE, "-2"),
    ] {
        let answer = connect(lab)?.ask(&Header::new(cmd).with(&join))?;
        lab.same(
            &format!("{what}, a path of 1024 bytes"),
            expected,
            &answer.to_string(),
        );
    }
    for (what, cmd) in [
        ("read_resource", cmd::READ_RESOURCE),
        ("write_resource", cmd::WRITE_RESOURCE),
    ] {
        let mut lease = message::on_disk("LS", "R", "", 0);
        lease[128..128 + 1024].fill(b'p');
        let answer = connect(lab)?.ask(&Header::new(cmd).with(&lease))?;
        lab.same(
            &format!("{what}, a path of 1024 bytes"),
            "-36",
            &answer.to_string(),
        );
    }
    let answered = others_are_answered(lab)?;
    lab.check("others are answered", answered);
    Ok(())
}

/// The C daemon sends memory in the padding of its records; a replacement sends zeros.
fn padding(lab: &mut Lab) -> Result<(), Failure> {
    with_a_lockspace(lab)?;
    let Answer::Reply(_, body) = connect(lab)?.ask(&Header::new(cmd::GET_LOCKSPACES).bytes())?
    else {
        return Err("no answer to get_lockspaces".into());
    };
    lab.check("one lockspace", body.len() == 1104);
    if !is_original(lab) {
        let clean = body.get(60..64) == Some(&[0; 4][..]) && body.get(1096..) == Some(&[0; 8][..]);
        lab.check("the padding of a lockspace is zero", clean);
    }
    Ok(())
}
