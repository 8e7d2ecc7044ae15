//! wdmd on a simulated host: the real one's state machine, with a device and clients that are simulated.
//!
//! What a client sends waits in its socket until wdmd runs, which it does behind a gate of its own: it may be
//! late, or stopped. Then it reads what has come and tests, in the order of the real one's loop.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use wdmd::watchdog::{self as real, Action, Config, Event, Now, ScriptEnd, Slot, Suspended};
use wdmd_proto::{Message, Name, Request};

use crate::device::Device;

/// How often wdmd looks at its clients, for a device that fires after so many seconds.
#[must_use]
pub fn test_interval(fire_timeout: u32) -> Duration {
    Duration::from_secs(u64::from(real::time::test_interval(fire_timeout)))
}

/// How wdmd and its device are on all hosts of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traits {
    /// From the last keepalive to the reset, in seconds.
    pub fire_timeout: u32,
    /// Closing the device without disarming it keeps it alive once more, as most drivers have it.
    pub closing_pets: bool,
    /// The time for which the host was suspended comes off what clients said. It does not with the C program.
    pub counts_suspension: bool,
    /// The device is open from wdmd's start on, as up to 3.8.5; else since the first client asked.
    pub held: bool,
    /// Another client has the device open all the time, and asks for nothing more.
    pub bystander: bool,
    /// By how much wdmd runs late at most, in milliseconds.
    pub lateness: u64,
    /// There is a test script.
    pub scripts: bool,
}

/// How its test script is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// It succeeds.
    Works,
    /// It fails.
    Fails,
    /// It does not end.
    Hangs,
}

/// How long the script takes if it ends.
const SCRIPT_TAKES: Duration = Duration::from_millis(50);

/// How a client is known outside of wdmd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientId(u64);

/// What has come to wdmd's sockets.
#[derive(Debug)]
enum Arrived {
    Connection(ClientId),
    Message(ClientId, Box<Message>),
    /// A message that is answered.
    Question(ClientId, Box<Message>, oneshot::Sender<Message>),
    End(ClientId),
}

/// What became of the keepalives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The device was opened for the first time, or after it was disarmed.
    Opened,
    /// Nobody needs it.
    Disarmed,
    /// A client's time is up soon: the device was closed, and fires.
    Closed,
    /// A client's time is up: the device stays open, and fires.
    Withheld,
    /// It is kept alive again.
    Resumed,
}

/// wdmd with its device.
#[derive(Debug)]
pub struct Watchdog {
    traits: Traits,
    wdmd: real::Watchdog,
    device: Device,
    arrived: VecDeque<Arrived>,
    slots: BTreeMap<ClientId, Slot>,
    questions: BTreeMap<usize, oneshot::Sender<Message>>,
    last_client: u64,
    changes: Vec<Change>,
    /// What has arrived was sent after this.
    empty: Suspended,
    script: Script,
    /// When the script that runs was started.
    script_began: Option<Instant>,
    /// Another process has the device open as well.
    keeper: bool,
    /// It was killed.
    dead: bool,
    /// When it last ran.
    ran: Option<Instant>,
    /// Since when all clients' time is not up soon.
    well_since: Option<Instant>,
}

impl Watchdog {
    /// One that has not started.
    #[must_use]
    pub fn new(
        traits: Traits,
        #[cfg(feature = "hazards")] hazards: std::collections::BTreeSet<real::Hazard>,
    ) -> Self {
        let config = Config {
            hold: traits.held,
            scripts: traits.scripts,
            ..Config::default()
        };
        #[cfg(feature = "hazards")]
        let (keeper, wdmd) = (
            !hazards.contains(&real::Hazard::NoKeeper),
            real::Watchdog::with_hazards(config, hazards),
        );
        #[cfg(not(feature = "hazards"))]
        let (keeper, wdmd) = (true, real::Watchdog::new(config));
        Self {
            traits,
            wdmd,
            device: Device::new(traits.closing_pets),
            arrived: VecDeque::new(),
            slots: BTreeMap::new(),
            questions: BTreeMap::new(),
            last_client: 0,
            changes: Vec::new(),
            empty: Suspended(0),
            script: Script::Works,
            script_began: None,
            keeper,
            dead: false,
            ran: None,
            well_since: None,
        }
    }

