//! What a reply looks like, and what becomes of the connection after it.

use super::connection::{Answer, Connection};
use super::message::{self, Header, SELF, cmd};
use super::{connect, registered, silence_or, with_a_lockspace};
use crate::lab::Lab;
use crate::lab::failure::Failure;
use crate::test::Test;

pub(super) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "wire/replies",
            needs: &[],
            seconds: 15,
            run: replies,
        },
        Test {
            name: "wire/registered",
            needs: &[],
            seconds: 10,
            run: of_a_registered_process,
        },
        Test {
            name: "wire/shutdown",
            needs: &[],
            seconds: 5,
            run: shutdown,
        },
        Test {
            name: "wire/versions",
            needs: &[],
            seconds: 8,
            run: versions,
        },
        Test {
            name: "wire/pieces",
            needs: &[],
            seconds: 6,
            run: pieces,
        },
        Test {
            name: "wire/status",
            needs: &[],
            seconds: 6,
            run: status,
        },
    ]
}

/// Each command in a good form: `seq` and flags come back, the version is 1, `data` is the result.
/// After most replies the connection stays open.
fn replies(lab: &mut Lab) -> Result<(), Failure> {
    let path = with_a_lockspace(lab)?;
    let space = message::lockspace("LS", 1, &path);
    let gone = message::lockspace("XX", 1, &path);
    let lease = message::on_disk("LS", "R", &path, 1 << 20);
    let name = message::resource("LS", "R", 0, 0);
    let index = message::rindex("LS", &path, 2 << 20);
    let entry = message::rentry("one");
    let with_entry = [index.clone(), entry].concat();
    let with_event = [space.clone(), message::event(2)].concat();
    let disk = message::disk(&path, 0);
    let new = Header::new;
    let (free, lvb) = (vec![], [name.clone(), vec![7; 512]].concat());
    let requests: Vec<(&str, Header, &[u8], &str)> = vec![
        (
            "add_lockspace",
            new(cmd::ADD_LOCKSPACE),
            &space,
            "-17 0 32 open",
        ),
        (
            "inq_lockspace",
            new(cmd::INQ_LOCKSPACE),
            &space,
            "0 0 32 open",
        ),
        (
            "rem_lockspace",
            new(cmd::REM_LOCKSPACE),
            &gone,
            "-2 0 32 open",
        ),
        (
            "get_lockspaces",
            new(cmd::GET_LOCKSPACES),
            &free,
            "0 1 1136 closed",
        ),
        ("get_hosts", new(cmd::GET_HOSTS), &gone, "-2 0 32 closed"),
        (
            "set_config",
            new(cmd::SET_CONFIG).data(2, 9),
            &space,
            "0 9 32 closed",
        ),
        ("align", new(cmd::ALIGN), &disk, "1048576 0 32 open"),
        (
            "read_lockspace",
            new(cmd::READ_LOCKSPACE),
            &space,
            "0 1 1136 open",
        ),
        (
            "read_lockspace",
            new(cmd::READ_LOCKSPACE),
            &gone,
            "-226 0 1136 open",
        ),
        (
            "read_resource",
            new(cmd::READ_RESOURCE),
            &lease,
            "0 0 160 open",
        ),
        (
            "owners",
            new(cmd::READ_RESOURCE_OWNERS),
            &lease,
            "0 0 160 open",
        ),
        (
            "write_resource",
            new(cmd::WRITE_RESOURCE),
            &lease,
            "0 0 32 open",
        ),
        ("request", new(cmd::REQUEST), &lease, "0 0 32 open"),
        (
            "examine_lockspace",
            new(cmd::EXAMINE_LOCKSPACE),
            &space,
            "0 0 32 open",
        ),
        (
            "examine_resource",
            new(cmd::EXAMINE_RESOURCE),
            &name,
            "0 0 32 open",
        ),
        ("set_lvb", new(cmd::SET_LVB), &lvb, "-2 0 32 open"),
        ("get_lvb", new(cmd::GET_LVB), &name, "-2 0 32 open"),
        ("reg_event", new(cmd::REG_EVENT), &with_event, "0 0 32 open"),
        ("end_event", new(cmd::END_EVENT), &gone, "-2 0 32 closed"),
        ("set_event", new(cmd::SET_EVENT), &with_event, "0 0 32 open"),
        (
            "format_rindex",
            new(cmd::FORMAT_RINDEX),
            &index,
            "0 0 32 open",
        ),
        (
            "create_resource",
            new(cmd::CREATE_RESOURCE),
            &with_entry,
            "0 0 96 open",
        ),
        (
            "update_rindex",
            new(cmd::UPDATE_RINDEX),
            &with_entry,
            "-22 0 96 open",
        ),
        (
            "lookup_rindex",
            new(cmd::LOOKUP_RINDEX),
            &with_entry,
            "0 0 96 open",
        ),
        (
            "delete_resource",
            new(cmd::DELETE_RESOURCE),
            &with_entry,
            "0 0 96 open",
        ),
        (
            "rebuild_rindex",
            new(cmd::REBUILD_RINDEX),
            &index,
            "0 0 32 open",
        ),
        (
            "host_status",
            new(cmd::HOST_STATUS),
            &gone,
            "-28 0 32 closed",
        ),
        ("renewal", new(cmd::RENEWAL), &gone, "-28 0 32 closed"),
        (
            "acquire, no pid",
            new(cmd::ACQUIRE).data(0, SELF),
            &[0; 56],
            "-16 0 32 open",
        ),
        (
            "acquire, pid 1",
            new(cmd::ACQUIRE).data(0, 1),
            &[0; 56],
            "-3 0 32 open",
        ),
        (
            "release, pid 1",
            new(cmd::RELEASE).data(1, 1),
            &name,
            "-3 0 32 open",
        ),
        (
            "convert, pid 1",
            new(cmd::CONVERT).data(0, 1),
            &name,
            "-3 0 32 open",
        ),
        (
            "inquire, pid 1",
            new(cmd::INQUIRE).data(0, 1),
            &free,
            "-3 0 32 open",
        ),
        (
            "killpath",
            new(cmd::KILLPATH).data(0, SELF),
            &[0; 256],
            "-16 0 32 open",
        ),
        (
            "restrict",
            new(cmd::RESTRICT).data(5, 6),
            &free,
            "0 0 32 open",
        ),
    ];
    for (what, mut header, body, expected) in requests {
        header.seq = 0x1234_5678;
        let flags = header.cmd_flags;
        let mut connection = connect(lab)?;
        let answer = connection.ask(&header.with(body))?;
        let state = connection.state();
        let Answer::Reply(reply, _) = answer else {
            lab.note(format!("{what}: {answer}"));
            continue;
        };
        let found = format!(
            "{} {} {} {state}",
            reply.result(),
            reply.data2,
            reply.length
        );
        lab.same(what, expected, &found);
        let echoed = Header {
            length: 32,
            data: 0,
            data2: 0,
            ..reply
        };
        let sent = Header {
            length: 32,
            data: 0,
            data2: 0,
            cmd_flags: flags,
            ..header
        };
        lab.check(
            &format!("{what}: the reply's header is {reply:?}"),
            echoed == sent,
        );
    }
    Ok(())
}

