use super::*;
use crate::Severity;
use keys::{KEYS, NEWER};
use proptest::prelude::*;
use report::MAX_DIAGNOSTICS;

fn read(text: impl AsRef<[u8]>) -> Loaded {
    parse(Path::new("sanlock.conf"), text.as_ref())
}

/// What a text sets that must have nothing wrong with it.
fn clean(text: &str) -> SanlockConf {
    let loaded = read(text);
    assert_eq!(loaded.diagnostics, [], "{text}");
    loaded.conf
}

/// The one finding of a text.
fn finding(text: impl AsRef<[u8]>) -> (SanlockConf, Diagnostic) {
    let mut loaded = read(text);
    assert_eq!(loaded.diagnostics.len(), 1, "{:?}", loaded.diagnostics);
    (loaded.conf, loaded.diagnostics.remove(0))
}

/// A text that has no effect, and why.
fn refused(text: impl AsRef<[u8]>) -> Diagnostic {
    let (conf, diagnostic) = finding(text);
    assert_eq!(conf, SanlockConf::default());
    assert_eq!(diagnostic.severity, Severity::Error);
    diagnostic
}

#[test]
fn every_key_sets_its_own_field() {
    let conf = clean(
        "# all of them\n\
         quiet_fail = 0\n\
         debug_renew = 1\n\
         debug_hosts = 2\n\
         use_aio = 0\n\
         logfile_priority = 7\n\
         logfile_use_utc = 1\n\
         syslog_priority = -1\n\
         names_log_priority = 4\n\
         use_watchdog = 0\n\
         watchdog_fire_timeout = 30\n\
         io_timeout = 5\n\
         kill_grace_seconds = 15\n\
         high_priority = 1\n\
         mlock_level = 2\n\
         sh_retries = 9\n\
         uname = lease\n\
         gname = disk\n\
         our_host_name = node1\n\
         renewal_read_extend_sec = 0\n\
         write_init_io_timeout = 61\n\
         renewal_history_size = 0\n\
         paxos_debug_all = 1\n\
         debug_io = submit,complete\n\
         debug_clients = 1\n\
         debug_cmd = -all\n\
         debug_cmd = +acquire\n\
         max_sectors_kb = 2048\n\
         max_worker_threads = 50\n\
         use_hugepages = none\n",
    );
    let expected = SanlockConf {
        quiet_fail: Some(false),
        debug_renew: Some(true),
        debug_hosts: Some(DebugHosts::Updates),
        use_aio: Some(false),
        logfile_priority: Some(LogPriority(7)),
        logfile_use_utc: Some(true),
        syslog_priority: Some(LogPriority(-1)),
        names_log_priority: Some(LogPriority(4)),
        use_watchdog: Some(false),
        watchdog_fire_timeout: Some(30),
        io_timeout: Some(5),
        kill_grace_seconds: Some(15),
        high_priority: Some(true),
        mlock_level: Some(MlockLevel::CurrentAndFuture),
        sh_retries: Some(9),
        uname: Some("lease".to_owned()),
        gname: Some("disk".to_owned()),
        our_host_name: Some(b"node1".to_vec()),
        renewal_read_extend_sec: Some(0),
        write_init_io_timeout: Some(61),
        renewal_history_size: Some(0),
        paxos_debug_all: Some(true),
        debug_io: Some(DebugIo {
            submit: true,
            complete: true,
        }),
        debug_clients: Some(true),
        debug_cmd: vec![
            DebugCmd::All { on: false },
            DebugCmd::One {
                name: "acquire",
                on: true,
            },
        ],
        max_sectors_kb: Some(MaxSectorsKb::Kilobytes(2048)),
        max_worker_threads: Some(50),
        use_hugepages: Some(false),
    };
    assert_eq!(conf, expected);
}

#[test]
fn an_empty_file_sets_nothing() {
    for text in [
        "",
        "\n\n",
        "#\n# io_timeout = 3\n",
        "  \n\t\n",
        "\r\n",
        "   # indented\n",
    ] {
        assert_eq!(clean(text), SanlockConf::default(), "{text:?}");
    }
}

#[test]
fn spacing_as_upstream_takes_it() {
    for text in [
        "sh_retries=3",
        "sh_retries = 3\n",
        "sh_retries\t=\t3\n",
        "sh_retries =3   \r\n",
        "sh_retries= 3 # three\n",
        "sh_retries = 3#three\n",
        "sh_retries = +3\n",
        "sh_retries = 003\n",
    ] {
        assert_eq!(clean(text).sh_retries, Some(3), "{text:?}");
    }
}

