//! Actions on disks, without a daemon.

use std::fs;
use std::path::Path;

use super::original::{Comparison, Dir, OURS, original, run, without};

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