/// Commands about the connection itself.
fn of_a_registered_process(lab: &mut Lab) -> Result<(), Failure> {
    let path = with_a_lockspace(lab)?;
    let mut me = registered(lab)?;
    let lease = message::on_disk("LS", "R", &path, 1 << 20);
    let acquire = [lease, message::options("owner")].concat();
    let inquire = Header::new(cmd::INQUIRE).data(0, SELF).bytes();
    let nothing = me.ask(&inquire)?;
    lab.same("inquire nothing", "0 0 32", &summary(&nothing));
    let got = me.ask(&Header::new(cmd::ACQUIRE).data(1, SELF).with(&acquire))?;
    lab.same("acquire", "0 0 32", &summary(&got));
    let Answer::Reply(header, state) = me.ask(&inquire)? else {
        return Err("no answer to inquire".into());
    };
    // The state ends with a NUL, which the length counts.
    let text = format!("LS:R:{path}:1048576:1\0");
    lab.check(
        "the state is the text of the resource",
        state == text.as_bytes(),
    );
    lab.check(
        "its length counts the NUL",
        header.length as usize == 32 + text.len(),
    );
    lab.check("data2 counts the resources", header.data2 == 1);
    let name = message::resource("LS", "R", 0, 0);
    let released = me.ask(&Header::new(cmd::RELEASE).data(1, SELF).with(&name))?;
    lab.same("release", "0 0 32", &summary(&released));
    let nothing = me.ask(&Header::new(cmd::RELEASE).data(0, SELF).bytes())?;
    lab.same("release nothing", "0 0 32", &summary(&nothing));
    lab.same("the connection", "open", &me.state());
    // The daemon sees the end of the process and answers for it no more.
    let pid = me.process().map_or(0, |process| process.pid());
    let mut other = connect(lab)?;
    let known = other.ask(&Header::new(cmd::INQUIRE).data(0, pid).bytes())?;
    lab.same("inquire a live process", "0 0 32", &summary(&known));
    drop(me);
    std::thread::sleep(std::time::Duration::from_millis(500));
    let gone = other.ask(&Header::new(cmd::INQUIRE).data(0, pid).bytes())?;
    lab.same("inquire a dead process", "-3 0 32", &summary(&gone));
    Ok(())
}

