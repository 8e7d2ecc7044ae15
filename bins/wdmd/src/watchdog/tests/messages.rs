//! Messages that wait: which of them counts, and from when they are.

use super::*;

#[test]
fn the_last_that_a_client_said_counts() {
    let mut world = World::plain();
    let client = world.watched(60, 80);
    let outdated = world.asked(client, world.well(80));
    // The daemon did not run for almost as long as the device waits; its next test is long due.
    world.at(1059);
    let good = world.asked(client, world.well(80));
    world.hears(outdated);
    world.hears(world.asked(client, Request::Status));
    assert_eq!(world.state(), Device::Kept, "nothing is decided yet");
    assert_eq!(world.watchdog.last_keepalive().seconds(), 1000);
    world.hears(good);
    world.hears(Event::Tick);
    assert_eq!(world.state(), Device::Kept);
    assert_eq!(world.watchdog.last_keepalive().seconds(), 1059);
    assert!(world.last_words.is_empty());
}

#[test]
fn an_outdated_message_that_is_the_last_stops_the_keepalives() {
    let mut world = World::plain();
    let client = world.watched(60, 30);
    let outdated = world.asked(client, world.well(30));
    world.at(1050);
    world.happens(outdated);
    assert_eq!(world.state(), Device::Withheld);
    world.until(2000);
    assert_eq!(world.device.fired(), Some(Millis::from_seconds(1060)));
}

#[test]
fn a_message_that_waited_while_the_host_slept_is_from_before_that() {
    let mut world = World::plain();
    let client = world.watched(60, 80);
    // The daemon is stopped, the client renews and dies, the host sleeps, the daemon goes on.
    world.at(1010);
    let waited = world.asked(client, world.well(80));
    world.now.suspended = Suspended(50_000);
    world.at(1012);
    world.hears(waited);
    world.happens(Event::Closed(client));
    // Good until 1090 less 50.
    world.until(1028);
    assert_eq!(world.state(), Device::Kept);
    world.until(2000);
    assert_eq!(world.device.fired(), Some(Millis::from_seconds(1030 + 60)));
}

#[test]
fn a_message_from_after_the_sleep_counts_in_full() {
    let mut world = World::plain();
    let client = world.watched(60, 80);
    world.at(1010);
    world.now.suspended = Suspended(50_000);
    let asked = world.asked(client, world.well(80));
    world.happens(asked);
    world.until(1079);
    assert_eq!(world.state(), Device::Kept);
}

#[test]
fn asking_to_end_is_judged_by_all_that_was_said() {
    let mut world = World::plain();
    let client = world.connect();
    world.opens(client, 60);
    world.hears(Event::Terminate);
    world.hears(world.asked(client, Request::RefcountSet));
    world.hears(Event::Tick);
    assert!(world.ended.is_none() && world.said("not ending: 1 clients"));
    // It does not come true later.
    world.clears(client);
    assert_eq!(world.ended, None);
}
