//! The entry point for a fuzzer: a daemon with a simulated device, to which happens what any bytes say.

use wdmd_proto::{Name, Request};

use crate::device::simulated::{Faults, SimulatedDevice};
use crate::device::{Close, Device as _, arm, errno};
use crate::service::buffer::Buffer;
use crate::watchdog::{
    Action, Config, Device, Event, MAX_SCRIPTS, Millis, Now, ScriptEnd, Slot, Suspended, Watchdog,
};

/// Less than this between two readings of the suspended time is no suspension.
const NOISE: u64 = 2000;

/// Most clients at a time.
const CLIENTS: usize = 6;

/// Has happen what the bytes say: clients come, send bytes of any kind and number, and go; time passes, with and
/// without the daemon; the host is suspended; the device has faults; scripts end.
///
/// # Errors
/// A sentence about what must not be: the device was kept alive although a client's time was up, or does not fire
/// although a client is watched; the daemon ended although it was needed, or said wrongly how.
pub fn daemon(bytes: &[u8]) -> Result<(), String> {
    let mut input = Input(bytes);
    let flags = input.byte();
    let mut history = History::new(Config {
        scripts: flags & 1 != 0,
        kill_after: u32::from(flags >> 4),
        hold: flags & 2 != 0,
    })?;
    while !input.0.is_empty() && history.ended.is_none() && history.device.fired().is_none() {
        history.step(&mut input)?;
        history.check()?;
    }
    Ok(())
}

/// What is left of the bytes.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn number(&mut self) -> u64 {
        u64::from(self.byte()) << 8 | u64::from(self.byte())
    }
}

/// A client, as the test itself knows it.
struct Client {
    slot: Slot,
    buffer: Buffer,
    connected: bool,
    /// In seconds of the monotonic clock; 0 for no limit.
    expire: u64,
    /// How long the host had been suspended when it said so.
    said: Suspended,
}

impl Client {
    fn deadline(&self, now: Now) -> Option<u64> {
        let lost = now.suspended.0.saturating_sub(self.said.0);
        let lost = if lost < NOISE { 0 } else { lost };
        let expires = self.expire.saturating_mul(1000).saturating_sub(lost);
        (self.expire != 0).then_some(expires)
    }
}

struct History {
    watchdog: Watchdog,
    device: SimulatedDevice,
    now: Now,
    clients: Vec<Client>,
    /// What waits to be read while the daemon is stopped.
    waiting: Vec<Event>,
    /// When all was last read, if the daemon is stopped.
    stopped: Option<Suspended>,
    ended: Option<bool>,
}

impl History {
    fn new(config: Config) -> Result<Self, String> {
        let mut history = Self {
            watchdog: Watchdog::new(config),
            device: SimulatedDevice::new(60),
            now: Now {
                at: Millis::from_seconds(100),
                suspended: Suspended(0),
            },
            clients: Vec::new(),
            waiting: Vec::new(),
            stopped: None,
            ended: None,
        };
        history.device.advance(history.now.at);
        let mut actions = Vec::new();
        history.watchdog.start(&mut actions);
        history.carry_out(actions)?;
        Ok(history)
    }

    fn step(&mut self, input: &mut Input<'_>) -> Result<(), String> {
        match input.byte() % 12 {
            0 => self.connect(),
            1 => {
                let (which, count) = (input.byte(), input.byte());
                let bytes = input.take(usize::from(count));
                self.sends(which, bytes)
            }
            2..=4 => {
                let which = input.byte();
                let message = self.request(input).message().encode();
                self.sends(which, &message)
            }
            5 => self.leaves(input.byte()),
            6 => self.pass(input.number()),
            7 => self.stop(),
            8 => {
                let asleep = input.number().saturating_mul(2);
                self.now.suspended.0 = self.now.suspended.0.saturating_add(asleep);
                self.decides()
            }
            9 => {
                self.device.faults = faults(input.byte());
                Ok(())
            }
            10 => self.happens(if input.byte() & 7 == 0 {
                Event::Terminate
            } else {
                Event::Reload
            }),
            _ => self.of_scripts(input.byte()),
        }
    }

    fn connect(&mut self) -> Result<(), String> {
        // Who connects while the daemon is stopped waits; that has no effect of its own.
        let free = self.watchdog.clients().free();
        let Some(slot) = free.filter(|_| self.stopped.is_none() && self.clients.len() < CLIENTS)
        else {
            return Ok(());
        };
        self.clients.push(Client {
            slot,
            buffer: Buffer::new(),
            connected: true,
            expire: 0,
            said: Suspended(0),
        });
        self.happens(Event::Connected {
            slot,
            pid: 1,
            descriptor: 9,
        })
    }

