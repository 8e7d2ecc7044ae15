//! `--probe` and `--trytimeout`: is there a watchdog device that does what it should? Not while wdmd runs, or has
//! ended otherwise than in order: opening a device puts a reset off.

use std::fmt;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use daemon::{Clock, Close};
use serde::Serialize;

use super::options::Probe;
use crate::device::{Device, RealDevice, candidates, errno};
use crate::service::Marker;
use crate::watchdog::DEFAULT_FIRE_TIMEOUT;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Document {
    format: u32,
    /// The device that works.
    path: Option<String>,
    identity: Option<String>,
    softdog: Option<bool>,
    timeout: Option<u32>,
    /// What is wrong with the others.
    problems: Vec<String>,
}

/// Probes, and says what was found.
pub(super) fn run(probe: &Probe) -> ExitCode {
    let marker = match Marker::leave() {
        Ok(marker) => marker,
        Err(error) => {
            daemon::console::err(format_args!(
                "cannot probe watchdog devices while wdmd is in use."
            ));
            daemon::console::err(format_args!("({error})"));
            return ExitCode::FAILURE;
        }
    };
    let mut probing = Probing {
        probe,
        problems: Vec::new(),
    };
    let found = candidates(None, probe.device.as_deref())
        .into_iter()
        .find_map(|path| probing.one(&path).ok());
    marker.remove();
    if found.is_none() {
        probing.problem(format_args!("no watchdog device, load a watchdog driver"));
    }
    if probe.json {
        let document = Document {
            format: 1,
            path: found.as_ref().map(|(device, _)| device.path().to_owned()),
            identity: found
                .as_ref()
                .map(|(device, _)| device.identity().to_owned()),
            softdog: found.as_ref().map(|(device, _)| device.is_softdog()),
            timeout: found.as_ref().map(|(_, timeout)| *timeout),
            problems: probing.problems,
        };
        if let Ok(text) = serde_json::to_string_pretty(&document) {
            daemon::console::out(format_args!("{text}"));
        }
    }
    match found {
        Some(_) => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    }
}

/// The device is not one to use; why has been said.
struct Useless;

struct Probing<'a> {
    probe: &'a Probe,
    problems: Vec<String>,
}

