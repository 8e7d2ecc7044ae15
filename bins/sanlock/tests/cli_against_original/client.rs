//! Actions that a daemon carries out.

use std::path::Path;

use super::original::{
    Comparison, Daemon, Dir, Holder, OURS, keys_only, original, run, settle, without,
};

/// A daemon that has joined lockspace LS on a disk with resources at 1M, 2M, ... and an index at 16M.
struct Joined {
    daemon: Daemon,
    disk: String,
    _dir: Dir,
}

impl Joined {
    fn new(original: &Path) -> Joined {
        let dir = Dir::new();
        let disk = dir.disk("disk", 64);
        let daemon = Daemon::start(original, "one");
        let joined = Joined {
            daemon,
            disk,
            _dir: dir,
        };
        joined.original(original, "init -s LS:0:DISK:0 -o 2");
        for mebibyte in 1..=8 {
            joined.original(
                original,
                &format!("init -r LS:R{mebibyte}:DISK:{mebibyte}M"),
            );
        }
        joined.original(original, "add_lockspace -s LS:1:DISK:0 -o 2");
        joined
    }

    fn line(&self, line: &str) -> String {
        line.replace("DISK", &self.disk)
    }

    fn original(&self, original: &Path, line: &str) {
        let said = run(original, self.daemon.run_dir(), &self.line(line));
        assert_eq!(said.status, Some(0), "{line}: {said:?}");
    }
}

/// Lines that change nothing, or the same with every run.
const WITH_DAEMON: &str = "
status
host_status
host_status -s LS
host_status -s NO
gets
gets -h 1
renewal -s NO
read -s LS:1:DISK:0
read -s LS:1:DISK:0 -D
read -s :0:DISK:0 -D
read -s LS:7:DISK:0 -D
read -s XX:1:DISK:0
read -s LS:1:DISK:0 -Z 512 -A 1M
read -s LS:1:DISK:0 -Z 4096
read -s LS:1:/nonexistent:0
read -r LS:R1:DISK:1M -D
read -r LS:R1:DISK:1M -D -h 1
read -r LS:R2:DISK:2M -h 1
read -r ::DISK:2M
read -r LS:R1:DISK:40M
read -r LS:R1:DISK:1M -Z 512 -A 1M -D
inquire -p PID
inquire -p PID -D
inquire -p 1
acquire -r LS:R1:DISK:1M -p PID
acquire -r LS:R2:DISK:1M -p PID
acquire -r NO:R1:DISK:1M -p PID
acquire -r LS:R2:DISK:2M -p 1
acquire -r LS:R9:/nonexistent:0 -p PID
convert -r LS:R2:DISK:2M:SH -p PID
convert -r LS:R1:DISK:1M -p PID
release -r LS:R2:DISK:2M -p PID
release -s LS -O 1 -p PID
release -r LS:R2:DISK:2M -O 1 -p PID
request -r LS:R1:DISK:1M:1 -f 1
request -r LS:R1:DISK:1M:0 -f 0
request -r NO:R1:DISK:1M:0 -f 0
request -r LS:R1:/nonexistent:0:0 -f 0
examine -r LS:R1:DISK:1M
examine -s LS
examine -s LS:1:/x
align -s LS:1:DISK
align -s ::/nonexistent
init -s L2:0:DISK:32M
init -s L2:0:DISK:32M -Z 512
init -s L2:0:DISK:32M -Z 512 -A 1M -o 3 -m 3
init -r L2:r:DISK:33M -z 1
read -r L2:r:DISK:33M
init -r L2:r:DISK:33M -m 4 -n 5
init -r L2:r:/nonexistent:0
add_lockspace -s LS:1:DISK:0
add_lockspace -s LS:2:DISK:0 -o 3
add_lockspace -s L3:2001:DISK:0
add_lockspace -s L3:0:DISK:0
add_lockspace -s L3:1:/nonexistent:0
inq_lockspace -s LS:1:DISK:0
inq_lockspace -s LS:2:DISK:0
rem_lockspace -s LX:2:DISK:0
set_event -s NO -i 2 -g 0 -e 1 -d 2
set_config -s LS -u 1
set_config -s LS -u 0
set_config -s LS -O 1
set_config -s LS -O 0
set_config -s NO -O 0
set_config -s LS
shutdown -w 1
format -x LS:DISK:16M -Z 512 -A 1M
format -x LS:DISK:16M -Z 512
lookup -x LS:DISK:16M
update -x LS:DISK:16M -e foo:20M
lookup -x LS:DISK:16M -e foo
lookup -x LS:DISK:16M -e foo:20M
lookup -x LS:DISK:16M -e :20M
lookup -x LS:DISK:16M -e bar:20M
update -x LS:DISK:16M -e foo:20M -z 1
lookup -x LS:DISK:16M -e foo
rebuild -x LS:DISK:16M
lookup -x NO:DISK:16M -e foo
create -x NO:DISK:16M -e foo
delete -x LS:DISK:16M -e nofoo
";

