//! Orders of events, one by one.

use super::*;

#[test]
fn nothing_happens_until_a_client_asks() {
    let mut world = World::plain();
    assert_eq!(world.watchdog.wakes(world.now), None);
    world.until(5000);
    assert!(!world.device.is_open());
    let client = world.connect();
    assert_eq!(world.watchdog.wakes(world.now), None);
    assert_eq!(world.opens(client, 30), 30);
    assert_eq!(
        (world.state(), world.watchdog.interval()),
        (Device::Kept, 5)
    );
    world.until(6000);
    assert!(!world.device.advance(world.now.at));
    world.happens(Event::Closed(client));
    assert_eq!(
        (world.state(), world.device.fires()),
        (Device::Closed, None)
    );
}

#[test]
fn the_first_decides_on_the_fire_timeout() {
    let mut world = World::plain();
    let (first, second) = (world.connect(), world.connect());
    assert_eq!(world.opens(first, 0), 0);
    assert_eq!(world.state(), Device::Closed);
    assert_eq!(world.opens(first, 20), 20);
    assert_eq!(world.opens(second, 60), 20);
    world.happens(Event::Closed(first));
    assert_eq!(world.state(), Device::Kept);
    world.happens(Event::Closed(second));
    let third = world.connect();
    assert_eq!(world.opens(third, 60), 60);
}

#[test]
fn a_client_of_before_3_9_is_protected_though_it_does_not_ask() {
    let mut world = World::plain();
    let old = world.connect();
    world.asks(old, Request::RefcountSet);
    world.asks(old, Request::Status);
    let status = world.answers.last().unwrap().1.status();
    assert_eq!((status.fire_timeout, status.test_interval), (60, 10));
    assert_eq!(world.state(), Device::Kept);

    let mut world = World::faulty(Faults {
        gone: true,
        ..Faults::default()
    });
    let old = world.connect();
    world.asks(old, Request::RefcountSet);
    world.asks(old, Request::Status);
    let status = world.answers.last().unwrap().1.status();
    assert_eq!(
        status.fire_timeout, 0,
        "it is not told that it is protected"
    );
    assert!(world.said("NOT protected"));
}

#[test]
fn a_client_that_lets_its_time_pass_has_the_host_reset_in_time() {
    for fire_timeout in [8, 10, 30, 60] {
        for lifetime in [12, 13, 40, 41, 80] {
            let mut world = World::plain();
            let expires = world.now.at.seconds() + lifetime;
            world.watched(fire_timeout, lifetime);
            world.until(expires + 200);
            let fired = world.device.fired().unwrap().seconds();
            let interval = u64::from(time::test_interval(fire_timeout));
            let earliest = (expires - interval).max(1000) + u64::from(fire_timeout);
            assert!(
                (earliest..=earliest + 1).contains(&fired),
                "{fire_timeout} {lifetime}: {fired}"
            );
            assert!(fired <= expires + u64::from(fire_timeout));
        }
    }
}

#[test]
fn a_client_that_comes_back_in_time_is_forgiven() {
    let mut world = World::plain();
    let client = world.watched(60, 80);
    world.until(1000 + 75);
    assert_eq!(world.state(), Device::Left);
    assert!(world.said("test warning now 1070") && world.said("closed unclean"));
    assert_eq!(world.watchdog.interval(), 1);
    assert_eq!(world.last_words, [60]);
    world.well_for(client, 80);
    world.until(1000 + 77);
    assert_eq!(
        (world.state(), world.watchdog.interval()),
        (Device::Kept, 10)
    );
    assert!(world.said("reopen"));
    let (source, _) = world.watchdog.stopped_by().unwrap();
    assert_eq!(source, Source::Client(client));
    world.until(1000 + 100);
    assert!(!world.device.advance(world.now.at));
}

#[test]
fn last_words_are_said_once_more_before_the_end() {
    let mut world = World::plain();
    world.watched(10, 20);
    world.until(2000);
    assert_eq!(world.last_words, [10, 5]);
    assert!(world.said("test failed rem"));
}

