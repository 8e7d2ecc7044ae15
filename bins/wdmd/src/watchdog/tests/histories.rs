//! Histories that chance makes: whatever happens in whatever order, the host is reset in time, and not without cause.

use proptest::prelude::*;

use super::*;

/// Something that happens to a world.
#[derive(Debug, Clone)]
enum Step {
    Connect,
    Open(usize, u32),
    Refcount(usize, bool),
    Renew(usize, u64),
    Clear(usize),
    Leave(usize),
    Terminate,
    Reload,
    ScriptEnds(usize, ScriptEnd),
    Pass(u64),
    /// The daemon does not run for so many milliseconds.
    Stall(u64),
    /// The same; meanwhile a client renews for so many seconds, and then the host is suspended.
    StallAndSuspend(u64, usize, u64, u64),
    Suspend(u64),
    KeepAliveFails(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..5_usize;
    prop_oneof![
        2 => Just(Step::Connect),
        3 => (client.clone(), prop::sample::select(vec![5_u32, 10, 30, 60])).prop_map(|(c, t)| Step::Open(c, t)),
        2 => (client.clone(), any::<bool>()).prop_map(|(c, on)| Step::Refcount(c, on)),
        8 => (client.clone(), 0..100_u64).prop_map(|(c, s)| Step::Renew(c, s)),
        2 => client.clone().prop_map(Step::Clear),
        2 => client.clone().prop_map(Step::Leave),
        1 => Just(Step::Terminate),
        1 => Just(Step::Reload),
        3 => (0..2_usize, prop_oneof![
            5 => Just(ScriptEnd::Exited(0)),
            1 => Just(ScriptEnd::Exited(1)),
            1 => Just(ScriptEnd::Killed(9)),
        ]).prop_map(|(i, end)| Step::ScriptEnds(i, end)),
        10 => (0..15_000_u64).prop_map(Step::Pass),
        2 => (0..40_000_u64).prop_map(Step::Stall),
        2 => (0..40_000_u64, client.clone(), 0..100_u64, 0..100_000_u64)
            .prop_map(|(m, c, s, asleep)| Step::StallAndSuspend(m, c, s, asleep)),
        1 => (0..100_000_u64).prop_map(Step::Suspend),
        1 => any::<bool>().prop_map(Step::KeepAliveFails),
    ]
}

/// What the test itself knows of a client: until when it may live, by the clock that other hosts have.
#[derive(Debug, Clone, Copy)]
struct Known {
    slot: Slot,
    connected: bool,
    /// In milliseconds of the clock that also runs while the host is suspended.
    expires: Option<u64>,
}

struct History {
    world: World,
    clients: Vec<Known>,
    /// The first expiry that passed and was not taken back since, and for how long the host had been suspended then:
    /// the device stands still while it is.
    overdue: Option<(u64, u64)>,
    /// For how long it had been suspended before this step.
    suspended_before: u64,
    /// Until then the device could not be opened.
    protected_since: u64,
    /// Something was not well at some time.
    trouble: bool,
}

impl History {
    fn new(scripts: bool) -> Self {
        let world = if scripts {
            World::scripted(0, &["a", "b"])
        } else {
            World::plain()
        };
        Self {
            world,
            clients: Vec::new(),
            overdue: None,
            suspended_before: 0,
            protected_since: 0,
            trouble: false,
        }
    }

    /// The clock of the world outside.
    fn outside(&self) -> u64 {
        self.world.now.at.0 + self.world.now.suspended.0
    }

    fn client(&mut self, index: usize) -> Option<&mut Known> {
        let known = self.clients.get_mut(index)?;
        known.connected.then_some(known)
    }

    fn take(&mut self, step: &Step) {
        let world = &mut self.world;
        self.suspended_before = world.now.suspended.0;
        match *step {
            Step::Connect => {
                let slot = world.connect();
                self.clients.push(Known {
                    slot,
                    connected: true,
                    expires: None,
                });
            }
            Step::Open(index, fire_timeout) => {
                if let Some(known) = self.client(index) {
                    let slot = known.slot;
                    self.world.opens(slot, fire_timeout);
                }
            }
            Step::Refcount(index, on) => {
                if let Some(known) = self.client(index) {
                    let slot = known.slot;
                    let request = if on {
                        Request::RefcountSet
                    } else {
                        Request::RefcountClear
                    };
                    self.world.asks(slot, request);
                }
            }
            Step::Renew(index, seconds) => {
                if let Some(asked) = self.renew(index, seconds) {
                    self.world.happens(asked);
                }
            }
            Step::Clear(index) => {
                if let Some(known) = self.client(index) {
                    known.expires = None;
                    let slot = known.slot;
                    self.world.clears(slot);
                }
            }
            Step::Leave(index) => {
                if let Some(known) = self.client(index) {
                    known.connected = false;
                    let slot = known.slot;
                    self.world.happens(Event::Closed(slot));
                }
                self.clients
                    .retain(|known| known.connected || known.expires.is_some());
            }
            Step::Terminate => world.happens(Event::Terminate),
            Step::Reload => world.happens(Event::Reload),
            Step::ScriptEnds(index, end) => {
                let running = world
                    .watchdog
                    .scripts()
                    .get(index)
                    .is_some_and(|script| script.running);
                if running {
                    self.trouble |= end != ScriptEnd::Exited(0);
                    world.happens(Event::ScriptEnded { index, end });
                }
            }
            Step::Pass(millis) => {
                let end = Millis(world.now.at.0 + millis);
                world.until_millis(end);
            }
            Step::Stall(millis) => {
                self.trouble = true;
                world.stalled = true;
                let end = Millis(world.now.at.0 + millis);
                world.until_millis(end);
                world.stalled = false;
                world.happens(Event::Tick);
            }
            Step::StallAndSuspend(millis, index, seconds, asleep) => {
                self.trouble = true;
                world.stalled = true;
                let end = Millis(world.now.at.0 + millis);
                world.until_millis(end);
                // It is in the socket, which was last seen empty before the daemon stalled.
                let asked = self.renew(index, seconds);
                self.world.now.suspended.0 += asleep;
                self.world.stalled = false;
                if self.world.state() == Device::Closed {
                    // It is opened now, if ever.
                    self.protected_since = self.outside();
                }
                self.world.happens(asked.unwrap_or(Event::Tick));
            }
            Step::Suspend(millis) => {
                self.trouble = true;
                world.now.suspended.0 += millis;
                world.happens(Event::Tick);
            }
            Step::KeepAliveFails(fails) => {
                self.trouble |= fails;
                world.device.faults.keepalive_fails = fails;
            }
        }
    }