    /// It starts.
    pub fn start(&mut self, now: Now) {
        if self.traits.bystander {
            // It never leaves, and nobody waits for its answer.
            let _ = self.connect(b"bystander", self.traits.fire_timeout);
        }
        let mut actions = Vec::new();
        self.wdmd.start(&mut actions);
        self.carry_out(actions, self.as_it_knows(now));
    }

    /// Its test script is like that from now on. One that runs and hung goes on.
    pub fn script(&mut self, script: Script) {
        self.script = script;
    }

    /// It is killed. The keeper has its device open still, unless it is killed as well: then the kernel closes the
    /// device, so not if wdmd was stopped while it kept it alive. Closing would put the reset off, and nobody could do
    /// anything about that.
    pub fn die(&mut self, keeper_too: bool) -> bool {
        let in_time = match self.wdmd.device() {
            real::Device::Closed | real::Device::Left => true,
            real::Device::Kept => !keeper_too || self.ran_lately(),
            real::Device::Withheld => !keeper_too,
        };
        if self.dead || !in_time {
            return false;
        }
        self.dead = true;
        if keeper_too || !self.keeper {
            self.device.process_died();
        }
        true
    }

    /// A client connects, says who it is and wants the device to fire after so many seconds. What it is answered
    /// has the timeout that the device has.
    pub fn connect(
        &mut self,
        name: &[u8],
        fire_timeout: u32,
    ) -> (ClientId, oneshot::Receiver<Message>) {
        self.last_client += 1;
        let client = ClientId(self.last_client);
        self.arrived.push_back(Arrived::Connection(client));
        let shown = name.get(..Name::LEN).unwrap_or(name);
        let name = Name::from_bytes(shown).unwrap_or_default();
        self.send(client, Request::Register(name));
        let (answer, answered) = oneshot::channel();
        let message = Box::new(Request::OpenWatchdog { fire_timeout }.message());
        self.arrived
            .push_back(Arrived::Question(client, message, answer));
        (client, answered)
    }

    /// A client sends something that is not answered.
    pub fn send(&mut self, client: ClientId, request: Request) {
        let message = Box::new(request.message());
        self.arrived.push_back(Arrived::Message(client, message));
    }

    /// A client's connection is closed.
    pub fn disconnect(&mut self, client: ClientId) {
        self.arrived.push_back(Arrived::End(client));
    }