#[test]
fn a_dead_client_goes_on_counting() {
    let mut world = World::plain();
    let client = world.watched(60, 80);
    world.happens(Event::Closed(client));
    assert!(world.said("client dead ci 2 fd 9 pid 4711"));
    assert!(world.watchdog.clients().get(client).unwrap().dead);
    world.happens(Event::Terminate);
    assert_eq!(world.ended, None);
    assert!(world.said("not ending: 1 clients"));
    // Its place is not given to another, which could clear its expiry.
    let other = world.connect();
    assert_ne!(other, client);
    world.clears(other);
    world.until(2000);
    assert!(world.device.fired().is_some());
}

#[test]
fn a_dead_client_without_expiry_is_forgotten() {
    let mut world = World::plain();
    let client = world.connect();
    world.opens(client, 60);
    world.asks(client, Request::RefcountSet);
    world.happens(Event::Closed(client));
    assert_eq!(world.state(), Device::Closed);
    world.happens(Event::Terminate);
    assert_eq!(world.ended, Some(false));
}

#[test]
fn past_and_far_expiries() {
    let mut world = World::plain();
    let client = world.connect();
    world.opens(client, 60);
    for expire in [1, 9, 999] {
        world.asks(client, Request::TestLive { renewal: 0, expire });
        assert_ne!(world.state(), Device::Kept, "{expire}");
    }
    world.asks(
        client,
        Request::TestLive {
            renewal: u64::MAX,
            expire: u64::MAX,
        },
    );
    world.until(1100);
    assert_eq!(world.state(), Device::Kept);
    world.until(50_000);
    assert!(world.device.fired().is_none());
}

#[test]
fn a_daemon_that_did_not_run_does_not_put_the_reset_off() {
    let mut world = World::plain();
    world.watched(60, 30);
    let last = world.watchdog.last_keepalive();
    // Longer than the client had; the device is still quiet.
    world.at(1050);
    world.happens(Event::Tick);
    assert_eq!(world.state(), Device::Withheld);
    world.until(2000);
    assert_eq!(world.device.fired(), Some(last.plus_seconds(60)));

    // It is forgiven as well.
    let mut world = World::plain();
    let client = world.watched(60, 30);
    world.at(1050);
    world.happens(Event::Tick);
    world.well_for(client, 30);
    world.until(1055);
    assert_eq!(world.state(), Device::Kept);
}

#[test]
fn time_that_the_host_slept_counts() {
    let mut world = World::plain();
    world.watched(60, 80);
    world.at(1002);
    world.now.suspended = Suspended(3_600_000);
    world.happens(Event::Tick);
    assert_eq!(world.state(), Device::Withheld);
    world.until(2000);
    assert!(world.device.fired().unwrap() <= Millis::from_seconds(1080 + 60));
}

#[test]
fn devices_that_are_not_what_they_should_be() {
    let refuses = Faults {
        refuses_timeouts: true,
        ..Faults::default()
    };
    let lies = Faults {
        lies: Some(77),
        ..Faults::default()
    };
    let busy = Faults {
        busy: true,
        ..Faults::default()
    };
    let dead = Faults {
        keepalive_fails: true,
        ..Faults::default()
    };
    for faults in [refuses, lies, busy, dead] {
        let mut world = World::faulty(faults);
        let client = world.connect();
        assert_eq!(world.opens(client, 30), 0, "{faults:?}");
        assert_eq!(
            (world.state(), world.device.fires()),
            (Device::Closed, None)
        );
        world.device.faults = Faults::default();
        assert_eq!(world.opens(client, 30), 30);
    }
}