impl Probing<'_> {
    fn problem(&mut self, what: fmt::Arguments<'_>) -> Useless {
        if self.probe.json {
            self.problems.push(what.to_string());
        } else {
            daemon::console::err(format_args!("{what}"));
        }
        Useless
    }

    /// A line with the time, of a trial.
    fn say(&self, what: fmt::Arguments<'_>) {
        if !self.probe.json {
            let (_, date) = Clock::local_time();
            daemon::console::out(format_args!("{date}  {what}"));
        }
    }

    fn one(&mut self, path: &str) -> Result<(RealDevice, u32), Useless> {
        if let Err(error) = std::fs::metadata(path) {
            let number = errno(&error);
            return Err(match self.probe.timeout {
                Some(_) => self.problem(format_args!("{path} stat error {number}")),
                None => self.problem(format_args!("error {number} stat {path}")),
            });
        }
        let mut device = RealDevice::new(path);
        if let Err(error) = device.open() {
            let number = errno(&error);
            return Err(match self.probe.timeout {
                Some(_) => self.problem(format_args!("{path} open error {number}")),
                None => self.problem(format_args!("error {number} open {path}")),
            });
        }
        let result = match self.probe.timeout {
            Some(wanted) => self.try_timeout(&mut device, wanted),
            None => self.has_the_default(&mut device),
        };
        let fd = device
            .opened()
            .map_or(-1, daemon::WatchdogDevice::descriptor);
        let closed = device.close(Close::Disarmed);
        if self.probe.timeout.is_some() {
            // The original shows here what became of the trial.
            let outcome = if result.is_ok() { 0 } else { -1 };
            self.say(format_args!(
                "{path} disarm write V fd {fd} result {outcome}"
            ));
            self.say(format_args!("{path} close fd {fd} result 0"));
        }
        if let Err(error) = closed {
            let number = errno(&error);
            let what = if self.probe.timeout.is_some() {
                "trytimeout"
            } else {
                "probe"
            };
            self.problem(format_args!(
                "{what} failed to disarm {path} error -1 {number}: this host is about to be reset"
            ));
        }
        result.map(|timeout| (device, timeout))
    }

    /// Whether it has, or takes, the default fire timeout.
    fn has_the_default(&mut self, device: &mut RealDevice) -> Result<u32, Useless> {
        let path = device.path().to_owned();
        let mut refused = |what: &str, error: &io::Error| {
            let number = errno(error);
            self.problem(format_args!("error {number} ioctl {what} {path}"))
        };
        let wanted = DEFAULT_FIRE_TIMEOUT;
        let has = device
            .timeout()
            .map_err(|error| refused("gettimeout", &error))?;
        if has != wanted {
            device
                .set_timeout(wanted)
                .map_err(|error| refused("settimeout", &error))?;
        }
        if !self.probe.json {
            daemon::console::out(format_args!("{path}"));
        }
        Ok(wanted)
    }

    fn try_timeout(&mut self, device: &mut RealDevice, wanted: u32) -> Result<u32, Useless> {
        let path = device.path().to_owned();
        let fd = device
            .opened()
            .map_or(-1, daemon::WatchdogDevice::descriptor);
        self.say(format_args!("{path} open fd {fd}"));
        self.show_timeout(device)?;
        let shown = Timeouts::of(device, wanted);
        if let Err(error) = device.set_timeout(wanted) {
            let number = errno(&error);
            return Err(self.problem(format_args!("{path} settimeout {shown} error {number}")));
        }
        let taken = Timeouts::of(device, shown.each.saturating_mul(device.rounds()));
        self.say(format_args!("{path} settimeout {shown} result {taken}"));
        let has = self.show_timeout(device)?;
        if let Err(error) = device.keep_alive() {
            let number = errno(&error);
            return Err(self.problem(format_args!("{path} keepalive error {number}")));
        }
        self.say(format_args!("{path} keepalive fd {fd} result 0"));
        if has != taken.real {
            // The original does not look, and finds a device good that has another timeout than it was given.
            self.problem(format_args!(
                "{path} has a timeout of {has} after it was given {}: not to be relied on",
                taken.real
            ));
        }
        if self.probe.force {
            self.wait_for_reset(&path, has);
        }
        Ok(has)
    }

    fn show_timeout(&mut self, device: &mut RealDevice) -> Result<u32, Useless> {
        let path = device.path().to_owned();
        let seconds = device.timeout().map_err(|error| {
            let number = errno(&error);
            self.problem(format_args!("{path} gettimeout error {number}"))
        })?;
        let shown = Timeouts::of(device, seconds);
        self.say(format_args!("{path} gettimeout {shown}"));
        Ok(seconds)
    }

    fn wait_for_reset(&mut self, path: &str, timeout: u32) {
        self.say(format_args!(
            "{path} waiting for watchdog to reset machine:"
        ));
        for second in 1..timeout.saturating_add(5) {
            std::thread::sleep(Duration::from_secs(1));
            if second > timeout {
                self.say(format_args!(
                    "{second} {path} failed to fire after timeout {timeout} seconds"
                ));
            } else {
                self.say(format_args!("{second}"));
            }
        }
    }
}

/// Seconds until the device fires, and what it is told for that, if it fires only the second time.
struct Timeouts {
    real: u32,
    each: u32,
    rounds: u32,
}

impl Timeouts {
    fn of(device: &RealDevice, real: u32) -> Self {
        let rounds = device.rounds();
        Self {
            real,
            each: real / rounds,
            rounds,
        }
    }
}

impl fmt::Display for Timeouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { real, each, rounds } = self;
        if *rounds == 1 {
            write!(f, "{real}")
        } else {
            write!(f, "real {real} itco {each}")
        }
    }
}
