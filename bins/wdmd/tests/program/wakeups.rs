//! How often the daemon wakes up: for its tests, and for what clients say, and never else.

use std::time::Duration;

use super::daemon::{Daemon, connect, watched, well_for};
use super::harness::{Case, Outcome};
use super::host::{Host, holds_its_device};

pub const CASES: &[Case] = &[("it_wakes_up_for_its_tests_alone", wakeups)];

/// Tests that belong to each count.
const TESTS: u32 = 3;

/// One at each end of the time that is counted may be just within it, and what is done at a wake-up may once wait
/// for the processor.
const ODD: u64 = 2;

fn wakeups() -> Outcome {
    let host = match Host::new() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    // The older ones have one fire timeout.
    let fire_timeout = if holds_its_device() { 60 } else { 20 };
    let daemon = Daemon::start(&host, &[]);
    let alone = count(&daemon, if holds_its_device() { 10 } else { 2 });
    let mut clients = [watched("one", fire_timeout), watched("two", fire_timeout)];
    for client in &mut clients {
        well_for(client, 1000);
    }
    let interval = connect().status().unwrap().test_interval;
    let with_two = count(&daemon, interval);
    println!(
        "measured: in the time of {TESTS} tests it woke up {alone} times without clients, {with_two} times with two"
    );
    let most = u64::from(TESTS) + ODD;
    assert!(with_two <= most, "{with_two}");
    // Without a device there is nothing to test.
    let most_alone = if holds_its_device() { most } else { 0 };
    assert!(alone <= most_alone, "{alone}");
    Outcome::Passed
}

/// How often the daemon waited in the time of some tests.
fn count(daemon: &Daemon, interval: u32) -> u64 {
    // What came before is over.
    std::thread::sleep(Duration::from_millis(300));
    let before = daemon.number("voluntary_ctxt_switches:");
    std::thread::sleep(Duration::from_secs(u64::from(TESTS * interval)));
    daemon.number("voluntary_ctxt_switches:") - before
}