#[test]
fn a_keepalive_that_fails_is_said_and_tried_again() {
    let mut world = World::plain();
    let client = world.watched(60, 80);
    world.device.faults.keepalive_fails = true;
    world.until(1015);
    assert!(world.said("keepalive error 5"));
    assert_eq!(world.watchdog.interval(), 1);
    assert_eq!(world.watchdog.last_keepalive().seconds(), 1000);
    world.device.faults.keepalive_fails = false;
    world.until(1017);
    assert!(world.said("keepalive works again"));
    world.clears(client);
    world.happens(Event::Closed(client));
    assert_eq!(world.device.fires(), None);
}

#[test]
fn a_device_that_was_taken_away_is_opened_again_when_it_is_back() {
    let mut world = World::plain();
    let client = world.watched(60, 80);
    world.device.faults.gone = true;
    world.until(1015);
    assert!(world.said("cannot be opened again"));
    world.device.faults.gone = false;
    world.well_for(client, 80);
    world.until(1017);
    assert_eq!(world.state(), Device::Kept);
}

#[test]
fn a_device_that_comes_back_with_another_timeout_is_not_trusted() {
    let mut world = World::plain();
    let client = world.watched(30, 80);
    world.until(1077);
    assert_eq!(world.state(), Device::Left);
    world.device.faults.lies = Some(600);
    let _ = world.device.open();
    let _ = world.device.set_timeout(600);
    let _ = world.device.close(Close::Armed);
    world.well_for(client, 80);
    world.until(1080);
    assert_eq!(world.state(), Device::Left);
    assert!(world.device.fires().is_some(), "it is not disarmed either");
}

#[test]
fn ending() {
    let mut world = World::plain();
    let client = world.watched(60, 80);
    world.happens(Event::Terminate);
    assert_eq!(world.ended, None);
    // A request that came too early does not come true later.
    world.clears(client);
    assert_eq!(world.ended, None);
    world.happens(Event::Terminate);
    assert_eq!((world.ended, world.device.fires()), (Some(false), None));
}

#[test]
fn an_expiry_without_refcount_keeps_the_daemon_too() {
    let mut world = World::plain();
    let client = world.connect();
    world.opens(client, 60);
    world.well_for(client, 80);
    world.happens(Event::Terminate);
    assert_eq!(world.ended, None);
}

#[test]
fn ending_after_all_was_let_go_in_trouble_does_not_reset() {
    let mut world = World::plain();
    let client = world.watched(60, 80);
    world.until(1075);
    assert_eq!(world.state(), Device::Left);
    world.clears(client);
    world.happens(Event::Closed(client));
    world.happens(Event::Terminate);
    assert_eq!((world.ended, world.device.fires()), (Some(false), None));
}

#[test]
fn a_held_device_is_open_from_the_start() {
    let mut world = World::new(Config {
        hold: true,
        ..Config::default()
    });
    assert_eq!(world.state(), Device::Kept);
    world.until(2000);
    assert!(world.device.fired().is_none() && world.device.is_open());
    world.happens(Event::Terminate);
    assert_eq!((world.ended, world.device.fires()), (Some(false), None));
}

#[test]
fn scripts_are_a_source() {
    let mut world = World::scripted(0, &["a", "b"]);
    let client = world.connect();
    world.opens(client, 60);
    assert_eq!(world.run, [0, 1]);
    for index in [0, 1] {
        world.happens(Event::ScriptStarted { index, pid: 7 });
        let end = ScriptEnd::Exited(0);
        world.happens(Event::ScriptEnded { index, end });
    }
    assert_eq!(world.watchdog.stopped_by(), None);
    world.until(1012);
    assert_eq!(world.run, [0, 1, 0, 1]);
    world.happens(Event::ScriptEnded {
        index: 0,
        end: ScriptEnd::Exited(0),
    });
    world.happens(Event::ScriptEnded {
        index: 1,
        end: ScriptEnd::Exited(3),
    });
    assert_eq!(world.state(), Device::Left);
    assert!(world.said("script b pid 0 exit status 3"));
    assert_eq!(world.watchdog.stopped_by().unwrap().0, Source::Script(1));
    // Only the one that failed is run again at once.
    world.until(1014);
    assert_eq!(world.run, [0, 1, 0, 1, 1]);
    world.happens(Event::ScriptEnded {
        index: 1,
        end: ScriptEnd::Exited(0),
    });
    assert_eq!(world.state(), Device::Kept);
}

