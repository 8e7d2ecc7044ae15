//! Every action of the command line, with the original program and with ours, against the original's
//! daemon and on equal disks. What programs may read, standard output and exit status, must be equal.
//!
//! The original is looked for at `$SANLOCK_ORIGINAL` or `/usr/sbin/sanlock`; where it is missing these
//! tests say so and do nothing. Both 3.8.5 and 3.9.5 will do: where the two differ ours is as 3.9.5, and
//! such lines are compared only with that.

#![allow(
    clippy::unwrap_used,
    reason = "a test says by panicking that it failed"
)]

mod original;

use std::fs;
use std::path::Path;

use original::{
    Comparison, Daemon, Dir, Holder, OURS, keys_only, original, run, settle, version, without,
};

/// Lines that need no daemon: refused by the parser, or by the missing daemon.
const WITHOUT_DAEMON: &str = "
bogus
client bogus
client -h
client next_free
direct bogus
direct create
status -X
status -X 1
status D
status -D1
status -
status -o
gets -h1
direct dump
direct next_free
status -Z 512 -A 2M
status -Z 4096
status -A 1M
status -A 3M -Z 512
daemon -X 1
daemon status
daemon -A 1M
command -c
command
command -r a:b:/c:0 -c /bin/true
acquire -r x -p 3
acquire -r a -p 3
acquire -r a:b:c -p 3
acquire -r a:b:c:x -p 3
acquire -r a:b:c:0:1:2:3 -p 3
acquire -r a:b:/c:0 -r a:b:/c:0 -r a:b:/c:0 -r a:b:/c:0 -r a:b:/c:0 -r a:b:/c:0 -r a:b:/c:0 -r a:b:/c:0 -r a:b:/c:0 -p 3
acquire -p 3
release -p 4
inquire -p 0
convert -p 4
request
examine
examine -s A
align
init
init -s a
init -z 0
read
read -h 1
read -r a:b
set_event
set_event -s A -i 010 -g 0x10 -e 99999999999999999999999 -d -1
set_config -s a
set_config -s a -u 0 -O 1
set_config -s a -u 1
format
create
delete
update
rebuild
lookup -x a:b:c
create -x a:b:c -e foo
gets
renewal
renewal -s x
host_status
host_status -s x
log_dump
shutdown
shutdown -f 3 -w 1
add_lockspace -o 5
add_lockspace -o 0
add_lockspace -s abc:1:/x:1M
inq_lockspace
rem_lockspace
direct init
direct init -s a:1:b:0
direct init -r a:b:c:0
direct init -r a:b
direct init -Z 4096 -r a:b:/nonexistent:0
direct dump /nonexistent
direct dump /nonexistent:1
direct next_free /nonexistent
direct acquire_id
direct release_id
direct renew_id
direct write_leader
direct write_leader -F /nonexistent
direct format
direct rebuild
direct lookup
direct update
";

#[test]
fn lines_that_need_no_daemon() {
    let Some(original) = original("lines_that_need_no_daemon") else {
        return;
    };
    let dir = Dir::new();
    let mut comparison = Comparison::new(&original, &dir.0);
    WITHOUT_DAEMON
        .lines()
        .filter(|line| !line.is_empty())
        .for_each(|line| comparison.line(line));
    if version(&original) >= vec![3, 9, 5] {
        for line in [
            "",
            "client",
            "direct",
            "help",
            "-h",
            "--help",
            "version",
            "client version",
            "inquire",
            "release",
        ] {
            comparison.line(line);
        }
        for line in [
            "acquire -C 4 -r a:b:c:0",
            "inquire -C 0",
            "convert -C 1",
            "release -C 4 -p 5",
        ] {
            comparison.line(line);
        }
    }
    comparison.finish();
}

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

/// What is done on two disks, with the original on one and with ours on the other.
const DIRECT: &str = "
init -s LS:0:DISK:0 SIZES
init -r LS:R:DISK:8M SIZES
init -r LS:R:DISK:8M -n 5 SIZES
init -r LS:R:DISK:8M -n 3000 SIZES
format -x LS:DISK:16M SIZES
read_leader -s LS:1:DISK:0
read_leader -s LX:1:DISK:0
read_leader -s LS:2001:DISK:0
read_leader -s LS:1:DISK:9M
read_leader -s LS:1:DISK:0 -Z 4096 -A 1M
read_leader -r LS:R:DISK:8M
read_leader -r LS:X:DISK:8M
read_leader -r LS:R:DISK:16M
dump DISK
dump DISK:0:64M -f 2
dump DISK:16M -f 1
dump DISK:24M:8M SIZES
dump DISK:60M
dump DISK:512
next_free DISK -Z 512 -A 1M
next_free DISK:8388608 -Z 512 -A 1M
next_free DISK:33554432 -Z 4096 -A 8M
lookup -x LS:DISK:16M
lookup -x LS:DISK:16M -e foo
update -x LS:DISK:16M -e foo:48M
lookup -x LS:DISK:16M -e foo
lookup -x LS:DISK:16M -e foo:48M
lookup -x LS:DISK:16M -e bar:48M
lookup -x LS:DISK:16M -e :48M
lookup -x LS:DISK:16M -e :4097
lookup -x XX:DISK:16M -e foo
lookup -x LS:DISK:17M -e foo
update -x LS:DISK:16M -e foo
update -x LS:DISK:16M -e foo:1
update -x LS:DISK:16M -e foo:48M -z 1
init -r LS:X:DISK:48M SIZES
rebuild -x LS:DISK:16M
lookup -x LS:DISK:16M -e X
dump DISK:0:64M -f 1
init -s LS:1:DISK:0 -o 1 SIZES
write_leader -r LS:X:DISK:48M -F FILE
read_leader -r LS:X:DISK:48M
init -s LS:1:DISK:0 -Z 4096
init -r LS:R:DISK:1M -Z 512
";

