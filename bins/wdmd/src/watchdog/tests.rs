//! The watchdog on a simulated device and a clock that the test turns.

mod histories;
mod messages;
mod orders;

use wdmd_proto::{Message, Name, Request};

use super::*;
use crate::device::simulated::{Faults, SimulatedDevice};
use crate::device::{Close, Device as _, arm, errno};

/// A daemon with its device.
struct World {
    watchdog: Watchdog,
    device: SimulatedDevice,
    now: Now,
    /// What was logged, sentence by sentence.
    log: Vec<String>,
    /// What clients were answered.
    answers: Vec<(Slot, Message)>,
    last_words: Vec<i64>,
    run: Vec<usize>,
    killed: Vec<usize>,
    ended: Option<bool>,
    /// The daemon does not run.
    stalled: bool,
}

impl World {
    fn new(config: Config) -> Self {
        let mut world = Self {
            watchdog: Watchdog::new(config),
            device: SimulatedDevice::new(60),
            now: Now::default(),
            log: Vec::new(),
            answers: Vec::new(),
            last_words: Vec::new(),
            run: Vec::new(),
            killed: Vec::new(),
            ended: None,
            stalled: false,
        };
        world.at(1000);
        let mut actions = Vec::new();
        world.watchdog.start(&mut actions);
        world.carry_out(actions);
        world
    }

    fn plain() -> Self {
        Self::new(Config::default())
    }

    fn faulty(faults: Faults) -> Self {
        let mut world = Self::plain();
        world.device.faults = faults;
        world
    }

    fn scripted(kill_after: u32, names: &[&str]) -> Self {
        let mut world = Self::new(Config {
            scripts: true,
            kill_after,
            hold: false,
        });
        for name in names {
            world.happens(Event::ScriptFound((*name).to_owned()));
        }
        world
    }

    /// The clock without anybody noticing.
    fn at(&mut self, seconds: u64) {
        self.now.at = Millis::from_seconds(seconds);
        self.device.advance(self.now.at);
    }

    /// Time goes on, and the daemon does what it wants to whenever it wants to.
    fn until(&mut self, seconds: u64) {
        self.until_millis(Millis::from_seconds(seconds));
    }

    fn until_millis(&mut self, end: Millis) {
        while !self.stalled {
            match self.watchdog.wakes(self.now) {
                Some(wakes) if wakes <= end && self.ended.is_none() => {
                    self.now.at = wakes.max(Millis(self.now.at.0 + 1));
                    self.device.advance(self.now.at);
                    self.happens(Event::Tick);
                }
                _ => break,
            }
        }
        self.now.at = self.now.at.max(end);
        self.device.advance(self.now.at);
    }

    /// It happens alone: then it is decided.
    fn happens(&mut self, event: Event) {
        self.hears(event);
        self.hears(Event::Tick);
    }

    fn hears(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.watchdog.step(event, self.now, &mut actions);
        self.carry_out(actions);
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            if let Some(event) = self.perform(action) {
                self.hears(event);
            }
        }
    }

    fn perform(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Open {
                fire_timeout,
                again,
            } => {
                let otherwise = if again { Close::Armed } else { Close::Disarmed };
                let opened = arm(&mut self.device, fire_timeout, otherwise);
                return Some(Event::Opened(opened.is_ok()));
            }
            Action::KeepAlive => {
                let kept = self.device.keep_alive().map_err(|error| errno(&error));
                return Some(Event::KeptAlive(kept));
            }
            Action::Disarm => {
                let closed = self.device.close(Close::Disarmed);
                return Some(Event::Disarmed(closed.map_err(|error| errno(&error))));
            }
            Action::LeaveArmed => self.device.close(Close::Armed).unwrap(),
            Action::Answer { slot, message } => self.answers.push((slot, message)),
            Action::RunScript(index) => self.run.push(index),
            Action::KillScript(index) => self.killed.push(index),
            Action::LastWords { remaining, .. } => self.last_words.push(remaining),
            Action::Log(entry) => self.log.push(entry.to_string()),
            Action::End { armed } => self.ended = Some(armed),
            Action::Dump { .. } | Action::ScanScripts => {}
        }
        None
    }

    fn connect(&mut self) -> Slot {
        let slot = self.watchdog.clients().free().unwrap();
        self.happens(Event::Connected {
            slot,
            pid: 4711,
            descriptor: 9,
        });
        slot
    }

    fn asks(&mut self, slot: Slot, request: Request) {
        let asked = self.asked(slot, request);
        self.happens(asked);
    }

    /// A message that is sent now.
    fn asked(&self, slot: Slot, request: Request) -> Event {
        Event::Asked {
            slot,
            message: request.message(),
            said: self.now.suspended,
        }
    }

    fn opens(&mut self, slot: Slot, fire_timeout: u32) -> u32 {
        self.asks(slot, Request::OpenWatchdog { fire_timeout });
        let (to, answer) = self.answers.last().unwrap();
        assert_eq!(*to, slot);
        answer.fire_timeout
    }

    /// The client is well for so many seconds from now on.
    fn well_for(&mut self, slot: Slot, seconds: u64) {
        let request = self.well(seconds);
        self.asks(slot, request);
    }

    fn well(&self, seconds: u64) -> Request {
        let renewal = self.now.at.seconds();
        let expire = renewal + seconds;
        Request::TestLive { renewal, expire }
    }

    fn clears(&mut self, slot: Slot) {
        let none = Request::TestLive {
            renewal: 0,
            expire: 0,
        };
        self.asks(slot, none);
        self.asks(slot, Request::RefcountClear);
    }

    /// A client as the lease daemon is one.
    fn watched(&mut self, fire_timeout: u32, seconds: u64) -> Slot {
        let slot = self.connect();
        self.asks(
            slot,
            Request::Register(Name::from_bytes(b"sanlock_ls:1").unwrap()),
        );
        assert_eq!(self.opens(slot, fire_timeout), fire_timeout);
        self.asks(slot, Request::RefcountSet);
        self.well_for(slot, seconds);
        slot
    }

    fn state(&self) -> Device {
        self.watchdog.device()
    }

    fn said(&self, what: &str) -> bool {
        self.log.iter().any(|line| line.contains(what))
    }
}