    /// Whether it was killed.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.dead
    }

    /// wdmd runs: it reads what has come, and tests if it is time.
    pub fn run(&mut self, now: Now) -> Vec<Change> {
        let now = self.as_it_knows(now);
        self.script_ends(now);
        while let Some(arrived) = self.arrived.pop_front() {
            if let Some(event) = self.event_of(arrived) {
                self.step(event, now);
            }
        }
        self.empty = now.suspended;
        self.step(Event::Tick, now);
        let was_stopped = !self.ran_lately();
        self.ran = Some(Instant::now());
        if was_stopped || !self.are_clients_well(now) || !self.are_scripts_well() {
            self.well_since = None;
        } else {
            self.well_since.get_or_insert_with(Instant::now);
        }
        std::mem::take(&mut self.changes)
    }

    fn script_ends(&mut self, now: Now) {
        let over = self
            .script_began
            .is_some_and(|at| at.elapsed() >= SCRIPT_TAKES);
        if over && self.script != Script::Hangs {
            self.script_began = None;
            let end = ScriptEnd::Exited(i32::from(self.script == Script::Fails));
            self.step(Event::ScriptEnded { index: 0, end }, now);
        }
    }

    fn are_scripts_well(&self) -> bool {
        let mut scripts = self.wdmd.scripts().iter();
        let failed = scripts.any(|(_, script)| script.last_result != 0);
        let late = self
            .script_began
            .is_some_and(|at| at.elapsed() > SCRIPT_TAKES * 10);
        self.script == Script::Works && !failed && !late
    }

    fn as_it_knows(&self, now: Now) -> Now {
        let suspended = match self.traits.counts_suspension {
            true => now.suspended,
            false => Suspended(0),
        };
        Now { suspended, ..now }
    }

    fn event_of(&mut self, arrived: Arrived) -> Option<Event> {
        match arrived {
            Arrived::Connection(client) => {
                let slot = self.wdmd.clients().free()?;
                self.slots.insert(client, slot);
                Some(Event::Connected {
                    slot,
                    pid: 1,
                    descriptor: 9,
                })
            }
            Arrived::Message(client, message) => Some(Event::Asked {
                slot: *self.slots.get(&client)?,
                message: *message,
                said: self.empty,
            }),
            Arrived::Question(client, message, answer) => {
                let slot = *self.slots.get(&client)?;
                self.questions.insert(slot.0, answer);
                Some(Event::Asked {
                    slot,
                    message: *message,
                    said: self.empty,
                })
            }
            Arrived::End(client) => Some(Event::Closed(self.slots.remove(&client)?)),
        }
    }

    fn step(&mut self, event: Event, now: Now) {
        let before = self.wdmd.device();
        let mut actions = Vec::new();
        self.wdmd.step(event, now, &mut actions);
        self.note(before);
        self.carry_out(actions, now);
    }

    fn note(&mut self, before: real::Device) {
        use real::Device::{Closed, Kept, Left, Withheld};
        let change = match (before, self.wdmd.device()) {
            (Closed, Kept) => Change::Opened,
            (Kept | Withheld, Closed) => Change::Disarmed,
            (Kept, Left) => Change::Closed,
            (Kept, Withheld) => Change::Withheld,
            (Left | Withheld, Kept) => Change::Resumed,
            _ => return,
        };
        self.changes.push(change);
    }

    fn carry_out(&mut self, actions: Vec<Action>, now: Now) {
        for action in actions {
            if let Action::Answer { slot, message } = action {
                if let Some(answer) = self.questions.remove(&slot.0) {
                    // Whoever has asked may have given up.
                    let _ = answer.send(message);
                }
            } else if action == Action::ScanScripts {
                self.step(Event::ScriptFound("script".to_owned()), now);
            } else if let Action::RunScript(index) = action {
                self.script_began = Some(Instant::now());
                self.step(Event::ScriptStarted { index, pid: 2 }, now);
            } else if let Some(event) = self.device.perform(&action) {
                self.step(event, now);
            }
        }
    }

    /// How long until wdmd wants to run, if nothing comes; `None` for until then.
    #[must_use]
    pub fn wakes_in(&self, now: Now) -> Option<Duration> {
        let now = self.as_it_knows(now);
        let wakes = self.wdmd.wakes(now)?;
        // One more than the difference: the clock shows whole milliseconds.
        let wait = wakes.0.saturating_sub(now.at.0).saturating_add(1);
        let script = self
            .script_began
            .map(|at| SCRIPT_TAKES.saturating_sub(at.elapsed()))
            .filter(|left| !left.is_zero());
        let wait = Duration::from_millis(wait);
        Some(script.map_or(wait, |left| wait.min(left)))
    }

    /// Whether any client, dead or alive, has an expiry.
    #[must_use]
    pub fn has_expiry(&self) -> bool {
        let mut clients = self.wdmd.clients().iter();
        clients.any(|(_, client)| client.expire != 0)
    }

    fn are_clients_well(&self, now: Now) -> bool {
        let margin = self.wdmd.standard_interval();
        let mut clients = self.wdmd.clients().iter();
        clients.all(|(_, client)| {
            let expires = client.expires(now);
            expires.is_none_or(|expires| now.at < expires.minus_seconds(margin))
        })
    }

    /// Whether there is no reason to let the device fire: wdmd runs, and knows for long enough that all clients
    /// are well.
    #[must_use]
    pub fn should_be_quiet(&self) -> bool {
        /// As long as a test that finds all well may be away, with a wdmd that is late.
        const LONG_ENOUGH: Duration = Duration::from_secs(3);
        let well = self.well_since.is_some_and(|at| at.elapsed() > LONG_ENOUGH);
        well && self.ran_lately()
    }

    /// Whether it ran when it should have, and was not stopped.
    fn ran_lately(&self) -> bool {
        let most = test_interval(self.traits.fire_timeout) + Duration::from_secs(1);
        self.ran.is_some_and(|at| at.elapsed() <= most)
    }

    /// When the device fires, if nothing happens until then.
    #[must_use]
    pub fn fires_at(&self) -> Option<Instant> {
        self.device.fires_at()
    }

    /// The device stands still with the whole machine, or goes on.
    pub fn freeze(&mut self, frozen: bool) {
        self.device.freeze(frozen);
    }
}

#[cfg(test)]
mod tests;