    /// A client's message, and what the test knows by it.
    fn renew(&mut self, index: usize, seconds: u64) -> Option<Event> {
        let (outside, part) = (self.outside(), self.world.now.at.0 % 1000);
        let known = self.client(index)?;
        known.expires = Some(outside - part + seconds * 1000);
        let slot = known.slot;
        let request = self.world.well(seconds);
        Some(self.world.asked(slot, request))
    }

    fn has_fired(&self) -> bool {
        self.world.device.fired().is_some()
    }

    /// The device is armed in time for each client, even if the daemon dies in this moment.
    fn check(&mut self) -> Result<(), TestCaseError> {
        let outside = self.outside();
        let first = self.clients.iter().filter_map(|known| known.expires).min();
        let world = &self.world;
        let timeout = u64::from(world.watchdog.fire_timeout()) * 1000;
        let interval = u64::from(world.watchdog.standard_interval()) * 1000;
        let Some(first) = first else {
            self.overdue = None;
            return Ok(());
        };
        self.trouble |= first < outside + interval + 1000;
        prop_assert!(
            world.ended.is_none(),
            "it does not end while a client is watched"
        );
        let fires = world.device.fires();
        if world.state() == Device::Closed {
            // It could not be opened, and the clients that count on it are told.
            let mut clients = world.watchdog.clients().iter();
            prop_assert!(clients.any(|(_, client)| client.unprotected));
            self.protected_since = outside;
            self.trouble = true;
            return Ok(());
        }
        prop_assert!(fires.is_some(), "it is armed while a client is watched");
        // The noise that is not taken for a suspension is on our side of the limit.
        let suspended = world.now.suspended.0;
        let fires = fires.unwrap_or_default().0 + suspended;
        if first + 2000 < outside {
            let since = first.max(self.protected_since);
            let asleep_after = (outside - since).min(suspended - self.suspended_before);
            let (since, asleep) = *self
                .overdue
                .get_or_insert((since, suspended - asleep_after));
            prop_assert!(
                fires <= since + timeout + (suspended - asleep) + 2000,
                "first {first} fires {fires} outside {outside}"
            );
        } else {
            self.overdue = None;
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn the_host_is_reset_in_time_and_not_without_cause(
        scripts in any::<bool>(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut history = History::new(scripts);
        history.trouble |= scripts;
        for step in &steps {
            history.take(step);
            if history.has_fired() {
                break;
            }
            if let Some(armed) = history.world.ended {
                prop_assert_eq!(armed, history.world.device.fires().is_some());
                prop_assert!(!armed || history.trouble);
                return Ok(());
            }
            history.check()?;
        }
        if history.has_fired() {
            let outside = history.outside();
            let mut expiries = history.clients.iter().filter_map(|known| known.expires);
            let expired = expiries.any(|expires| expires <= outside);
            prop_assert!(history.trouble || expired, "reset without cause");
        }
    }

    /// Clients that renew as the lease daemon does are never the cause of a reset.
    #[test]
    fn healthy_clients_never_reset(
        io_timeout in 2..20_u64,
        delays in prop::collection::vec((0..4000_u64, 0..3_usize), 1..60),
    ) {
        let mut world = World::plain();
        let clients: Vec<Slot> = (0..3).map(|_| world.watched(60, 8 * io_timeout)).collect();
        for (delay, late) in delays {
            let next = Millis(world.now.at.0 + io_timeout * 2000 + delay);
            world.until_millis(next);
            for (index, slot) in clients.iter().enumerate() {
                if index != late || delay % 2 == 0 {
                    world.well_for(*slot, 8 * io_timeout);
                }
            }
            for slot in &clients {
                world.well_for(*slot, 8 * io_timeout);
            }
            prop_assert!(world.device.fired().is_none());
        }
        for slot in clients {
            world.clears(slot);
            world.happens(Event::Closed(slot));
        }
        // What was left armed is first seen to be well.
        world.until_millis(Millis(world.now.at.0 + 2000));
        prop_assert_eq!(world.device.fires(), None);
    }
}
