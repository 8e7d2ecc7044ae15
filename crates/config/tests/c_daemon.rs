//! Reads files with upstream's daemon and with ours and compares what they set.
//!
//! Upstream's daemon is `/usr/sbin/sanlock` or what `$SANLOCK_UPSTREAM` names. It gets a private
//! `/etc` in a mount namespace and says what it made of the file in `client status -D`.

#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub)]

#[path = "../../daemon/tests/common/harness.rs"]
mod harness;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use config::Severity;
use config::sanlock_conf::{self, DebugCmd, DebugHosts, MaxSectorsKb, MlockLevel, SanlockConf};
use harness::{Outcome, skipped};

fn main() -> ExitCode {
    harness::run(&[
        ("good_files_are_read_alike", good_files),
        ("lines_with_warnings_are_read_alike", warned_lines),
        ("the_shipped_file_changes_nothing_upstream", shipped_file),
    ])
}

/// What upstream's daemon says of its settings: `key=value` lines.
type Status = BTreeMap<String, String>;

struct Upstream {
    program: PathBuf,
    /// Without a configuration file.
    defaults: Status,
}

impl Upstream {
    fn find() -> Result<Self, String> {
        let program = std::env::var_os("SANLOCK_UPSTREAM")
            .map_or_else(|| PathBuf::from("/usr/sbin/sanlock"), PathBuf::from);
        if !program.exists() {
            return Err(format!("no {}", program.display()));
        }
        let unshare = Command::new("unshare")
            .args(["-m", "mount", "--bind", "/etc", "/etc"])
            .output();
        if !unshare.is_ok_and(|output| output.status.success()) {
            return Err("no right to make a mount namespace (unshare -m)".to_owned());
        }
        let mut upstream = Self {
            program,
            defaults: Status::new(),
        };
        upstream.defaults = upstream.status_with(b"");
        if upstream.defaults.is_empty() {
            return Err(format!("{} gives no status", upstream.program.display()));
        }
        Ok(upstream)
    }

    /// Starts a daemon on `text`, asks for its status and ends it.
    fn status_with(&self, text: &[u8]) -> Status {
        let directory = std::env::temp_dir().join(format!("sanlock-conf-{}", std::process::id()));
        let etc = directory.join("etc");
        std::fs::create_dir_all(etc.join("sanlock")).unwrap();
        for file in ["passwd", "group", "nsswitch.conf", "ld.so.cache"] {
            let _ = std::fs::copy(Path::new("/etc").join(file), etc.join(file));
        }
        std::fs::write(etc.join("sanlock/sanlock.conf"), text).unwrap();
        let script = format!(
            "mount --bind {etc} /etc || exit 1
             rm -rf {run}
             {sanlock} daemon -D -w 0 2>/dev/null & pid=$!
             for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
                 test -S {run}/sanlock.sock && break
                 sleep 0.1
             done
             sleep 0.1
             {sanlock} client status -D
             kill $pid; wait $pid",
            etc = etc.display(),
            run = directory.join("run").display(),
            sanlock = self.program.display(),
        );
        let output = Command::new("unshare")
            .args(["-m", "sh", "-c", &script])
            .env("SANLOCK_PRIVILEGED", "0")
            .env("SANLOCK_RUN_DIR", directory.join("run"))
            .output()
            .unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| line.trim().split_once('='))
            .filter(|(key, _)| COMPARED.contains(key))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    fn compare(&self, text: &str) {
        let loaded = sanlock_conf::parse(Path::new("sanlock.conf"), text.as_bytes());
        assert!(
            loaded
                .diagnostics
                .iter()
                .all(|d| d.severity == Severity::Warning),
            "{:?}",
            loaded.diagnostics
        );
        let mut expected = self.defaults.clone();
        for (key, value) in as_status(&loaded.conf, &self.defaults) {
            // What an old release does not know it does not show either.
            if let Some(shown) = expected.get_mut(&key) {
                *shown = value;
            }
        }
        let mut theirs = self.status_with(text.as_bytes());
        if loaded.conf.our_host_name.is_none() {
            // A new random name each time.
            theirs.remove("our_host_name");
            expected.remove("our_host_name");
        }
        // The default depends on this limit, which is the daemon's business and not the file's; and
        // 3.8 knows it as an option only (it does not show io_timeout either).
        let default_grace =
            loaded.conf.watchdog_fire_timeout.is_some() && loaded.conf.kill_grace_seconds.is_none();
        if default_grace || !self.defaults.contains_key("io_timeout") {
            theirs.remove("kill_grace_seconds");
            expected.remove("kill_grace_seconds");
        }
        assert_eq!(theirs, expected, "{text}");
    }
}