/// What puts times of its own on the disk.
const DIRECT_WITH_TIMES: &str = "
acquire -r LS:R:DISK:8M -i 3 -g 4
read_leader -r LS:R:DISK:8M
acquire -r LS:R:DISK:8M -i 4 -g 4
release -r LS:R:DISK:8M
dump DISK:0:64M -f 2
acquire_id -s LS:1:DISK:0 -e me -o 1
dump DISK:0:64M -f 2
renew_id -s LS:1:DISK:0
renew_id -s LS:2:DISK:0
release_id -s LS:1:DISK:0
release_id -s LS:2:DISK:0
read_leader -s LS:1:DISK:0
init -r LS:X:DISK:48M -z 1 SIZES
read_leader -r LS:X:DISK:48M
";

/// Two disks, one for each program, under one name, which so does not make the outputs differ.
struct TwoDisks<'a> {
    original: &'a Path,
    dir: &'a Dir,
    disks: [String; 2],
    sizes: &'a str,
}

impl<'a> TwoDisks<'a> {
    fn new(original: &'a Path, dir: &'a Dir, sizes: &'a str) -> TwoDisks<'a> {
        let disks = [dir.disk("theirs", 64), dir.disk("ours", 64)];
        TwoDisks {
            original,
            dir,
            disks,
            sizes,
        }
    }

    fn line(&self, comparison: &mut Comparison<'_>, line: &str, normal: impl Fn(&str) -> String) {
        let file = self.dir.0.join("fields");
        let line = format!("direct {line}").replace("SIZES", self.sizes);
        let line = line.replace("FILE", file.to_str().unwrap());
        let line = line.replace("DISK", &self.dir.point("disk", &self.disks[0]));
        let theirs = run(self.original, &self.dir.0, &line);
        self.dir.point("disk", &self.disks[1]);
        let ours = run(Path::new(OURS), &self.dir.0, &line);
        comparison.same(&format!("{line} ({})", self.sizes), &theirs, &ours, normal);
    }

    fn first_difference(&self) -> Option<usize> {
        const PIECE: usize = 1 << 20;
        let [theirs, ours] = self.disks.each_ref().map(|disk| fs::read(disk).unwrap());
        let mut pieces = theirs.chunks(PIECE).zip(ours.chunks(PIECE)).enumerate();
        pieces.find_map(|(number, (theirs, ours))| {
            if theirs == ours {
                return None;
            }
            let (theirs, ours) = (without_noise(theirs), without_noise(ours));
            let at = theirs
                .iter()
                .zip(&ours)
                .position(|(theirs, ours)| theirs != ours)?;
            Some(number * PIECE + at)
        })
    }
}

/// The bytes with zeros where the original writes memory that it never set: four bytes behind each
/// request record.
fn without_noise(bytes: &[u8]) -> Vec<u8> {
    const REQUEST: [u8; 4] = 0x0829_2011u32.to_le_bytes();
    let mut bytes = bytes.to_vec();
    for sector in bytes
        .chunks_exact_mut(512)
        .filter(|sector| sector.starts_with(&REQUEST))
    {
        sector[20..24].fill(0);
    }
    bytes
}

#[test]
fn direct_actions_on_equal_disks() {
    let Some(original) = original("direct_actions_on_equal_disks") else {
        return;
    };
    let dir = Dir::new();
    let fields = "lver 5\nbogus 3\nxx\n\nwrite_id 13\nextra1 4\nnum_hosts 12x\nchecksum 0x1\n";
    fs::write(dir.0.join("fields"), fields).unwrap();
    let mut comparison = Comparison::new(&original, &dir.0);
    for sizes in [
        "",
        "-Z 512 -A 1M",
        "-Z 4096 -A 1M",
        "-Z 4096 -A 2M",
        "-Z 4096 -A 4M",
        "-Z 4096 -A 8M",
    ] {
        let disks = TwoDisks::new(&original, &dir, sizes);
        for line in DIRECT.lines().filter(|line| !line.is_empty()) {
            disks.line(&mut comparison, line, str::to_owned);
            if let Some(at) = disks.first_difference() {
                comparison.note(format!("{line} ({sizes}): the disks differ at byte {at}"));
                break;
            }
        }
    }
    comparison.finish();
}

#[test]
fn direct_actions_with_times() {
    let Some(original) = original("direct_actions_with_times") else {
        return;
    };
    let dir = Dir::new();
    let mut comparison = Comparison::new(&original, &dir.0);
    for sizes in ["", "-Z 4096 -A 2M"] {
        let disks = TwoDisks::new(&original, &dir, sizes);
        for line in [
            "init -s LS:0:DISK:0 -o 1 SIZES",
            "init -r LS:R:DISK:8M SIZES",
        ] {
            disks.line(&mut comparison, line, str::to_owned);
        }
        for line in DIRECT_WITH_TIMES.lines().filter(|line| !line.is_empty()) {
            disks.line(&mut comparison, line, without_times);
        }
    }
    comparison.finish();
}

/// Times are ten digits in a dump; with them go the checksums over them.
fn without_times(text: &str) -> String {
    const WORDS: &[&str] = &["timestamp", "write_timestamp", "checksum", "inp3", "sum"];
    let hide = |word: &str| match word.len() {
        10 if word.bytes().all(|b| b.is_ascii_digit()) => "T".to_owned(),
        _ => word.to_owned(),
    };
    let text = without(WORDS)(text);
    text.lines()
        .map(|l| l.split(' ').map(hide).collect::<Vec<_>>().join(" ") + "\n")
        .collect()
}