#[test]
fn the_last_of_several_lines_counts_unless_it_is_bad() {
    assert_eq!(
        clean("sh_retries = 3\nsh_retries = 4\n").sh_retries,
        Some(4)
    );
    let (conf, diagnostic) = finding("sh_retries = 3\nsh_retries = many\n");
    assert_eq!(conf.sh_retries, Some(3));
    assert_eq!(
        (diagnostic.line, diagnostic.column, diagnostic.width),
        (2, 14, 4)
    );
}

#[test]
fn words_are_never_taken_for_numbers() {
    for key in ["use_watchdog", "io_timeout", "syslog_priority"] {
        for word in ["true", "yes", "no", "err", "-", "+", "=", "\"1\"", "x1"] {
            refused(format!("{key} = {word}\n"));
        }
        refused(format!("{key} = {}\n", "9".repeat(20)));
    }
    let diagnostic = refused("use_watchdog = true\n");
    assert_eq!(
        diagnostic.message,
        "use_watchdog: expected 0 (off) or 1 (on), found `true`"
    );
    assert_eq!(diagnostic.help.as_deref(), Some("write 1"));
}

#[test]
fn a_number_with_a_unit_counts_as_upstream_counts_it() {
    let (conf, diagnostic) = finding("watchdog_fire_timeout = 10s\n");
    assert_eq!(conf.watchdog_fire_timeout, Some(10));
    assert_eq!(diagnostic.severity, Severity::Warning);
    assert_eq!(
        diagnostic.message,
        "watchdog_fire_timeout: this counts as 10; `s` has no effect"
    );
}

#[test]
fn numbers_have_bounds() {
    for text in [
        "io_timeout = 0",
        "io_timeout = -1",
        "io_timeout = 65536",
        "watchdog_fire_timeout = 0",
        "watchdog_fire_timeout = 2147483648",
        "kill_grace_seconds = 61",
        "kill_grace_seconds = -1",
        "mlock_level = 3",
        "debug_hosts = 3",
        "sh_retries = -1",
        "renewal_history_size = -1",
        "renewal_read_extend_sec = -1",
        "write_init_io_timeout = 0",
        "max_sectors_kb = 0",
        "max_sectors_kb = 63",
        "max_sectors_kb = 8194",
        "max_sectors_kb = -2",
    ] {
        refused(text);
    }
    assert_eq!(clean("io_timeout = 65535").io_timeout, Some(65535));
    assert_eq!(
        clean("kill_grace_seconds = 60").kill_grace_seconds,
        Some(60)
    );
    assert_eq!(
        clean("max_sectors_kb = 8192").max_sectors_kb,
        Some(MaxSectorsKb::Kilobytes(8192))
    );
}

#[test]
fn numbers_that_upstream_bends_are_bent_with_a_warning() {
    let (conf, _) = finding("use_watchdog = 2");
    assert_eq!(conf.use_watchdog, Some(true));
    let (conf, _) = finding("max_worker_threads = 1");
    assert_eq!(conf.max_worker_threads, Some(2));
    let (conf, _) = finding("logfile_priority = 9");
    assert_eq!(conf.logfile_priority.map(LogPriority::number), Some(7));
    let (conf, _) = finding("logfile_priority = -5");
    assert_eq!(conf.logfile_priority.map(LogPriority::number), Some(-1));
}

#[test]
fn words_where_words_are_due() {
    assert_eq!(clean("use_hugepages = all").use_hugepages, Some(true));
    assert_eq!(
        clean("max_sectors_kb = align").max_sectors_kb,
        Some(MaxSectorsKb::Align)
    );
    assert_eq!(
        clean("max_sectors_kb = ignore").max_sectors_kb,
        Some(MaxSectorsKb::Ignore)
    );
    let (conf, warning) = finding("max_sectors_kb = xalign");
    assert_eq!(conf.max_sectors_kb, Some(MaxSectorsKb::Align));
    assert_eq!(warning.severity, Severity::Warning);
    refused("use_hugepages = 1");
    refused("max_sectors_kb = large");
    refused("debug_io = all");
    assert_eq!(
        clean("debug_io = complete").debug_io,
        Some(DebugIo {
            submit: false,
            complete: true
        })
    );
    // Upstream takes the first word only.
    let (conf, warning) = finding("debug_io = submit, complete");
    assert_eq!(warning.severity, Severity::Warning);
    assert_eq!(
        conf.debug_io,
        Some(DebugIo {
            submit: true,
            complete: false
        })
    );
}