#[test]
fn client_actions() {
    let Some(original) = original("client_actions") else {
        return;
    };
    let joined = Joined::new(&original);
    let run_dir = joined.daemon.run_dir();
    let holder = Holder::start(&original, run_dir, &[&joined.line("LS:R1:DISK:1M")]);
    let mut comparison = Comparison::new(&original, run_dir);
    let pid = holder.pid().to_string();
    for line in WITH_DAEMON.lines().filter(|line| !line.is_empty()) {
        let line = joined.line(line).replace("PID", &pid);
        comparison.line_as(&line, without(&["timestamp"]));
    }
    for line in ["status -o p", "status -o s", "status -o x"] {
        comparison.line(line);
    }
    for line in [
        "status -D",
        "status -D -o p",
        "status -D -o s",
        "host_status -D",
    ] {
        comparison.line_as(line, keys_only);
    }
    comparison.finish();
}

#[test]
fn what_grows_with_time() {
    let Some(original) = original("what_grows_with_time") else {
        return;
    };
    let joined = Joined::new(&original);
    let run_dir = joined.daemon.run_dir();
    let ours = run(Path::new(OURS), run_dir, "renewal -s LS");
    let theirs = run(&original, run_dir, "renewal -s LS");
    assert!(
        theirs.stdout.starts_with(&ours.stdout),
        "{}\n{}",
        ours.stdout,
        theirs.stdout
    );
    assert_eq!(ours.status, theirs.status);
    let ours = run(Path::new(OURS), run_dir, "log_dump");
    let theirs = run(&original, run_dir, "log_dump");
    let start = ours.stdout.trim_end();
    assert!(start.len() > 1000 && theirs.stdout.starts_with(start));
    assert_eq!((ours.status, theirs.status), (Some(1), Some(1)));
}

/// Steps that change what a process holds; each program goes through all of them.
const HOLDING: &str = "
acquire -r LS:R2:DISK:2M -r LS:R3:DISK:3M -p PID
inquire -p PID
inquire -p PID -D
read -r LS:R2:DISK:2M -h 1
convert -r LS:R2:DISK:2M:SH -p PID
convert -r LS:R2:DISK:2M:SH -p PID
inquire -p PID
read -r LS:R2:DISK:2M -h 1
status
convert -r LS:R2:DISK:2M -p PID
release -r LS:R2:DISK:2M -p PID
release -r LS:R2:DISK:2M -r LS:R3:DISK:3M -p PID
acquire -r LS:R2:DISK:2M:SH -p PID
release -a 1 -p PID
inquire -p PID
acquire -r LS:R4:DISK:4M -n 7 -p PID
release -r LS:R4:DISK:4M -p PID
acquire -r LS:R5:DISK:5M:77 -p PID
create -x LS:DISK:16M -e made
lookup -x LS:DISK:16M -e made
create -x LS:DISK:16M -e other
delete -x LS:DISK:16M -e made
lookup -x LS:DISK:16M
delete -x LS:DISK:16M -e other
";

#[test]
fn acquiring_converting_releasing() {
    let Some(original) = original("acquiring_converting_releasing") else {
        return;
    };
    let joined = Joined::new(&original);
    let run_dir = joined.daemon.run_dir();
    joined.original(&original, "format -x LS:DISK:16M -Z 512 -A 1M");
    let mut comparison = Comparison::new(&original, run_dir);
    let said = |program: &Path| {
        settle(&original, run_dir, 0);
        let holder = Holder::start(program, run_dir, &[&joined.line("LS:R1:DISK:1M")]);
        let pid = holder.pid().to_string();
        let steps = HOLDING.lines().filter(|line| !line.is_empty());
        let said = steps.map(|line| {
            let mut said = run(program, run_dir, &joined.line(line).replace("PID", &pid));
            said.stdout = said.stdout.replace(&pid, "PID");
            (line, said)
        });
        said.collect::<Vec<_>>()
    };
    let theirs = said(&original);
    let ours = said(Path::new(OURS));
    for ((line, theirs), (_, ours)) in theirs.iter().zip(&ours) {
        comparison.same(line, theirs, ours, |text| {
            without_versions(&without(&["timestamp"])(text))
        });
    }
    comparison.finish();
}

