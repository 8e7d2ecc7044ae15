//! Lines that need no daemon.

use super::original::{Comparison, Dir, original, version};

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