#[test]
fn names() {
    assert_eq!(
        clean("our_host_name = a=b").our_host_name.as_deref(),
        Some(&b"a=b"[..])
    );
    let (conf, _) = finding(format!("our_host_name = {}", "n".repeat(60)));
    assert_eq!(conf.our_host_name.map(|name| name.len()), Some(48));
    let (conf, _) = finding("our_host_name = \"n\"");
    assert_eq!(conf.our_host_name.as_deref(), Some(&b"\"n\""[..]));
    assert_eq!(
        read(b"our_host_name = \xff\xfe\n")
            .conf
            .our_host_name
            .as_deref(),
        Some(&b"\xff\xfe"[..])
    );
    refused("uname = \"sanlock\"");
    refused(b"gname = \xff\n");
}

#[test]
fn debug_commands() {
    for name in COMMANDS {
        assert_eq!(
            clean(&format!("debug_cmd = -{name}\n")).debug_cmd,
            [DebugCmd::One { name, on: false }]
        );
    }
    assert_eq!(
        refused("debug_cmd = +aquire").help.as_deref(),
        Some("perhaps `acquire` was meant")
    );
    assert_eq!(
        refused("debug_cmd = acquire").help.as_deref(),
        Some("write `+acquire` or `-acquire`")
    );
    refused("debug_cmd = +");
}

#[test]
fn a_key_alone_takes_nothing_from_the_line_before() {
    let (conf, diagnostic) = finding("max_worker_threads = 33\nquiet_fail\n");
    assert_eq!(conf.quiet_fail, None);
    assert_eq!(diagnostic.message, "there is no `=` and no value");
    assert_eq!(
        refused("quiet_fail =\n").message,
        "there is no value after the `=`"
    );
    assert_eq!(refused("quiet_fail = \t \r\n").column, 12);
    assert_eq!(refused("= 3\n").message, "there is no key before the `=`");
}

#[test]
fn every_key_needs_a_value() {
    for (name, _) in KEYS {
        refused(name);
        refused(format!("{name} =\n"));
    }
}

#[test]
fn lines_that_upstream_passes_over_are_said() {
    let diagnostic = refused("  use_watchdog = 0\n");
    assert_eq!(
        diagnostic.message,
        "a line that starts with white space has no effect"
    );
    let diagnostic = refused("io_timeuot = 20\n");
    assert_eq!(diagnostic.message, "there is no setting `io_timeuot`");
    assert_eq!(
        diagnostic.help.as_deref(),
        Some("perhaps `io_timeout` was meant")
    );
    refused("quiet_fail: 1\n");
    refused("QUIET_FAIL = 1\n");
    refused("nonsense\n");
}

#[test]
fn words_too_many_are_said() {
    let (conf, diagnostic) = finding("sh_retries = 3 4\n");
    assert_eq!(conf.sh_retries, Some(3));
    assert_eq!((diagnostic.column, diagnostic.width), (16, 1));
    let (conf, diagnostic) = finding("sh_retries foo = 3\n");
    assert_eq!(conf.sh_retries, Some(3));
    assert_eq!((diagnostic.column, diagnostic.width), (12, 3));
}

#[test]
fn settings_of_later_releases_are_known_by_name() {
    for (name, _) in NEWER {
        let (conf, diagnostic) = finding(format!("{name} = 1\n"));
        assert_eq!(conf, SanlockConf::default());
        assert_eq!(diagnostic.severity, Severity::Warning);
        assert!(diagnostic.message.contains("not supported"), "{diagnostic}");
    }
    // These ask for what is done anyway.
    clean(
        "create_old_delta_disk_version = 3.4\n\
         create_old_paxos_disk_version = 6.4\n\
         use_compare_and_write = no\n",
    );
}

#[test]
fn a_nul_ends_a_line_and_not_the_file() {
    let (conf, _) = finding(b"sh_retries = 3\x00 = 9\nuse_aio = 0\n");
    assert_eq!((conf.sh_retries, conf.use_aio), (Some(3), Some(false)));
    assert_eq!(read(b"\0\0\0\n\0").conf, SanlockConf::default());
}

#[test]
fn huge_lines_stay_one_line() {
    let tail = format!("# {}sh_retries = 99\n", "c".repeat(125));
    assert_eq!(clean(&tail), SanlockConf::default());
    let long = format!("sh_retries = {}3\n", " ".repeat(1_000_000));
    let (conf, diagnostic) = finding(&long);
    assert_eq!(conf.sh_retries, Some(3));
    assert!(diagnostic.to_string().len() < 1000);
    let noise = "x".repeat(1_000_000);
    assert!(
        read(&noise)
            .diagnostics
            .iter()
            .all(|d| d.to_string().len() < 1000)
    );
}

