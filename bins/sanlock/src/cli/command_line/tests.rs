//! The table of what is understood and what is said, proven against both original programs by
//! `tests/cli_against_original/`, which runs each refused line through them.

use super::*;

fn read(line: &str) -> (Option<Invocation>, Remarks) {
    let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
    let mut remarks = Remarks::default();
    let invocation = parse(&args, Configured::default(), &mut remarks);
    (invocation, remarks)
}

fn said(remarks: &Remarks) -> String {
    remarks
        .lines
        .iter()
        .map(|line| format!("{}\n", String::from_utf8_lossy(line)))
        .collect()
}

fn options(line: &str) -> Options {
    match read(line) {
        (Some(Invocation::Client(_, options) | Invocation::Direct(_, options)), _) => *options,
        other => panic!("{line}: {other:?}"),
    }
}

fn daemon(line: &str) -> DaemonOptions {
    match read(line) {
        (Some(Invocation::Daemon(options)), _) => options,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn refused_lines_and_what_is_said() {
    for (line, expected) in [
        ("bogus", "client action \"bogus\" is unknown\n"),
        ("client bogus", "client action \"bogus\" is unknown\n"),
        ("client -h", "client action \"-h\" is unknown\n"),
        (
            "client next_free",
            "client action \"next_free\" is unknown\n",
        ),
        ("direct bogus", "direct action \"bogus\" is unknown\n"),
        ("direct create", "direct action \"create\" is unknown\n"),
        ("direct dump", ""),
        ("direct next_free", ""),
        (
            "status D",
            "unknown option D\nspace required before option value\n",
        ),
        (
            "status -D1",
            "unknown option -D1\nspace required before option value\n",
        ),
        (
            "status -",
            "unknown option -\nspace required before option value\n",
        ),
        (
            "daemon status",
            "unknown option status\nspace required before option value\n",
        ),
        (
            "gets -h1",
            "unknown option -h1\nspace required before option value\n",
        ),
        (
            "log_dump --json",
            "unknown option --json\nspace required before option value\n",
        ),
        ("status -X", "option 'X' requires arg\n"),
        ("status -o", "option 'o' requires arg\n"),
        ("command -c", "option 'c' requires arg\n"),
        ("status -X 1", "unknown option: X\n"),
        ("daemon -X 1", "unknown option: X\n"),
        (
            "acquire -r x -X 1",
            "resource arg parse error -6\n\nunknown option: X\n",
        ),
        (
            "status -Z 512 -A 2M",
            "Invalid sector_size/align_size combination (512/2097152)\n\
             Use one of: 512/1M, 4096/1M, 4096/2M, 4096/4M, 4096/8M.\n",
        ),
        (
            "daemon -A 1M",
            "Invalid sector_size/align_size combination (0/1048576)\n\
             Use one of: 512/1M, 4096/1M, 4096/2M, 4096/4M, 4096/8M.\n",
        ),
        (
            "command -A 1M -Z -1 -c true",
            "Invalid sector_size/align_size combination (-1/1048576)\n\
             Use one of: 512/1M, 4096/1M, 4096/2M, 4096/4M, 4096/8M.\n",
        ),
    ] {
        let (invocation, remarks) = read(line);
        assert_eq!(invocation, None, "{line}");
        assert_eq!(said(&remarks), expected, "{line}");
    }
}

#[test]
fn lines_without_action() {
    for (line, expected) in [
        ("", Invocation::Usage { asked: true }),
        ("help", Invocation::Usage { asked: true }),
        ("-h status", Invocation::Usage { asked: true }),
        ("--help", Invocation::Usage { asked: true }),
        ("client", Invocation::Usage { asked: false }),
        ("direct", Invocation::Usage { asked: false }),
        ("version", Invocation::Version),
        ("-V", Invocation::LongVersion),
        ("--version", Invocation::LongVersion),
        ("client --help", Invocation::Help(Topic::AllClient)),
        ("daemon -D --help", Invocation::Help(Topic::Daemon)),
        (
            "gets --help",
            Invocation::Help(Topic::Client(ClientAction::Gets)),
        ),
        (
            "direct dump --help",
            Invocation::Help(Topic::Direct(DirectAction::Dump)),
        ),
        ("explain -- -243", Invocation::Explain(vec!["-243".into()])),
        (
            "explain -243 -1",
            Invocation::Explain(vec!["-243".into(), "-1".into()]),
        ),
    ] {
        assert_eq!(read(line), (Some(expected), Remarks::default()), "{line}");
    }
}

#[test]
fn client_may_be_left_out() {
    for line in ["client status -D -o p", "status -D -o p"] {
        let (invocation, _) = read(line);
        let Some(Invocation::Client(ClientAction::Status, options)) = invocation else {
            panic!("{invocation:?}");
        };
        assert!(options.debug && options.sort == b'p' && !options.json);
    }
}

#[test]
fn a_letter_may_mean_one_thing_here_and_another_there() {
    assert!(options("gets -h 1").hosts);
    assert!(options("read -h 2").hosts);
    assert!(!options("status -h 1").hosts);
    assert_eq!(daemon("daemon -h 1").high_priority, Some(1));
    assert_eq!(options("status -o s").sort, b's');
    assert_eq!(options("init -o 7").io_timeout, 7);
    assert_eq!(options("init -o 0").io_timeout, 10);
    assert_eq!(options("init -o -3").io_timeout, 10);
    assert_eq!(daemon("daemon -o 3").io_timeout, Some(3));
    assert_eq!(options("set_event -g 0x10").generation, 16);
    assert_eq!(daemon("daemon -g 30").kill_grace_seconds, Some(30));
    assert_eq!(daemon("daemon -g 61").kill_grace_seconds, None);
    assert_eq!(daemon("daemon -g -1").kill_grace_seconds, None);
    assert_eq!(options("set_event -e 0x10").event, 16);
    assert_eq!(options("create -e 16:2M").rentry.offset, 2 << 20);
    assert_eq!(
        daemon("daemon -e me").our_host_name.as_deref(),
        Some(b"me".as_slice())
    );
    assert_eq!(options("shutdown -w 1").wait, 1);
    assert_eq!(daemon("daemon -w 0").use_watchdog, Some(0));
    assert!(options("release -a 3").all);
}

#[test]
fn the_daemons_options() {
    let line = "daemon -D -Q 0 -R 1 -H 5 -L 7 -S -1 -U me -G us -t 1 -l 2 -b 9 -a 0";
    assert_eq!(
        daemon(line),
        DaemonOptions {
            debug: true,
            quiet_fail: Some(0),
            debug_renew: Some(1),
            renewal_history_size: Some(5),
            logfile_priority: Some(7),
            syslog_priority: Some(-1),
            user: Some("me".into()),
            group: Some("us".into()),
            max_worker_threads: Some(2),
            mlock_level: Some(2),
            set_bitmap_seconds: Some(9),
            use_aio: Some(0),
            ..DaemonOptions::default()
        }
    );
}

#[test]
fn what_follows_c_is_the_programs() {
    let options = options("command -r a:b:/c:0 -r a:d:/c:1M -P 1 -c /bin/x -D --help -c");
    assert_eq!(
        options.command,
        ["/bin/x", "-D", "--help", "-c"].map(OsString::from)
    );
    assert_eq!(options.resources.len(), 2);
    assert!(options.persistent && !options.debug);
}

#[test]
fn z_clears_whatever_its_value_and_says_so() {
    let (_, remarks) = read("init -z 0");
    assert_eq!(remarks.hints.len(), 1);
    assert!(options("init -z 0").clear);
    assert!(options("init -z 1").clear);
    assert!(!options("init").clear);
}

#[test]
fn sizes_become_flags() {
    let options = options("init -s ls:1:/d:0 -r a:b:/c:0 -x ls:/d:1M -Z 4096 -A 2M");
    assert!(options.is_about_lockspace());
    assert_eq!(options.sized_lockspace().flags.bits(), 0x220);
    assert_eq!(options.sized_resource().unwrap().flags.bits(), 0x220);
    assert_eq!(options.sized_rindex().flags.bits(), 0x220);
    let odd = self::options("init -s ls:1:/d:0 -Z 513");
    assert_eq!(
        (odd.sector_size, odd.sized_lockspace().flags.bits()),
        (513, 0)
    );
}

#[test]
fn the_target_is_a_process_or_a_client() {
    assert_eq!(
        (options("inquire").pid, options("inquire").client_id),
        (-1, -1)
    );
    assert_eq!(options("inquire -p 12").pid, 12);
    assert_eq!(options("inquire -C 4").client_id, 4);
}

#[test]
fn json_is_for_some_actions() {
    assert!(options("status --json -D").json);
    assert!(options("direct dump /x --json").json);
    assert_eq!(options("direct dump /x --json").path, "/x");
}

#[test]
fn bytes_that_are_no_text_pass() {
    use std::os::unix::ffi::OsStringExt;
    let word = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let mut remarks = Remarks::default();
    let args = [word(b"gets"), word(b"-\xff"), word(b"1")];
    assert_eq!(parse(&args, Configured::default(), &mut remarks), None);
    assert_eq!(remarks.lines, [b"unknown option: \xff".to_vec()]);
    let mut remarks = Remarks::default();
    assert_eq!(
        parse(&[word(b"\xfe")], Configured::default(), &mut remarks),
        None
    );
    assert_eq!(
        remarks.lines,
        [b"client action \"\xfe\" is unknown".to_vec()]
    );
}

/// Words of all kinds, in many orders, from one seed: none makes the parser panic, and what it takes can
/// be used.
#[test]
fn no_line_makes_it_panic() {
    const WORDS: &[&str] = &[
        "client",
        "direct",
        "daemon",
        "status",
        "init",
        "dump",
        "check",
        "create",
        "command",
        "-D",
        "-s",
        "-r",
        "-x",
        "-e",
        "-c",
        "-Z",
        "-A",
        "-o",
        "-g",
        "-p",
        "-f",
        "--json",
        "--help",
        "",
        "-",
        ":",
        "::::",
        "a:1:/p:1M",
        "a:b:/p:1M:SH",
        "\\",
        "a\\:b:c",
        "99999999999999999999999M",
        "-9223372036854775808M",
        "0x",
        "4096",
        "8M",
        "explain",
    ];
    let mut seed = 1u64;
    for _ in 0..20_000 {
        let mut next = |bound: usize| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(seed >> 33).unwrap() % bound
        };
        let args: Vec<OsString> = (0..next(8))
            .map(|_| WORDS[next(WORDS.len())].into())
            .collect();
        let parsed = parse(&args, Configured::default(), &mut Remarks::default());
        if let Some(Invocation::Client(_, options) | Invocation::Direct(_, options)) = parsed {
            let _ = options.sized_lockspace();
            let _ = options.sized_resource();
            let _ = options.sized_rindex();
        }
    }
}