const COMPARED: [&str; 22] = [
    "our_host_name",
    "high_priority",
    "mlock_level",
    "quiet_fail",
    "debug_renew",
    "debug_hosts",
    "debug_clients",
    "debug_cmds",
    "renewal_history_size",
    "gid",
    "uid",
    "sh_retries",
    "max_sectors_kb_ignore",
    "max_sectors_kb_align",
    "max_sectors_kb_num",
    "max_worker_threads",
    "use_hugepages",
    "write_init_io_timeout",
    "use_aio",
    "io_timeout",
    "watchdog_fire_timeout",
    "kill_grace_seconds",
];

/// Our settings in the form of upstream's status.
fn as_status(conf: &SanlockConf, defaults: &Status) -> Status {
    fn number(switch: bool) -> String {
        u8::from(switch).to_string()
    }
    let mut all: Vec<(&str, Option<String>)> = vec![
        ("high_priority", conf.high_priority.map(number)),
        ("quiet_fail", conf.quiet_fail.map(number)),
        ("debug_renew", conf.debug_renew.map(number)),
        ("debug_clients", conf.debug_clients.map(number)),
        ("use_aio", conf.use_aio.map(number)),
        ("sh_retries", conf.sh_retries.map(|n| n.to_string())),
        ("io_timeout", conf.io_timeout.map(|n| n.to_string())),
        (
            "renewal_history_size",
            conf.renewal_history_size.map(|n| n.to_string()),
        ),
        (
            "write_init_io_timeout",
            conf.write_init_io_timeout.map(|n| n.to_string()),
        ),
        (
            "max_worker_threads",
            conf.max_worker_threads.map(|n| n.to_string()),
        ),
        (
            "watchdog_fire_timeout",
            conf.watchdog_fire_timeout.map(|n| n.to_string()),
        ),
        (
            "kill_grace_seconds",
            conf.kill_grace_seconds.map(|n| n.to_string()),
        ),
        (
            "use_hugepages",
            conf.use_hugepages
                .map(|all| if all { "all" } else { "none" }.to_owned()),
        ),
        (
            "our_host_name",
            conf.our_host_name
                .as_ref()
                .map(|name| String::from_utf8_lossy(name).into_owned()),
        ),
        (
            "mlock_level",
            conf.mlock_level.map(|level| match level {
                MlockLevel::Nothing => "0".to_owned(),
                MlockLevel::Current => "1".to_owned(),
                MlockLevel::CurrentAndFuture => "2".to_owned(),
            }),
        ),
        (
            "debug_hosts",
            conf.debug_hosts.map(|hosts| match hosts {
                DebugHosts::Nothing => "0".to_owned(),
                DebugHosts::States => "1".to_owned(),
                DebugHosts::Updates => "2".to_owned(),
            }),
        ),
        ("uid", conf.uname.as_ref().map(|name| id("passwd", name))),
        ("gid", conf.gname.as_ref().map(|name| id("group", name))),
    ];
    if let Some(setting) = conf.max_sectors_kb {
        let (ignore, align, kb) = match setting {
            MaxSectorsKb::Ignore => (1, 0, 0),
            MaxSectorsKb::Align => (0, 1, 0),
            MaxSectorsKb::Kilobytes(kb) => (0, 0, kb),
        };
        all.push(("max_sectors_kb_ignore", Some(ignore.to_string())));
        all.push(("max_sectors_kb_align", Some(align.to_string())));
        all.push(("max_sectors_kb_num", Some(kb.to_string())));
    }
    all.push((
        "debug_cmds",
        Some(debug_cmds(&conf.debug_cmd, &defaults["debug_cmds"])),
    ));
    all.into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect()
}

