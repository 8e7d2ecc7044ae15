//! The order of events that matter to the simulated wdmd.

use wdmd::watchdog::Millis;

use super::*;

const TRAITS: Traits = Traits {
    fire_timeout: 60,
    closing_pets: true,
    counts_suspension: true,
    held: false,
    bystander: false,
    lateness: 0,
    scripts: false,
};

fn wdmd_of(traits: Traits) -> Watchdog {
    Watchdog::new(
        traits,
        #[cfg(feature = "hazards")]
        std::collections::BTreeSet::new(),
    )
}

/// wdmd with one client on a host whose clock shows the seconds since its start.
struct World {
    wdmd: Watchdog,
    start: Instant,
    suspended: u64,
    client: ClientId,
}

impl World {
    fn new(traits: Traits) -> Self {
        let mut wdmd = wdmd_of(traits);
        wdmd.start(Now::default());
        let (client, mut answered) = wdmd.connect(b"lease daemon", 60);
        assert!(answered.try_recv().is_err(), "it has not run");
        wdmd.run(Now::default());
        assert_eq!(answered.try_recv().unwrap().fire_timeout, 60);
        Self {
            wdmd,
            start: Instant::now(),
            suspended: 0,
            client,
        }
    }

    fn now(&self) -> Now {
        let at = self.start.elapsed().as_millis();
        Now {
            at: Millis(u64::try_from(at).unwrap() - self.suspended),
            suspended: Suspended(self.suspended),
        }
    }

    /// wdmd is well, and runs whenever it wants to.
    async fn until(&mut self, second: u64) -> Vec<Change> {
        let end = self.start + Duration::from_secs(second);
        let mut changes = Vec::new();
        loop {
            let wait = self.wdmd.wakes_in(self.now()).unwrap_or(Duration::MAX / 4);
            if Instant::now() + wait > end {
                break;
            }
            tokio::time::advance(wait).await;
            changes.extend(self.wdmd.run(self.now()));
        }
        tokio::time::advance(end - Instant::now()).await;
        changes
    }

    fn says(&mut self, expire: u64) {
        let request = Request::TestLive { renewal: 1, expire };
        self.wdmd.send(self.client, request);
    }

    fn fires(&self) -> Option<u64> {
        let fires = self.wdmd.fires_at()?;
        Some((fires - self.start).as_secs())
    }
}

#[tokio::test(start_paused = true)]
async fn it_closes_the_device_an_interval_before_the_expiry() {
    let mut world = World::new(TRAITS);
    world.says(85);
    world.wdmd.run(world.now());
    assert_eq!(world.until(74).await, []);
    assert!(world.wdmd.should_be_quiet());
    assert_eq!(world.until(76).await, [Change::Closed]);
    assert_eq!(world.fires(), Some(135));
    world.wdmd.disconnect(world.client);
    assert_eq!(world.until(130).await, [], "what it left is not forgotten");
    assert!(world.wdmd.has_expiry() && !world.wdmd.should_be_quiet());
    assert_eq!(world.fires(), Some(135));
}

#[tokio::test(start_paused = true)]
async fn a_late_renewal_saves_the_host() {
    let mut world = World::new(TRAITS);
    world.says(20);
    assert_eq!(world.wdmd.run(world.now()), []);
    assert_eq!(world.until(30).await, [Change::Closed]);
    world.says(200);
    assert_eq!(world.wdmd.run(world.now()), []);
    assert_eq!(world.until(32).await, [Change::Resumed]);
    world.says(0);
    world.wdmd.disconnect(world.client);
    assert_eq!(world.wdmd.run(world.now()), [Change::Disarmed]);
    assert_eq!(world.fires(), None);
}

#[tokio::test(start_paused = true)]
async fn one_that_was_stopped_does_not_put_the_reset_off() {
    let mut world = World::new(TRAITS);
    world.says(80);
    world.wdmd.run(world.now());
    world.until(50).await;
    let fires = world.fires();
    tokio::time::advance(Duration::from_secs(40)).await;
    world.says(81);
    assert_eq!(world.wdmd.run(world.now()), [Change::Withheld]);
    assert_eq!(world.fires(), fires);
}

#[tokio::test(start_paused = true)]
async fn a_script_that_fails_or_hangs_stops_the_keepalives() {
    for script in [Script::Fails, Script::Hangs] {
        let mut world = World::new(Traits {
            scripts: true,
            ..TRAITS
        });
        world.says(10_000);
        world.wdmd.run(world.now());
        assert_eq!(world.until(60).await, [], "{script:?}");
        assert!(world.wdmd.should_be_quiet());
        world.wdmd.script(script);
        assert_eq!(world.until(90).await, [Change::Closed], "{script:?}");
        assert!(!world.wdmd.should_be_quiet());
        world.wdmd.script(Script::Works);
        let mut changes = world.wdmd.run(world.now());
        changes.extend(world.until(110).await);
        assert_eq!(changes, [Change::Resumed], "{script:?}");
        assert!(world.wdmd.should_be_quiet());
    }
}

#[tokio::test(start_paused = true)]
async fn killing_it_closes_the_device_only_with_its_keeper() {
    for (keeper_too, fires) in [(false, 100), (true, 110)] {
        let mut world = World::new(TRAITS);
        world.says(80);
        world.wdmd.run(world.now());
        world.until(50).await;
        assert!(world.wdmd.die(keeper_too));
        assert_eq!(world.fires(), Some(fires));
        assert!(!world.wdmd.die(keeper_too));
    }
}

#[tokio::test(start_paused = true)]
async fn killed_after_it_was_stopped_it_does_not_put_the_reset_off() {
    let mut world = World::new(TRAITS);
    world.says(80);
    world.wdmd.run(world.now());
    world.until(20).await;
    tokio::time::advance(Duration::from_secs(45)).await;
    assert!(!world.wdmd.die(true), "nobody could prevent that");
    let fires = world.fires();
    assert!(world.wdmd.die(false));
    assert_eq!(world.fires(), fires);
}

#[tokio::test(start_paused = true)]
async fn what_waited_during_a_suspension_is_from_before_it() {
    let mut world = World::new(TRAITS);
    world.says(80);
    world.wdmd.run(world.now());
    world.until(30).await;
    world.says(110);
    tokio::time::advance(Duration::from_secs(25)).await;
    world.suspended = 25_000;
    // Good until 110 of a clock that shows 25 less: 55 and not 85 seconds are left.
    assert_eq!(world.wdmd.run(world.now()), []);
    assert_eq!(world.until(99).await, []);
    assert_eq!(world.until(101).await, [Change::Closed]);
}

#[tokio::test(start_paused = true)]
async fn suspended_time_counts_or_does_not() {
    for (counts_suspension, changes) in [(true, vec![Change::Withheld]), (false, vec![])] {
        let mut world = World::new(Traits {
            counts_suspension,
            ..TRAITS
        });
        world.says(80);
        world.wdmd.run(world.now());
        world.until(50).await;
        tokio::time::advance(Duration::from_secs(40)).await;
        world.suspended = 40_000;
        assert_eq!(world.wdmd.run(world.now()), changes);
    }
}

#[tokio::test(start_paused = true)]
async fn the_device_is_open_before_anybody_asks() {
    for traits in [
        Traits {
            held: true,
            ..TRAITS
        },
        Traits {
            bystander: true,
            ..TRAITS
        },
    ] {
        let mut wdmd = wdmd_of(traits);
        wdmd.start(Now::default());
        wdmd.run(Now::default());
        assert!(wdmd.fires_at().is_some());
    }
}