#[test]
fn a_script_that_hangs_fails_and_is_killed_if_so_wanted() {
    let mut world = World::scripted(5, &["a"]);
    let client = world.connect();
    world.opens(client, 60);
    world.happens(Event::ScriptStarted { index: 0, pid: 7 });
    world.until(1006);
    assert_eq!(
        (world.killed.as_slice(), world.state()),
        ([0].as_slice(), Device::Kept)
    );
    // It is in a state that no signal ends.
    world.until(1010);
    assert_eq!(world.state(), Device::Left);
    assert!(world.said("script a pid 7 start 1000 now 1009 taking too long"));
    assert_eq!(world.killed, [0]);
    world.happens(Event::ScriptEnded {
        index: 0,
        end: ScriptEnd::Killed(9),
    });
    world.until(1020);
    assert_eq!(world.run, [0, 0]);
    world.until(2000);
    assert!(world.device.fired().is_some());
}

#[test]
fn a_hanging_script_does_not_hide_a_client() {
    let mut world = World::scripted(0, &["a"]);
    let client = world.watched(60, 13);
    let expires = world.now.at.seconds() + 13;
    let _ = client;
    world.until(2000);
    assert!(world.device.fired().unwrap().seconds() <= expires + 60);
}

#[test]
fn without_a_runner_no_script_is_well() {
    let mut world = World::scripted(0, &["a"]);
    let client = world.connect();
    world.happens(Event::ScriptsLost);
    world.opens(client, 60);
    assert_eq!(world.state(), Device::Kept, "nobody can say yet");
    world.until(1010);
    assert_eq!(world.state(), Device::Left);
}

#[test]
fn scripts_that_cannot_be_run_are_removed() {
    let mut world = World::scripted(0, &["a"]);
    let client = world.connect();
    world.opens(client, 60);
    world.happens(Event::ScriptRefused {
        index: 0,
        result: -2,
    });
    assert!(world.said("script a removed -2"));
    assert_eq!(world.watchdog.scripts().iter().count(), 0);
    world.until(1100);
    assert_eq!(world.state(), Device::Kept);
}

#[test]
fn eight_scripts_and_no_more() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "a"];
    let world = World::scripted(0, &names);
    assert_eq!(world.watchdog.scripts().iter().count(), MAX_SCRIPTS);
    assert!(world.said("script i no space"));
}

#[test]
fn the_table_has_an_end() {
    let mut world = World::plain();
    for _ in 0..MAX_CLIENTS {
        world.connect();
    }
    assert_eq!(world.watchdog.clients().free(), None);
    world.happens(Event::Closed(Slot(7)));
    assert_eq!(world.watchdog.clients().free(), Some(Slot(7)));
    // Whoever is in no place changes nothing.
    world.happens(Event::Asked {
        slot: Slot(usize::MAX),
        message: Message::default(),
        said: Suspended(0),
    });
    world.happens(Event::Closed(Slot(usize::MAX)));
}

#[test]
fn many_that_fail_are_counted_in_the_log() {
    let mut world = World::plain();
    for _ in 0..20 {
        world.watched(60, 80);
    }
    world.until(1070);
    assert!(world.said("test failed for 4 more clients"));
}

#[test]
fn an_unknown_command_is_said_and_has_no_effect() {
    let mut world = World::plain();
    let slot = world.connect();
    let message = Message {
        command: 99,
        ..Message::default()
    };
    let said = Suspended(0);
    world.happens(Event::Asked {
        slot,
        message,
        said,
    });
    assert!(world.said("ci 2 pid 4711 sent command 99"));
    assert!(world.answers.is_empty());
}
