//! What the C command line prints of our records.

use std::path::Path;
use std::process::Command as Process;

use sanlock_proto::state::Attached;
use sanlock_proto::*;

use crate::calls::sample;
use crate::common::TempDir;
use crate::fake_daemon::fake_daemon;
use crate::harness::{Outcome, skipped};

/// Records for the C command line to print.
fn canned_records(_: usize, request: &Request) -> Option<Reply> {
    let record = |attached, data32, data64, name: &str, text: &str| StateRecord {
        data32,
        data64,
        name: name.parse().unwrap(),
        text: text.as_bytes().to_vec(),
        ..StateRecord::new(attached)
    };
    let records = match request {
        Request::Status { .. } => vec![
            record(
                Attached::Nothing(StateKind::Daemon),
                0,
                0,
                "host",
                "a=1 b=2",
            ),
            record(Attached::Nothing(StateKind::Client), 77, 0, "owner", "ci=1"),
            record(
                Attached::Lockspace(Lockspace {
                    name: Name::from_bytes(&[b'n'; 48]).unwrap(),
                    host_id: 5,
                    disk: sample("", 1).disks[0].clone(),
                    ..Lockspace::default()
                }),
                0,
                5,
                "ls",
                "list=add",
            ),
            record(
                Attached::Resource(sample("shared", 2)),
                77,
                3,
                "shared",
                "list=held",
            ),
            record(Attached::Nothing(StateKind::Client), 78, 0, "silent", ""),
        ],
        Request::HostStatus { .. } => {
            vec![record(
                Attached::Nothing(StateKind::Host),
                9,
                1234,
                "",
                "last_check=1",
            )]
        }
        Request::Renewal { .. } => {
            vec![record(
                Attached::Nothing(StateKind::Renewal),
                0,
                5,
                "",
                "timestamp=5",
            )]
        }
        Request::LogDump => return Some(Reply::LogDump(b"a line".to_vec())),
        Request::ShutdownWait { force: true } => return Some(Reply::ShutdownDone),
        other => panic!("{other:?}"),
    };
    Some(Reply::Records {
        result: 0,
        data2: 0,
        records,
    })
}

pub(crate) fn command_line() -> Outcome {
    let program = "/usr/sbin/sanlock";
    if !Path::new(program).exists() {
        return skipped(format!("no {program}"));
    }
    let dir = TempDir::new("command-line");
    let _seen = fake_daemon(dir.path(), canned_records);
    let run = |args: &[&str]| {
        let output = Process::new(program)
            .args(args)
            .env(RUN_DIR_VARIABLE, dir.path())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let names = "n".repeat(48);
    assert_eq!(
        run(&["client", "status", "-D"]),
        format!(
            "daemon host\n    a=1\n    b=2\np 77 owner\n    ci=1\ns {names}:5:/dev/first:1048576 ADD\n    \
             list=add\nr space:shared:/dev/first:1048576:/dev/second:2097152:SH p 77\n    list=held\n\
             p 78 silent\n"
        )
    );
    let hosts = run(&["client", "host_status", "-s", "ls", "-D"]);
    assert_eq!(hosts, "9 timestamp 1234\n    last_check=1\n");
    assert_eq!(run(&["client", "renewal", "-s", "ls"]), "timestamp=5\n");
    assert_eq!(run(&["client", "log_dump"]), "a line\n");
    assert_eq!(
        run(&["client", "shutdown", "-f", "1", "-w", "1"]),
        "shutdown force 1 wait 1\nshutdown done 0\n"
    );
    Outcome::Passed
}
