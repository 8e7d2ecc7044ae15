//! What decides: state + event + time -> actions. No I/O, no clock, no waiting.
//!
//! The device is in one of four states. `Closed`: it does not fire. `Kept`: it is open and kept alive after each
//! test that all sources pass. When a source fails it is `Left`: closed without being disarmed, so that it fires
//! a fire timeout after that. Closing makes the kernel keep it alive once more, so it is done a test interval
//! *before* a client's time is up; from then on nothing, not even the end of this process, can put the reset off.
//! If that moment was missed (the daemon did not run for a while) it is `Withheld` instead: open, and not kept
//! alive, so that it fires a fire timeout after the last keepalive, when all was well.
//!
//! From `Left` and `Withheld` it comes back to `Kept` when all sources pass again before it fires.

/// Whether a mistake is switched on: never, unless the `hazards` feature is compiled in.
macro_rules! planted {
    ($watchdog:expr, $hazard:ident) => {{
        #[cfg(feature = "hazards")]
        let on = $watchdog
            .hazards
            .contains(&$crate::watchdog::Hazard::$hazard);
        #[cfg(not(feature = "hazards"))]
        let on = {
            let _: &$crate::watchdog::Watchdog = $watchdog;
            false
        };
        on
    }};
}

mod clients;
mod entry;
mod event;
#[cfg(feature = "hazards")]
mod hazards;
mod requests;
mod scripts;
mod tests_of_sources;
pub mod time;

#[cfg(test)]
mod tests;

pub use clients::{Client, Clients, MAX_CLIENTS, Slot};
pub(crate) use entry::shown;
pub use entry::{Entry, Level, Trouble};
pub use event::{Action, DETAILS, Event};
#[cfg(feature = "hazards")]
pub use hazards::Hazard;
pub use scripts::{MAX_NAME, MAX_SCRIPTS, Script, ScriptEnd, Scripts};
pub use time::{DEFAULT_FIRE_TIMEOUT, Millis, Now, Suspended};

use time::{RECOVERY_INTERVAL, test_interval};

/// What the administrator chose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Run test scripts.
    pub scripts: bool,
    /// Kill a script after so many seconds, 0 for never.
    pub kill_after: u32,
    /// Open the device at the start and keep it until the end, as up to 3.8.5.
    pub hold: bool,
}

/// How the device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// Not open, and it does not fire.
    Closed,
    /// Open and kept alive.
    Kept,
    /// Closed, and it fires.
    Left,
    /// Open and not kept alive: it fires.
    Withheld,
}

/// Which source stopped the last keepalive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A client.
    Client(Slot),
    /// A script.
    Script(usize),
    /// No script can be run.
    Scripts,
}

/// What the device's answer is waited for, so that nothing is decided meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    /// Opening, for a client that asked with this message's fire timeout.
    Open(Opening),
    KeepAlive,
    Disarm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// The client gets this message back.
    Asked {
        slot: Slot,
        message: wdmd_proto::Message,
    },
    /// The client wants to be watched, and did not ask.
    Unasked(Slot),
    /// At the start.
    Held,
    /// After it was left armed.
    Again,
}

/// A test that is under way: scripts have until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Round {
    until: Millis,
}

/// The whole state.
#[derive(Debug)]
pub struct Watchdog {
    config: Config,
    fire_timeout: u32,
    device: Device,
    awaited: Option<Awaited>,
    clients: Clients,
    scripts: Scripts,
    last_keepalive: Millis,
    last_closed_unclean: Millis,
    last_test: Option<Millis>,
    round: Option<Round>,
    quitting: bool,
    ended: bool,
    keepalive_fails: bool,
    stopped_by: Option<(Source, Millis)>,
    final_words_said: bool,
    #[cfg(feature = "hazards")]
    hazards: std::collections::BTreeSet<Hazard>,
}