fn summary(answer: &Answer) -> String {
    match answer {
        Answer::Reply(header, _) => {
            format!("{} {} {}", header.result(), header.data2, header.length)
        }
        other => other.to_string(),
    }
}

/// SHUTDOWN is not answered, SHUTDOWN_WAIT is, by a header without a command.
fn shutdown(lab: &mut Lab) -> Result<(), Failure> {
    lab.start(1, &[])?;
    let mut one = connect(lab)?;
    let answer = one.try_asking(&Header::new(cmd::SHUTDOWN).bytes())?;
    lab.same("shutdown", "closed", &answer.to_string());
    let end = lab.process("daemon1")?.wait(super::connection::PATIENCE);
    lab.same("the daemon's end", "0", &end.unwrap_or_default());
    drop(lab.host(1).forget());
    lab.start(1, &[])?;
    let mut header = Header::new(cmd::SHUTDOWN_WAIT).flags(3);
    header.seq = 9;
    let Answer::Reply(reply, _) = connect(lab)?.ask(&header.bytes())? else {
        return Err("no answer to shutdown_wait".into());
    };
    lab.check(
        &format!("the last reply is {reply:?}"),
        reply == Header::new(0),
    );
    let end = lab.process("daemon1")?.wait(super::connection::PATIENCE);
    lab.same("the daemon's end", "0", &end.unwrap_or_default());
    Ok(())
}

/// VERSION is answered for any protocol; other commands for major 0 with any minor.
fn versions(lab: &mut Lab) -> Result<(), Failure> {
    lab.start(1, &[])?;
    let asked = |lab: &mut Lab, cmd, version| -> Result<String, Failure> {
        let mut header = Header::new(cmd).flags(7);
        (header.version, header.seq) = (version, 5);
        match connect(lab)?.try_asking(&header.bytes())? {
            Answer::Reply(reply, _) => Ok(format!(
                "version {} flags {} seq {} length {} result {} data2 {:#x}",
                reply.version,
                reply.cmd_flags,
                reply.seq,
                reply.length,
                reply.result(),
                reply.data2
            )),
            other => Ok(other.to_string()),
        }
    };
    let number = match lab.host(1).daemon.generation {
        crate::lab::program::Generation::G38 => "0x3080500",
        crate::lab::program::Generation::G39 => "0x3090500",
    };
    let expected = format!("version 1 flags 0 seq 0 length 32 result 0 data2 {number}");
    for version in [0, 1, 9, 0x1_0000, 0x7fff_0001, u32::MAX] {
        let found = asked(lab, cmd::VERSION, version)?;
        lab.same(
            &format!("VERSION by protocol {version:#x}"),
            &expected,
            &found,
        );
    }
    let expected = "version 1 flags 7 seq 5 length 32 result 0 data2 0x0";
    for version in [0, 1, 9, 0xffff] {
        let found = asked(lab, cmd::RESTRICT, version)?;
        lab.same(
            &format!("RESTRICT by protocol {version:#x}"),
            expected,
            &found,
        );
    }
    let refused = "version 1 flags 7 seq 5 length 32 result -95 data2 0x0";
    let expected = silence_or(lab, refused);
    for version in [0x1_0000, 0x1_0001, u32::MAX] {
        let found = asked(lab, cmd::RESTRICT, version)?;
        lab.same(
            &format!("RESTRICT by protocol {version:#x}"),
            expected,
            &found,
        );
    }
    Ok(())
}

