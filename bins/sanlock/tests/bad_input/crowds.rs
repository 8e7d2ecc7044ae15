//! Very many connections, and those that do not read what they asked for.

use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use sanlock_proto::Request;

use super::common::daemon::Setup;
use super::common::harness::{Case, Outcome, skipped};
use super::common::scratch::Scratch;
use super::common::status::{AT_ONCE, Prober};
use super::common::wait::{PATIENCE, until};
use super::common::{measured, unlike_the_original};
use super::raw::Raw;

pub const CASES: &[Case] = &[
    (
        "two_thousand_idle_connections_disturb_nobody",
        two_thousand_idle,
    ),
    (
        "clients_that_never_read_disturb_nobody",
        clients_that_never_read,
    ),
];

const IDLE: usize = 2000;
const NEVER_READ: usize = 100;

fn two_thousand_idle() -> Outcome {
    if let Some(skipped) = unlike_the_original("it takes 1024 connections") {
        return skipped;
    }
    let most = getrlimit(Resource::RLIMIT_NOFILE).unwrap().1;
    if most < IDLE as u64 + 200 {
        return skipped(format!("only {most} descriptors may be open here"));
    }
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    let scratch = Scratch::new();
    let daemon = Setup::new(scratch.path(), "one").start();
    assert!(Raw::connect(&daemon.client).is_usable());
    let before = daemon.size();
    let mut idle: Vec<_> = (0..IDLE).map(|_| Raw::connect(&daemon.client)).collect();
    // The last one was accepted: then all were.
    assert!(idle.last_mut().unwrap().is_usable());
    let during = daemon.size();
    assert!(during.descriptors >= IDLE, "{during}");
    let prober = Prober::start(&daemon.client);
    for raw in &mut idle {
        assert!(raw.is_usable());
    }
    let probed = prober.stop();
    drop(idle);
    until("they are gone", PATIENCE, || {
        daemon.size().descriptors <= before.descriptors
    });
    let after = daemon.size();
    measured(&format!(
        "before {before}; with {IDLE} connections {during}; after {after}; slowest status {:?}",
        probed.slowest
    ));
    assert!(probed.slowest < AT_ONCE, "{probed:?}");
    Outcome::Passed
}

fn clients_that_never_read() -> Outcome {
    let scratch = Scratch::new();
    let daemon = Setup::new(scratch.path(), "one").start();
    // A log of some length, so that there is much not to read.
    let mut raw = Raw::connect(&daemon.client);
    for _ in 0..3000 {
        assert!(raw.is_usable());
    }
    drop(raw);
    let log = daemon.client.log_dump().unwrap();
    let before = daemon.size();
    let began = Instant::now();
    let mut deaf: Vec<_> = (0..NEVER_READ)
        .map(|_| Raw::connect(&daemon.client))
        .collect();
    for (number, raw) in deaf.iter_mut().enumerate() {
        match number % 3 {
            0 => raw.send(&Request::LogDump.encode()),
            1 => raw.send(&Request::Status { up_to: None }.encode()),
            _ => raw.send(&Request::Version.encode().repeat(100)),
        };
    }
    let prober = Prober::start(&daemon.client);
    until("a while has passed", PATIENCE, || {
        began.elapsed() > Duration::from_secs(3)
    });
    let during = daemon.size();
    let probed = prober.stop();
    drop(deaf);
    until("they are gone", PATIENCE, || {
        daemon.size().descriptors <= before.descriptors
    });
    measured(&format!(
        "a log of {} bytes; before {before}; with {NEVER_READ} that do not read {during}; after {}; slowest \
         status {:?}",
        log.text.len(),
        daemon.size(),
        probed.slowest
    ));
    assert!(probed.slowest < AT_ONCE, "{probed:?}");
    assert!(
        during.rss_kib < before.rss_kib + (48 << 10),
        "{before}; {during}"
    );
    Outcome::Passed
}