impl Watchdog {
    /// Of a daemon that starts. Its table of clients is the last memory that it asks for.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            fire_timeout: DEFAULT_FIRE_TIMEOUT,
            device: Device::Closed,
            awaited: None,
            clients: Clients::new(),
            scripts: Scripts::default(),
            last_keepalive: Millis(0),
            last_closed_unclean: Millis(0),
            last_test: None,
            round: None,
            quitting: false,
            ended: false,
            keepalive_fails: false,
            stopped_by: None,
            final_words_said: false,
            #[cfg(feature = "hazards")]
            hazards: std::collections::BTreeSet::new(),
        }
    }

    /// One with these mistakes.
    #[cfg(feature = "hazards")]
    #[must_use]
    pub fn with_hazards(config: Config, hazards: std::collections::BTreeSet<Hazard>) -> Self {
        Self {
            hazards,
            ..Self::new(config)
        }
    }

    /// The first step: with [`Config::hold`] the device is opened, with [`Config::scripts`] they are looked for.
    pub fn start(&mut self, actions: &mut Vec<Action>) {
        if self.config.scripts {
            actions.push(Action::ScanScripts);
        }
        if self.config.hold {
            self.open(Opening::Held, DEFAULT_FIRE_TIMEOUT, actions);
        }
    }

    /// Takes an event, and says what is to be done. Actions of one step come before those of the next; the
    /// device's answers are the very next events.
    ///
    /// What is heard is taken down; what follows from it is decided at the next [`Event::Tick`], when all that has
    /// come was heard: by the last that a client said, not by something outdated that it said before.
    pub fn step(&mut self, event: Event, now: Now, actions: &mut Vec<Action>) {
        if self.ended {
            return;
        }
        let decides = match event {
            Event::Tick | Event::KeptAlive(_) | Event::Disarmed(_) => true,
            Event::Opened(_) => self.awaited == Some(Awaited::Open(Opening::Again)),
            _ => false,
        };
        match event {
            Event::Tick => {}
            Event::Connected {
                slot,
                pid,
                descriptor,
            } => self.clients.add(slot, pid, descriptor),
            Event::Asked {
                slot,
                message,
                said,
            } => {
                let said = match said {
                    _ if planted!(self, SuspensionUncounted) => Suspended(u64::MAX),
                    _ if planted!(self, DatedWhenRead) => now.suspended,
                    said => said,
                };
                self.asked(slot, message, said, actions);
            }
            Event::Closed(slot) => self.closed(slot, actions),
            Event::Opened(worked) => self.opened(worked, now, actions),
            Event::KeptAlive(result) => self.kept_alive(result, now, actions),
            Event::Disarmed(result) => self.disarmed(result, actions),
            Event::ScriptFound(_)
            | Event::ScriptStarted { .. }
            | Event::ScriptRefused { .. }
            | Event::ScriptEnded { .. }
            | Event::ScriptsLost => self.of_scripts(event, actions),
            Event::Reload => {
                if self.config.scripts {
                    actions.push(Action::ScanScripts);
                }
            }
            Event::Terminate => self.quitting = true,
        }
        if decides && self.awaited.is_none() && !self.ended {
            self.settle(now, actions);
        }
    }

    /// When it wants an [`Event::Tick`] if nothing else happens; `None` for never.
    #[must_use]
    pub fn wakes(&self, now: Now) -> Option<Millis> {
        if self.device == Device::Closed {
            return None;
        }
        let next = self.last_test.map(|at| at.plus_seconds(self.interval()));
        let mut wakes = next.unwrap_or(now.at);
        if let Some(round) = self.round {
            wakes = self.script_wakes(round);
        }
        if self.device == Device::Kept {
            if let Some(expires) = self.clients.first_expiry(now) {
                wakes = wakes.min(expires.minus_seconds(self.standard_interval()));
            }
        }
        Some(wakes.max(now.at))
    }

    /// What there is to do in the state as it is.
    fn settle(&mut self, now: Now, actions: &mut Vec<Action>) {
        if self.quitting {
            match self.clients.needing() {
                0 => return self.end(now, actions),
                // It does not come true later.
                clients => {
                    self.quitting = false;
                    log(actions, Entry::MayNotEnd { clients });
                }
            }
        }
        if self.device == Device::Closed {
            return;
        }
        // What is left armed must first be seen to be well again; then it can be disarmed.
        if self.device == Device::Kept && !self.clients.any() && !self.config.hold {
            log(actions, Entry::Unused);
            return self.disarm(actions);
        }
        self.test(now, actions);
    }

    /// Ends, leaving the device armed only if a source has failed.
    fn end(&mut self, now: Now, actions: &mut Vec<Action>) {
        let well = self.failing_scripts(now).next().is_none();
        match self.device {
            Device::Closed => self.finish(false, actions),
            Device::Kept => self.disarm(actions),
            Device::Withheld if well => self.disarm(actions),
            Device::Left if well => self.open(Opening::Again, self.fire_timeout, actions),
            Device::Withheld | Device::Left => self.finish(true, actions),
        }
    }

    fn finish(&mut self, armed: bool, actions: &mut Vec<Action>) {
        if armed {
            log(actions, Entry::EndsArmed);
        }
        self.ended = true;
        actions.push(Action::End { armed });
    }

    fn open(&mut self, opening: Opening, fire_timeout: u32, actions: &mut Vec<Action>) {
        self.awaited = Some(Awaited::Open(opening));
        actions.push(Action::Open {
            fire_timeout,
            again: opening == Opening::Again,
        });
        if opening != Opening::Again {
            self.fire_timeout = fire_timeout;
        }
    }

    fn disarm(&mut self, actions: &mut Vec<Action>) {
        self.awaited = Some(Awaited::Disarm);
        actions.push(Action::Disarm);
    }

    fn opened(&mut self, worked: bool, now: Now, actions: &mut Vec<Action>) {
        let Some(Awaited::Open(opening)) = self.awaited.take() else {
            return;
        };
        if worked {
            self.device = Device::Kept;
            self.last_keepalive = now.at;
            self.keepalive_fails = false;
            self.clients.are_protected();
            if opening == Opening::Again {
                log(actions, Entry::Reopened);
                self.well_again();
            } else {
                log(
                    actions,
                    Entry::Opened {
                        timeout: self.fire_timeout,
                    },
                );
                // The first test follows at once.
                self.last_test = None;
                self.round = None;
            }
        } else if opening == Opening::Again {
            log(actions, Entry::ReopenFailed);
            if self.quitting {
                self.finish(true, actions);
            }
        } else {
            self.fire_timeout = DEFAULT_FIRE_TIMEOUT;
        }
        match opening {
            Opening::Asked { slot, message } => {
                let result = if worked { self.fire_timeout } else { 0 };
                self.answer_open(slot, &message, result, actions);
            }
            Opening::Unasked(slot) if worked => log(actions, Entry::OpenedUnasked(slot)),
            Opening::Unasked(slot) => {
                log(actions, Entry::UnaskedOpenFailed(slot));
                if let Some(client) = self.clients.get_mut(slot) {
                    client.unprotected = true;
                }
            }
            Opening::Held if !worked => self.finish(false, actions),
            Opening::Held | Opening::Again => {}
        }
    }

    fn kept_alive(&mut self, result: Result<(), i32>, now: Now, actions: &mut Vec<Action>) {
        const NO_DEVICE: i32 = 19;
        if self.awaited.take() != Some(Awaited::KeepAlive) {
            return;
        }
        match result {
            Ok(()) => {
                self.last_keepalive = now.at;
                log(actions, Entry::KeptAlive);
                if std::mem::take(&mut self.keepalive_fails) {
                    log(actions, Entry::Recovered);
                }
                if self.device == Device::Withheld {
                    log(actions, Entry::KeptAgain);
                }
                self.device = Device::Kept;
                self.well_again();
            }
            Err(errno) => {
                if !std::mem::replace(&mut self.keepalive_fails, true) {
                    log(actions, Entry::KeepAliveFailed { errno });
                }
                // One that was taken away may come back under its name.
                if errno == NO_DEVICE {
                    actions.push(Action::LeaveArmed);
                    self.device = Device::Left;
                }
            }
        }
    }

    fn disarmed(&mut self, result: Result<(), i32>, actions: &mut Vec<Action>) {
        if self.awaited.take() != Some(Awaited::Disarm) {
            return;
        }
        self.device = Device::Closed;
        self.last_test = None;
        self.round = None;
        self.well_again();
        match result {
            Ok(()) => log(actions, Entry::Disarmed),
            Err(errno) => {
                log(actions, Entry::DisarmFailed { errno });
                if self.quitting {
                    self.finish(true, actions);
                }
            }
        }
    }

    fn well_again(&mut self) {
        self.final_words_said = false;
    }

    /// Seconds between tests when nothing is wrong.
    #[must_use]
    pub fn standard_interval(&self) -> u32 {
        test_interval(self.fire_timeout)
    }

    /// Seconds between tests now.
    #[must_use]
    pub fn interval(&self) -> u32 {
        let well = matches!(self.device, Device::Closed | Device::Kept) && !self.keepalive_fails;
        if well {
            self.standard_interval()
        } else {
            RECOVERY_INTERVAL
        }
    }

    /// Seconds after which the device fires.
    #[must_use]
    pub fn fire_timeout(&self) -> u32 {
        self.fire_timeout
    }

    /// When the device fires if nothing is done; `None` if it is closed.
    #[must_use]
    pub fn fires(&self) -> Option<Millis> {
        let last = match self.device {
            Device::Closed => return None,
            Device::Left => self.last_keepalive.max(self.last_closed_unclean),
            Device::Kept | Device::Withheld => self.last_keepalive,
        };
        Some(last.plus_seconds(self.fire_timeout))
    }

    /// How the device is.
    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }

    /// Who is watched.
    #[must_use]
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// The test scripts.
    #[must_use]
    pub fn scripts(&self) -> &Scripts {
        &self.scripts
    }

    /// What the administrator chose.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// When the device was last kept alive; 0 for never.
    #[must_use]
    pub fn last_keepalive(&self) -> Millis {
        self.last_keepalive
    }

    /// When it was last closed so that it fires; 0 for never.
    #[must_use]
    pub fn last_closed_unclean(&self) -> Millis {
        self.last_closed_unclean
    }

    /// Which source last stopped a keepalive, and when.
    #[must_use]
    pub fn stopped_by(&self) -> Option<(Source, Millis)> {
        self.stopped_by
    }
}

fn log(actions: &mut Vec<Action>, entry: Entry) {
    actions.push(Action::Log(entry));
}