/// Requests in odd portions.
fn pieces(lab: &mut Lab) -> Result<(), Failure> {
    lab.start(1, &[])?;
    let version = Header::new(cmd::VERSION).bytes();
    let mut connection = connect(lab)?;
    connection.send(&[version.clone(), version.clone(), version.clone()].concat())?;
    for _ in 0..3 {
        let answer = connection.answer(super::connection::PATIENCE);
        lab.same("three requests in one write", "0", &answer.to_string());
    }
    let inquiry = Header::new(cmd::INQ_LOCKSPACE).with(&message::lockspace("LS", 1, "/dev/null"));
    for byte in &inquiry {
        connection.send(std::slice::from_ref(byte))?;
    }
    let answer = connection.answer(super::connection::PATIENCE);
    lab.same("one byte at a time", "-2", &answer.to_string());
    connection.send(&[inquiry.clone(), version.clone()].concat())?;
    let (first, second) = (
        connection.answer(super::connection::PATIENCE),
        connection.answer(super::connection::PATIENCE),
    );
    lab.same(
        "a request behind a slow one",
        "-2 0",
        &format!("{first} {second}"),
    );
    // The length in the header does not count where the body's length is known.
    for length in [0, 31, 33, u32::MAX] {
        let mut header = Header::new(cmd::INQ_LOCKSPACE);
        header.length = length;
        let mut bytes = header.bytes();
        bytes.extend_from_slice(&inquiry[32..]);
        let answer = connect(lab)?.ask(&bytes)?;
        lab.same(&format!("a length of {length}"), "-2", &answer.to_string());
    }
    Ok(())
}

/// STATUS sends records until it closes; `data` limits their kinds.
fn status(lab: &mut Lab) -> Result<(), Failure> {
    let path = with_a_lockspace(lab)?;
    let mut holder = registered(lab)?;
    let lease = message::on_disk("LS", "R", &path, 1 << 20);
    let acquire = [lease, message::options("owner")].concat();
    holder.ask(&Header::new(cmd::ACQUIRE).data(1, SELF).with(&acquire))?;
    for (data, expected) in [
        (0, "1 2 2 2 2 3 4"),
        (1, "1"),
        (2, "1 2 2 2 2"),
        (3, "1 2 2 2 2 3"),
        (4, "1 2 2 2 2 3 4"),
    ] {
        let mut connection = connect(lab)?;
        let Answer::Reply(reply, _) =
            connection.ask(&Header::new(cmd::STATUS).data(data, 0).bytes())?
        else {
            return Err("no answer to status".into());
        };
        lab.same(
            "the header",
            "0 32",
            &format!("{} {}", reply.result(), reply.length),
        );
        let kinds = kinds_of_records(&mut connection)?;
        lab.same(
            &format!("the kinds of records for {data}"),
            expected,
            &kinds,
        );
    }
    let Answer::Reply(dump, _) = connect(lab)?.ask(&Header::new(cmd::LOG_DUMP).bytes())? else {
        return Err("no answer to log_dump".into());
    };
    lab.check("log_dump's result is a number of bytes", dump.result() > 0);
    Ok(())
}

/// Reads records as `sanlock client status` does: 80 bytes, a text, and a binary part by kind. The
/// 3.9 daemon sends workers (7), which are left out.
fn kinds_of_records(connection: &mut Connection) -> Result<String, Failure> {
    let mut kinds = Vec::new();
    while let Some(record) = connection.bytes(80) {
        let word = |at: usize| {
            let word = record.get(at..at + 4).and_then(|four| four.try_into().ok());
            u32::from_le_bytes(word.unwrap_or_default()) as usize
        };
        let (kind, text) = (word(0), word(72));
        let mut rest = connection.bytes(text).ok_or("a record ends early")?;
        if rest.pop() != Some(0) {
            return Err("the text of a record does not end with NUL".into());
        }
        match kind {
            3 => drop(connection.bytes(1104).ok_or("a lockspace ends early")?),
            4 => {
                let resource = connection.bytes(128).ok_or("a resource ends early")?;
                let disks = Header::read(&resource[96..]).data2;
                drop(
                    connection
                        .bytes(disks as usize * 1040)
                        .ok_or("a disk is missing")?,
                );
            }
            _ => {}
        }
        if kind != 7 {
            kinds.push(kind.to_string());
        }
    }
    Ok(kinds.join(" "))
}