#[test]
fn findings_are_bounded() {
    let loaded = read("nonsense\n".repeat(2000));
    assert_eq!(loaded.diagnostics.len(), MAX_DIAGNOSTICS);
    let last = loaded.diagnostics.last().unwrap();
    assert!(
        last.message.ends_with("(and 1900 more findings below)"),
        "{last}"
    );
    let loaded = read("nonsense\n".repeat(MAX_DIAGNOSTICS));
    assert!(!loaded.diagnostics.last().unwrap().message.contains("more"));
}

#[test]
fn a_file_that_is_not_there_sets_nothing() {
    let loaded = load(Path::new("/nonexistent/sanlock.conf")).unwrap();
    assert_eq!(loaded.conf, SanlockConf::default());
    assert!(load(Path::new("/")).is_err());
    assert!(matches!(
        load(Path::new("/dev/zero")),
        Err(LoadError::TooLong { .. })
    ));
}

#[test]
fn the_file_that_we_ship_has_nothing_wrong_in_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf/sanlock.conf");
    let loaded = load(&path).unwrap();
    assert_eq!(loaded.diagnostics, []);
    assert_eq!(loaded.conf, SanlockConf::default());
    // With the comment signs of its settings taken away it sets every key, and sets them well.
    let text = std::fs::read_to_string(&path).unwrap();
    let mut active = String::new();
    for line in text.lines() {
        assert!(line.len() <= 100, "{line}");
        if let Some(setting) = line.strip_prefix('#').filter(|l| !l.starts_with(' ')) {
            active.push_str(setting);
            active.push('\n');
        }
    }
    let conf = clean(&active);
    for (name, _) in KEYS {
        let known = active
            .lines()
            .any(|line| line.starts_with(&format!("{name} = ")));
        assert!(
            known || name == "use_aio",
            "{name} is not in the shipped file"
        );
    }
    assert_eq!(conf.use_watchdog, Some(true));
    assert_eq!(conf.io_timeout, Some(10));
    assert_eq!(conf.high_priority, Some(false));
}

fn noisy_line() -> impl Strategy<Value = Vec<u8>> {
    let key = prop_oneof![
        proptest::sample::select(KEYS.map(|(name, _)| name.as_bytes().to_vec()).to_vec()),
        proptest::collection::vec(any::<u8>(), 0..12),
    ];
    let between = proptest::sample::select(vec![" = ", "=", " ", "", " x = ", "\t=\t", "==", "= "]);
    let value = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        proptest::collection::vec(any::<u8>(), 0..300),
        proptest::sample::select(vec![
            "+all", "-acquire", "submit", "align", "1024", "all", "#", "0"
        ])
        .prop_map(|s| s.as_bytes().to_vec()),
    ];
    (key, between, value).prop_map(|(key, between, value)| {
        let mut line = key;
        line.extend_from_slice(between.as_bytes());
        line.extend_from_slice(&value);
        line.push(b'\n');
        line
    })
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(text in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let loaded = read(&text);
        for diagnostic in &loaded.diagnostics {
            prop_assert!(!diagnostic.to_string().contains(|c: char| c.is_control() && c != '\n'));
            prop_assert!(!diagnostic.one_line().contains('\n'));
        }
    }

    #[test]
    fn no_nearly_good_file_makes_it_panic(lines in proptest::collection::vec(noisy_line(), 0..30)) {
        for diagnostic in read(lines.concat()).diagnostics {
            prop_assert!(diagnostic.line >= 1 && diagnostic.column >= 1 && diagnostic.width >= 1);
            let _ = diagnostic.to_string();
        }
    }

    #[test]
    fn a_line_that_sets_nothing_is_never_silent(line in noisy_line()) {
        let loaded = read(&line);
        let line: Vec<u8> = line.split(|b| *b == b'\n' || *b == 0).next().unwrap().to_vec();
        // A vertical tab is white space to C's isspace, and not to trim_ascii.
        let blank = |b: &u8| b.is_ascii_whitespace() || *b == 0x0b;
        let text: Vec<u8> = line.iter().copied().skip_while(blank).collect();
        if loaded.conf == SanlockConf::default() && !text.is_empty() && !text.starts_with(b"#") {
            prop_assert!(!loaded.diagnostics.is_empty(), "{:?}", line);
        }
    }
}
