//! The string forms, on many texts.

use std::fmt::Write as _;

use sanlock_proto::*;

use crate::common::TempDir;
use crate::harness::{Outcome, skipped};
use crate::probe::{probe, run};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        write!(out, "{byte:02x}").unwrap();
        out
    })
}

fn show_resource(resource: &Resource) -> String {
    let printed = text::format_resource(resource).unwrap();
    format!(
        " {} {} {:x} {} 0 {}",
        hex(resource.lockspace.as_bytes()),
        resource.lver,
        resource.flags.bits(),
        resource.disks.len(),
        hex(&printed)
    )
}

/// What the C program prints for a line of its input.
fn our_answer(kind: u8, input: &[u8]) -> String {
    match kind {
        b'r' => match text::parse_resource(input) {
            Ok(resource) => format!("0{}", show_resource(&resource)),
            Err(e) => e.code().to_string(),
        },
        b's' => match text::state_to_resources(input) {
            Ok(resources) => {
                let mut out = format!("0 {}", resources.len());
                for resource in &resources {
                    out.push_str(&show_resource(resource));
                }
                let state = text::resources_to_state(&resources).unwrap();
                write!(out, " 0 {}", hex(&state)).unwrap();
                out
            }
            Err(e) => e.code().to_string(),
        },
        b'l' => {
            let lockspace = text::parse_lockspace(input);
            let path = lockspace.disk.path.as_bytes();
            format!(
                "{} {} {} {}",
                lockspace.host_id,
                lockspace.disk.offset,
                hex(lockspace.name.as_bytes()),
                hex(&path[..path.len().min(1023)])
            )
        }
        _ => hex(&text::export_path(input)),
    }
}

fn has_unterminated_name(input: &[u8]) -> bool {
    text::state_to_resources(input)
        .into_iter()
        .flatten()
        .chain(text::parse_resource(input))
        .any(|resource| {
            [resource.lockspace, resource.name]
                .iter()
                .any(|name| name.as_bytes().len() == Name::LEN)
        })
}