    fn request(&self, input: &mut Input<'_>) -> Request {
        let value = input.byte();
        let now = self.now.at.seconds();
        match input.byte() % 8 {
            0 => Request::Register(Name::from_bytes(input.take(4)).unwrap_or_default()),
            1 => Request::RefcountSet,
            2 => Request::RefcountClear,
            3 => Request::Status,
            4 => Request::OpenWatchdog {
                fire_timeout: u32::from(value),
            },
            5 => Request::TestLive {
                renewal: 0,
                expire: 0,
            },
            _ => Request::TestLive {
                renewal: now,
                // Some are in the past.
                expire: now.saturating_add(u64::from(value)).saturating_sub(20),
            },
        }
    }

    fn sends(&mut self, which: u8, bytes: &[u8]) -> Result<(), String> {
        let (suspended, said) = (self.now.suspended, self.said());
        let Some(client) = self.connected(which) else {
            return Ok(());
        };
        let (slot, mut messages, mut left) = (client.slot, Vec::new(), bytes);
        while !left.is_empty() {
            let room = client.buffer.room();
            let (now, later) = left.split_at(left.len().min(room.len()));
            for (place, byte) in room.iter_mut().zip(now) {
                *place = *byte;
            }
            left = later;
            messages.extend(client.buffer.take(now.len()));
        }
        for message in &messages {
            if let Ok(Request::TestLive { expire, .. }) = Request::try_from(message) {
                (client.expire, client.said) = (expire, suspended);
            }
        }
        for message in messages {
            self.hears(Event::Asked {
                slot,
                message,
                said,
            })?;
        }
        self.decides()
    }

    fn leaves(&mut self, which: u8) -> Result<(), String> {
        let Some(client) = self.connected(which) else {
            return Ok(());
        };
        client.connected = false;
        let slot = client.slot;
        self.clients.retain(|one| one.connected || one.expire != 0);
        self.happens(Event::Closed(slot))
    }

    fn connected(&mut self, which: u8) -> Option<&mut Client> {
        let place = usize::from(which) % self.clients.len().max(1);
        self.clients.get_mut(place).filter(|one| one.connected)
    }

    /// The daemon is stopped, or goes on.
    fn stop(&mut self) -> Result<(), String> {
        if self.stopped.take().is_none() {
            self.stopped = Some(self.now.suspended);
            return Ok(());
        }
        for event in std::mem::take(&mut self.waiting) {
            self.hears(event)?;
        }
        self.decides()
    }

    /// From when what is sent now is to the daemon.
    fn said(&self) -> Suspended {
        self.stopped.unwrap_or(self.now.suspended)
    }

    fn pass(&mut self, millis: u64) -> Result<(), String> {
        let end = Millis(self.now.at.0.saturating_add(millis));
        while self.stopped.is_none() && self.ended.is_none() {
            match self.watchdog.wakes(self.now) {
                Some(wakes) if wakes <= end => {
                    let next = Millis(self.now.at.0.saturating_add(1));
                    self.turn_clock(wakes.max(next));
                    self.decides()?;
                }
                _ => break,
            }
        }
        self.turn_clock(end);
        Ok(())
    }

    fn turn_clock(&mut self, at: Millis) {
        self.now.at = self.now.at.max(at);
        self.device.advance(self.now.at);
    }

    fn of_scripts(&mut self, byte: u8) -> Result<(), String> {
        let index = usize::from(byte >> 4) % MAX_SCRIPTS;
        self.happens(match byte & 7 {
            0 => Event::ScriptFound(format!("script {index}")),
            1 => Event::ScriptStarted { index, pid: 2 },
            2 => Event::ScriptRefused { index, result: -2 },
            3 if index == 0 => Event::ScriptsLost,
            4 => Event::ScriptEnded {
                index,
                end: ScriptEnd::Exited(1),
            },
            5 => Event::ScriptEnded {
                index,
                end: ScriptEnd::Killed(9),
            },
            _ => Event::ScriptEnded {
                index,
                end: ScriptEnd::Exited(0),
            },
        })
    }

    fn happens(&mut self, event: Event) -> Result<(), String> {
        self.hears(event)?;
        self.decides()
    }

    fn decides(&mut self) -> Result<(), String> {
        match self.stopped {
            Some(_) => Ok(()),
            None => self.hears(Event::Tick),
        }
    }