/// Lease versions grow with every acquire: `:DISK:OFFSET:7` becomes `:DISK:OFFSET:V`.
fn without_versions(text: &str) -> String {
    let hide = |word: &str| {
        let core = word.trim_end_matches('"');
        match core.rsplit_once(':') {
            Some((start, version))
                if version.bytes().all(|b| b.is_ascii_digit())
                    && start.matches(':').count() == 3 =>
            {
                format!("{start}:V{}", &word[core.len()..])
            }
            _ => word.to_owned(),
        }
    };
    let line = |line: &str| line.split(' ').map(hide).collect::<Vec<_>>().join(" ") + "\n";
    text.lines().map(line).collect()
}

#[test]
fn orphans() {
    let Some(original) = original("orphans") else {
        return;
    };
    let joined = Joined::new(&original);
    let run_dir = joined.daemon.run_dir();
    let keeper = Holder::start(&original, run_dir, &[&joined.line("LS:R1:DISK:1M")]);
    let pid = keeper.pid().to_string();
    let mut comparison = Comparison::new(&original, run_dir);
    let said = |program: &Path| {
        [
            "command -r LS:R2:DISK:2M -P 1 -c /bin/true",
            "command -r LS:R3:DISK:3M -P 1 -c /bin/true",
            "command -r LS:R2:DISK:2M -c /bin/true",
            "command -r LS:R2:DISK:2M -O 1 -P 1 -c /bin/echo taken over",
            "release -r LS:R2:DISK:2M -O 1 -p PID",
            "release -s LS -O 1 -p PID",
        ]
        .map(|line| {
            settle(&original, run_dir, 1);
            let line = joined.line(line).replace("PID", &pid);
            (run(program, run_dir, &line), line)
        })
    };
    let theirs = said(&original);
    let ours = said(Path::new(OURS));
    for ((theirs, line), (ours, _)) in theirs.iter().zip(&ours) {
        comparison.same(line, theirs, ours, str::to_owned);
    }
    comparison.finish();
}

#[test]
fn running_a_program_under_a_lease() {
    let Some(original) = original("running_a_program_under_a_lease") else {
        return;
    };
    let joined = Joined::new(&original);
    let run_dir = joined.daemon.run_dir();
    let mut comparison = Comparison::new(&original, run_dir);
    for line in [
        "command -r LS:R2:DISK:2M -c /bin/echo -D --help",
        "command -r LS:R2:DISK:2M -c /bin/false",
        "command -r LS:R2:DISK:2M -c /nonexistent",
        "command -r LS:R2:DISK:2M -c echo",
        "command -r LS:R9:DISK:2M -c /bin/echo never",
        "command -r LS:R2:DISK:2M -r LS:R3:DISK:3M:SH -c /bin/echo two",
    ] {
        comparison.settled_line(&joined.line(line), 0);
    }
    settle(&original, run_dir, 0);
    let missing = run(
        Path::new(OURS),
        run_dir,
        &joined.line("command -r LS:R2:DISK:2M -c /nonexistent"),
    );
    assert!(
        missing
            .stderr
            .starts_with("execv failed: No such file or directory\n"),
        "{missing:?}"
    );
    comparison.finish();
}

#[test]
fn who_holds_a_lease_is_told() {
    let Some(original) = original("who_holds_a_lease_is_told") else {
        return;
    };
    let joined = Joined::new(&original);
    let resource = joined.line("LS:R1:DISK:1M");
    let holder = Holder::start(Path::new(OURS), joined.daemon.run_dir(), &[&resource]);
    let here = run(
        Path::new(OURS),
        joined.daemon.run_dir(),
        &format!("command -r {resource} -c /bin/true"),
    );
    let pid = holder.pid();
    assert!(
        here.stderr
            .contains(&format!("LS:R1 is held on this host, by process {pid}\n")),
        "{here:?}"
    );

    let other = Daemon::start(&original, "two");
    let added = run(
        Path::new(OURS),
        other.run_dir(),
        &joined.line("add_lockspace -s LS:2:DISK:0 -o 2"),
    );
    assert_eq!(added.status, Some(0), "{added:?}");
    let there = run(
        Path::new(OURS),
        other.run_dir(),
        &format!("command -r {resource} -c /bin/true"),
    );
    assert_eq!(there.status, Some(1));
    assert!(there.stdout.ends_with("acquire done -243\n"), "{there:?}");
    assert!(there.stderr.contains("SANLK_ACQUIRE_IDLIVE"), "{there:?}");
    assert!(
        there
            .stderr
            .contains("resource LS:R1 is held by host id 1 (one), generation 1"),
        "{there:?}"
    );
}