pub(crate) fn strings() -> Outcome {
    let dir = TempDir::new("strings");
    let program = match probe(dir.path(), "") {
        Ok(program) => program,
        Err(why) => return skipped(why),
    };
    let long_name = "n".repeat(47);
    let too_long = "n".repeat(49);
    let path_1023 = "p".repeat(1023);
    let path_1024 = "p".repeat(1024);
    let path_1025 = "p".repeat(1025);
    let spaces_600 = " ".repeat(600);
    let mut inputs: Vec<String> = [
        "",
        "a",
        "ab",
        "abc",
        "a:b",
        ":b:",
        "a:",
        "::",
        ":::",
        "a:b:c",
        "a:b:/p:0",
        "a:b:/p:0:",
        "a:b:/p:0:5",
        "a:b:/p:0:SH",
        "a:b:/p:0:SHARED",
        "a:b:/p:0:sh",
        "a:b:/p:x",
        "a:b:/p:-1",
        "a:b:/p:+7:-1",
        "a:b:/p: 7",
        "a:b:/p:0x10",
        "a:b:/p:0:0x10",
        "a:b:/p:0:0x",
        "a:b:/p:0:010",
        "a:b:/p:0:08",
        "a:b:/p:18446744073709551615",
        "a:b:/p:18446744073709551616",
        "a:b:/p:0:99999999999999999999",
        "a:b:/p:-99999999999999999999",
        "a:b:/p:7junk:8junk",
        "a:b:/p:0:/q:1",
        "a:b:/p:0:/q:1:3",
        "a:b:/p:0:/q:1:/r:2:/s:3:SH",
        "a:b:/p:0:/q:1:/r:2:/s:3:/t:4",
        "a\\:b:c\\ d:/p\\:q\\\\r:0",
        "a:b:/p\\",
        "a:b:/p:0\\",
        "\\",
        "a\\",
        "a:b:\\::0",
        "a:b::0",
        "a:b:/p:",
        "a b:c d:/e f:0:1",
        "a:b:/p:0 c:d:/p:1",
        "a:b:/p:0:1 c:d:/p:1:SH x:y:/z:2:3",
        "a:b:/p:0:1  c:d:/p:1",
        " a:b:/p:0:1",
        "a:b:/p:0:1 ",
        "a:1:/p:0",
        "a:2000:/p\\:q:1048576",
        "a:-1:/p:-5",
        "a:x:/p:y",
        "a",
        "a:9223372036854775808",
        "a:99999999999999999999:/p:0",
        "a\\:b:7:/p\\\\q:8:9",
        "a: \t12:/p:\n13",
        "\\\\",
        "a\\\\ b",
        "/path with:colon\\:and\\ escapes\\\\",
        "end\\",
        "a:b:/p:0\\ 1:2",
        "a\\\\:b:/p:0:1",
        "a\\\\\\:b:/p:0:1",
        "a:b:/p\\\\\\:q:0 c:d:/e:1:2",
    ]
    .map(str::to_owned)
    .to_vec();
    inputs.extend([
        format!("{long_name}:b:/p:0"),
        format!("{too_long}:b:/p:0"),
        format!("a:{too_long}:/p:0"),
        format!("{too_long}:1:/p:0"),
        format!("a:b:{path_1023}:0"),
        format!("a:b:{path_1024}:0"),
        format!("a:b:{path_1025}:0"),
        format!("a:1:{path_1023}:0"),
        format!("a:1:{path_1025}:0"),
        path_1023,
        path_1024,
        path_1025,
        format!("{spaces_600}x"),
        format!("x{spaces_600}"),
        "\\x".repeat(600),
    ]);
    // Texts made of what matters, by a generator that needs no seed.
    let alphabet = [
        ":",
        ":",
        ":",
        "\\",
        " ",
        "a",
        "/p",
        "0",
        "7",
        "SH",
        "-",
        "0x1f",
        "\t",
        "18446744073709551616",
    ];
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..20_000 {
        let pieces = next() % 24;
        inputs.push(
            (0..pieces)
                .map(|_| alphabet[(next() % alphabet.len() as u64) as usize])
                .collect(),
        );
    }
    for _ in 0..20_000 {
        let disks = next() % 6;
        let mut line = String::from("ls\\:1:re s");
        for _ in 0..disks {
            let path = ["/a", "/b\\:c", "/d\\\\e", "/f\\ g", "/h i", ""][(next() % 6) as usize];
            let offset =
                ["0", "1048576", "", "x", "-1", " 8", "0x9"][(next() % 30).min(6) as usize];
            write!(line, ":{path}:{offset}").unwrap();
        }
        line.push_str(["", ":3", ":SH", ":", " next:one:/x:0", "\\"][(next() % 6) as usize]);
        inputs.push(line);
    }

    let mut script = String::new();
    let mut asked = Vec::new();
    for input in &inputs {
        for kind in [b'r', b'l', b'e', b's'] {
            // The library prints a name of 48 bytes together with what follows it in memory.
            let is_unsafe = match kind {
                b's' | b'r' => has_unterminated_name(input.as_bytes()),
                _ => false,
            };
            if is_unsafe {
                continue;
            }
            writeln!(script, "{} {}", char::from(kind), hex(input.as_bytes())).unwrap();
            asked.push((kind, input));
        }
    }
    let answers = run(&program, "text", &script, None);
    let answers: Vec<&str> = answers.lines().collect();
    assert_eq!(answers.len(), asked.len());
    let understood = answers
        .iter()
        .filter(|answer| answer.starts_with("0 "))
        .count();
    assert!(understood > 5000, "{understood}");
    for ((kind, input), theirs) in asked.iter().zip(answers) {
        let ours = our_answer(*kind, input.as_bytes());
        assert_eq!(
            ours.trim_end(),
            theirs.trim_end(),
            "{} {input:?}",
            char::from(*kind)
        );
    }
    Outcome::Passed
}