/// The number that `/etc/passwd` or `/etc/group` gives a name.
fn id(file: &str, name: &str) -> String {
    let text = std::fs::read_to_string(Path::new("/etc").join(file)).unwrap();
    let line = text
        .lines()
        .find(|line| line.split(':').next() == Some(name))
        .unwrap();
    line.split(':').nth(2).unwrap().to_owned()
}

/// Upstream's bits: command N of its protocol is bit N.
fn debug_cmds(changes: &[DebugCmd], default: &str) -> String {
    let mut bits = u64::from_str_radix(default.trim_start_matches("0x"), 16).unwrap();
    for change in changes {
        match *change {
            DebugCmd::All { on: true } => bits = u64::MAX,
            DebugCmd::All { on: false } => bits = 0,
            DebugCmd::One { name, on } => {
                let bit = match name {
                    "register" => 1,
                    "status" => 5,
                    "acquire" => 7,
                    "get_hosts" => 23,
                    other => panic!("{other} is not among those compared"),
                };
                bits = if on {
                    bits | 1 << bit
                } else {
                    bits & !(1 << bit)
                };
            }
        }
    }
    format!("{bits:#x}")
}

fn good_files() -> Outcome {
    let upstream = match Upstream::find() {
        Ok(upstream) => upstream,
        Err(why) => return skipped(why),
    };
    for text in [
        "quiet_fail = 0\ndebug_renew = 1\ndebug_hosts = 2\nuse_aio = 0\nhigh_priority = 0\n\
         mlock_level = 0\nsh_retries = 11\nuname = root\ngname = daemon\nour_host_name = node1\n\
         write_init_io_timeout = 61\nrenewal_history_size = 7\ndebug_clients = 1\n\
         max_sectors_kb = 2048\nmax_worker_threads = 50\nuse_hugepages = none\nio_timeout = 5\n\
         watchdog_fire_timeout = 30\nkill_grace_seconds = 12\n",
        "# nothing\n\n   # indented\n\t\nsh_retries=3\r\nquiet_fail\t=\t0 # why\nmlock_level = 002\n\
         sh_retries = +4",
        "our_host_name = a=b\nmax_sectors_kb = ignore\nmax_sectors_kb = align\n",
        "debug_cmd = -all\ndebug_cmd = +acquire\ndebug_cmd = +status\n",
        "debug_cmd = +all\ndebug_cmd = -get_hosts\ndebug_cmd = -register\n",
        "max_sectors_kb = ignore\nuse_hugepages = all\nrenewal_history_size = 0\n",
    ] {
        upstream.compare(text);
    }
    Outcome::Passed
}

fn warned_lines() -> Outcome {
    let upstream = match Upstream::find() {
        Ok(upstream) => upstream,
        Err(why) => return skipped(why),
    };
    // Each line shows in the status, so that one daemon can read them all.
    let text = format!(
        "sh_retries = 10s\nmax_worker_threads = 1\nwrite_init_io_timeout foo = 9\n\
         renewal_history_size = 3 4\nmax_sectors_kb = 512kb\nour_host_name = {}\nio_timeout = 20sec\n\
         watchdog_fire_timeout = 45 seconds\n",
        "n".repeat(70)
    );
    upstream.compare(&text);
    upstream.compare("max_sectors_kb = xalign\nour_host_name = \"quoted\"\n");
    Outcome::Passed
}

fn shipped_file() -> Outcome {
    let upstream = match Upstream::find() {
        Ok(upstream) => upstream,
        Err(why) => return skipped(why),
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf/sanlock.conf");
    let text = std::fs::read_to_string(path).unwrap();
    upstream.compare(&text);
    // And with its settings made active: they are upstream's defaults (where they show).
    let active: String = text
        .lines()
        .filter_map(|line| line.strip_prefix('#').filter(|line| !line.starts_with(' ')))
        .filter(|line| !line.starts_with("debug_"))
        .fold(String::new(), |text, line| text + line + "\n");
    let mut theirs = upstream.status_with(active.as_bytes());
    theirs.remove("our_host_name");
    let mut defaults = upstream.defaults.clone();
    defaults.remove("our_host_name");
    assert_eq!(theirs, defaults);
    Outcome::Passed
}