    fn hears(&mut self, event: Event) -> Result<(), String> {
        if self.stopped.is_some() {
            self.waiting.push(event);
            return Ok(());
        }
        let mut actions = Vec::new();
        self.watchdog.step(event, self.now, &mut actions);
        self.carry_out(actions)
    }

    fn carry_out(&mut self, actions: Vec<Action>) -> Result<(), String> {
        for action in actions {
            if let Some(event) = self.perform(&action)? {
                self.hears(event)?;
            }
        }
        Ok(())
    }

    fn perform(&mut self, action: &Action) -> Result<Option<Event>, String> {
        Ok(match action {
            Action::Open {
                fire_timeout,
                again,
            } => {
                let otherwise = if *again {
                    self.nobody_is_overdue("opened again", 0)?;
                    Close::Armed
                } else {
                    Close::Disarmed
                };
                let opened = arm(&mut self.device, *fire_timeout, otherwise);
                Some(Event::Opened(opened.is_ok()))
            }
            Action::KeepAlive => {
                self.nobody_is_overdue("kept alive", 0)?;
                let kept = self.device.keep_alive();
                Some(Event::KeptAlive(kept.map_err(|error| errno(&error))))
            }
            Action::Disarm => {
                self.nobody_is_watched("disarmed")?;
                let closed = self.device.close(Close::Disarmed);
                Some(Event::Disarmed(closed.map_err(|error| errno(&error))))
            }
            Action::LeaveArmed => {
                if !self.device.faults.gone {
                    // It is in time until the very moment.
                    self.nobody_is_overdue("closed, which keeps it alive", 1)?;
                }
                let _ = self.device.close(Close::Armed);
                None
            }
            Action::End { armed } => {
                self.nobody_is_watched("left alone")?;
                self.ended = Some(*armed);
                None
            }
            Action::Log(entry) => {
                // Whatever a name has in it can be shown.
                let _ = entry.to_string();
                None
            }
            _ => None,
        })
    }

    fn nobody_is_overdue(&self, what: &str, grace: u64) -> Result<(), String> {
        let now = self.now;
        let overdue = |one: &&Client| {
            one.deadline(now)
                .is_some_and(|at| at.saturating_add(grace) <= now.at.0)
        };
        match self.clients.iter().find(overdue) {
            Some(client) => Err(format!(
                "the device is {what} at {now:?}, though a client was well until {} only",
                client.expire
            )),
            None => Ok(()),
        }
    }

    fn nobody_is_watched(&self, what: &str) -> Result<(), String> {
        match self.clients.iter().find(|one| one.expire != 0) {
            Some(client) => Err(format!(
                "the device is {what}, though a client is watched until {}",
                client.expire
            )),
            None => Ok(()),
        }
    }

    fn check(&self) -> Result<(), String> {
        let watched = self.nobody_is_watched("").is_err();
        if !watched || self.stopped.is_some() {
            return Ok(());
        }
        if self.watchdog.device() == Device::Closed {
            let mut clients = self.watchdog.clients().iter();
            return match clients.any(|(_, client)| client.unprotected) {
                true => Ok(()),
                false => Err("a client is watched by a closed device, and not told".to_owned()),
            };
        }
        match self.device.fires() {
            Some(_) => Ok(()),
            None => Err("a client is watched, and the device does not fire".to_owned()),
        }
    }
}

fn faults(byte: u8) -> Faults {
    // Mostly none.
    let byte = if byte & 0x80 == 0 { 0 } else { byte };
    Faults {
        refuses_timeouts: byte & 1 != 0,
        lies: (byte & 2 != 0).then_some(77),
        keepalive_fails: byte & 4 != 0,
        gone: byte & 8 != 0,
        busy: byte & 16 != 0,
        ..Faults::default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A client comes, has the device opened, and is well for so many seconds less 20.
    const WATCHED: [u8; 10] = [2, 0, 2, 0, 60, 4, 2, 0, 100, 6];

    #[test]
    fn a_client_is_watched_until_the_device_fires() {
        let passes: Vec<u8> = std::iter::repeat_n([6, 40, 0], 60).flatten().collect();
        let input = [&WATCHED[..], &passes].concat();
        assert_eq!(daemon(&input), Ok(()));
    }

    proptest! {
        #[test]
        fn all_bytes_obey_the_law_of_the_fuzz_target(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            prop_assert_eq!(daemon(&bytes), Ok(()));
        }
    }
}
