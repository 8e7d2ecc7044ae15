//! Logs of a whole process, and upstream's beside ours.

use std::path::Path;
use std::time::Duration;

use daemon::log::{Log, Settings, Threshold};
use tracing::{debug, error, warn};

use crate::harness::{Case, Outcome, skipped};
use crate::{Scratch, Upstream, is_root, role, stderr};

pub const CASES: &[Case] = &[
    ("a_line_is_one_that_upstream_could_have_written", shape),
    ("a_panic_is_logged_before_the_end", panics),
    ("a_standard_error_that_nobody_reads_holds_nobody_up", deaf),
    ("a_process_has_one_log", one),
];

fn settings(directory: &Path) -> Settings {
    Settings {
        file: Some(directory.join("log")),
        syslog_threshold: Threshold::NOTHING,
        ..Settings::sanlock()
    }
}

pub fn play(role: &str, directory: &Path) {
    match role {
        "panic" => {
            let log = Log::start(settings(directory)).unwrap();
            log.log_panics();
            panic!("something impossible");
        }
        "stderr" => {
            let log = Log::start(Settings {
                stderr_threshold: Threshold::EVERYTHING,
                ..settings(directory)
            })
            .unwrap();
            for number in 0..20_000 {
                debug!("{number} nobody reads this, and the pipe has room for 64 KiB");
            }
            warn!("still here");
            // The file is written, the standard error is not.
            assert!(!log.flush(Duration::from_millis(200)));
        }
        _ => panic!("{role}"),
    }
}

/// Whether a line reads `DATE TIME SECONDS [THREAD]: TEXT`.
fn is_log_line(line: &str) -> bool {
    let digits = |text: &str, shape: &str| {
        text.len() == shape.len()
            && text
                .bytes()
                .zip(shape.bytes())
                .all(|(byte, shape)| match shape {
                    b'0' => byte.is_ascii_digit(),
                    other => byte == other,
                })
    };
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut words = line.splitn(5, ' ');
    digits(words.next().unwrap_or(""), "0000-00-00")
        && digits(words.next().unwrap_or(""), "00:00:00")
        && number(words.next().unwrap_or(""))
        && words
            .next()
            .and_then(|word| word.strip_prefix('[')?.strip_suffix("]:"))
            .is_some_and(number)
        && words.next().is_some_and(|text| !text.is_empty())
        && line.len() <= 509
}

fn shape() -> Outcome {
    if !is_root() {
        return skipped("upstream's daemon gives its run directory away, which only root can");
    }
    let directory = Scratch::new();
    let Some(upstream) = Upstream::start(&directory.join("run")) else {
        return skipped("no program of upstream's");
    };
    upstream.client(&["add_lockspace", "-s", "space:1:/nonexistent:0"]);
    let output = upstream.client(&["log_dump"]);
    let theirs = String::from_utf8(output.stdout).unwrap();
    assert!(theirs.lines().count() >= 3, "{theirs}");
    let unlike: Vec<&str> = theirs
        .lines()
        .filter(|line| !line.is_empty() && !is_log_line(line))
        .collect();
    assert!(unlike.is_empty(), "{unlike:?}");
    // Lines about a lockspace start alike.
    assert!(
        theirs.lines().any(|line| line.contains("]: s1 ")),
        "{theirs}"
    );

    let log = Log::start(settings(&directory)).unwrap();
    debug!(space = 1, "lockspace");
    error!(space = 1, resource = 2, "{}", "long ".repeat(200));
    let ours = String::from_utf8(log.ring().dump()).unwrap();
    assert_eq!(ours.lines().count(), 2);
    assert!(ours.lines().all(is_log_line), "{ours}");
    assert!(ours.contains("]: s1 lockspace\n"), "{ours}");
    assert!(ours.contains("]: s1:r2 long "), "{ours}");
    Outcome::Passed
}

fn panics() -> Outcome {
    let directory = Scratch::new();
    let output = role("logs/panic", &directory).output().unwrap();
    assert!(!output.status.success());
    let log = std::fs::read_to_string(directory.join("log")).unwrap();
    assert!(log.contains("something impossible"), "{log}");
    assert!(log.lines().all(is_log_line), "{log}");
    Outcome::Passed
}

fn deaf() -> Outcome {
    let directory = Scratch::new();
    let mut child = role("logs/stderr", &directory)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Nobody reads the other end, which stays open.
    let kept = child.stderr.take();
    assert!(child.wait().unwrap().success());
    drop(kept);
    let log = std::fs::read_to_string(directory.join("log")).unwrap();
    assert!(log.contains("still here"), "{log}");
    Outcome::Passed
}

fn one() -> Outcome {
    let directory = Scratch::new();
    let _first = Log::start(settings(&directory)).unwrap();
    let error = Log::start(settings(&directory)).unwrap_err();
    assert_eq!(error.to_string(), "the process already has logs");
    let _ = stderr;
    Outcome::Passed
}
