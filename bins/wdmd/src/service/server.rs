//! The loop: waits for what happens, asks the watchdog what to do, and does it.

use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixListener;

use daemon::Keeper;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signalfd::SignalFd;
use nix::sys::timerfd::TimerFd;

use super::clerk::Clerk;
use super::connection::{Connection, Pending, Sent};
use super::dump::{About, PAGE, Page};
use super::hearing::resumption;
use super::now;
use super::runner::{Report, Runner};
use crate::device::{Device, RealDevice, errno};
use crate::watchdog::{Action, Entry, Event, Level, MAX_CLIENTS, Slot, Suspended, Watchdog, shown};

/// What an event of epoll is about; clients come after these.
pub(super) const LISTENER: u64 = 0;
pub(super) const SIGNALS: u64 = 1;
pub(super) const RUNNER: u64 = 2;
pub(super) const RESUMED: u64 = 3;
pub(super) const KEEPER: u64 = 4;
pub(super) const FIRST_CLIENT: u64 = 16;

/// Room for what one step can want: each client may be named in the log.
const ACTIONS: usize = 128;

/// How the daemon ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The device is closed and does not fire.
    Disarmed,
    /// The device fires.
    Armed,
    /// The daemon cannot go on.
    Broken(Errno),
}

/// What stays the same while the daemon runs.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) socket_gid: u32,
    pub(super) high_priority: i32,
    pub(super) kill_script_sec: i32,
    pub(super) debug: bool,
    /// No client has said anything before.
    pub(super) began: Suspended,
}

/// The daemon's other processes.
pub(super) struct Processes {
    pub(super) keeper: Keeper,
    pub(super) clerk: Clerk,
    pub(super) runner: Option<Runner>,
}

/// The daemon.
pub(super) struct Server {
    pub(super) watchdog: Watchdog,
    pub(super) device: RealDevice,
    pub(super) keeper: Keeper,
    pub(super) clerk: Clerk,
    pub(super) runner: Option<Runner>,
    pub(super) epoll: Epoll,
    pub(super) listener: UnixListener,
    pub(super) listening: bool,
    /// When nobody waited to be let in.
    pub(super) all_let_in: Suspended,
    pub(super) signals: SignalFd,
    pub(super) resumption: Option<TimerFd>,
    pub(super) connections: Vec<Option<Connection>>,
    page: String,
    settings: Settings,
    pub(super) ended: Option<Ended>,
}

impl Server {
    pub(super) fn new(
        watchdog: Watchdog,
        device: RealDevice,
        processes: Processes,
        listener: UnixListener,
        signals: SignalFd,
        settings: Settings,
    ) -> nix::Result<Self> {
        let Processes {
            keeper,
            clerk,
            runner,
        } = processes;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
        epoll.add(&signals, EpollEvent::new(EpollFlags::EPOLLIN, SIGNALS))?;
        epoll.add(&keeper, EpollEvent::new(EpollFlags::EPOLLIN, KEEPER))?;
        if let Some(runner) = &runner {
            epoll.add(runner, EpollEvent::new(EpollFlags::EPOLLIN, RUNNER))?;
        }
        // Without it the end of a suspension is noticed at the next test.
        let resumption = resumption().ok();
        if let Some(resumption) = &resumption {
            epoll.add(resumption, EpollEvent::new(EpollFlags::EPOLLIN, RESUMED))?;
        }
        Ok(Self {
            watchdog,
            device,
            keeper,
            clerk,
            runner,
            epoll,
            listener,
            listening: true,
            all_let_in: settings.began,
            signals,
            resumption,
            connections: Vec::with_capacity(MAX_CLIENTS),
            page: String::with_capacity(PAGE),
            settings,
            ended: None,
        })
    }

    /// The first step. Whether the daemon can go on.
    pub(super) fn begin(&mut self) -> bool {
        let mut actions = Vec::with_capacity(ACTIONS);
        self.watchdog.start(&mut actions);
        self.carry_out(&mut actions);
        // The scripts that there are belong to the first test already.
        while let Some(Ok(report)) = self.runner.as_ref().map(|runner| runner.report(true)) {
            match report {
                Some(Report::Event(event)) => self.take(event, &mut actions),
                Some(Report::Scanned) => break,
                None => {}
            }
        }
        self.ended.is_none()
    }

    /// Runs until the daemon ends.
    pub(super) fn run(mut self) -> (Ended, Clerk) {
        let mut actions = Vec::with_capacity(ACTIONS);
        loop {
            if let Some(ended) = self.ended {
                return (ended, self.clerk);
            }
            let timeout = self.timeout();
            if let Err(errno) = self.hear(timeout, &mut actions) {
                return (Ended::Broken(errno), self.clerk);
            }
            self.take(Event::Tick, &mut actions);
        }
    }

    fn timeout(&self) -> EpollTimeout {
        let now = now();
        let Some(wakes) = self.watchdog.wakes(now) else {
            return EpollTimeout::NONE;
        };
        // One more than the difference: the clock shows whole milliseconds.
        let wait = match wakes.0.saturating_sub(now.at.0) {
            0 => 0,
            left => left.saturating_add(1),
        };
        let most = 60_000_u64;
        EpollTimeout::try_from(i32::try_from(wait.min(most)).unwrap_or(0))
            .unwrap_or(EpollTimeout::ZERO)
    }

    pub(super) fn connection(&mut self, slot: Slot) -> Option<&mut Connection> {
        self.connections.get_mut(slot.0)?.as_mut()
    }

    /// Listens to the client again, or waits for room. One that is gone is listened to until its end: what it
    /// said before it left counts, above all that it needs no watching any more.
    pub(super) fn after_sending(&mut self, slot: Slot, sent: Sent) {
        let Some(Some(connection)) = self.connections.get_mut(slot.0) else {
            return;
        };
        let wanted = if sent == Sent::NoRoom {
            EpollFlags::EPOLLOUT
        } else {
            connection.set_pending(Pending::Nothing);
            EpollFlags::EPOLLIN
        };
        let mut ready = EpollEvent::new(wanted, data_of(slot));
        let _ = self.epoll.modify(connection.as_fd(), &mut ready);
    }

    /// Sends the rest of a dump, a page at a time.
    pub(super) fn dump(&mut self, slot: Slot, from: usize, details: bool) {
        let mut line = from;
        loop {
            let about = About {
                socket_gid: self.settings.socket_gid,
                high_priority: self.settings.high_priority,
                kill_script_sec: self.settings.kill_script_sec,
                path: self.device.path(),
                identity: self.device.identity(),
                signals: self.signals.as_fd().as_raw_fd(),
                listener: self.listener.as_raw_fd(),
            };
            let (lines, last) =
                Page::write(&mut self.page, line, details, &self.watchdog, &about, now());
            let Some(Some(connection)) = self.connections.get_mut(slot.0) else {
                return;
            };
            let sent = connection.send(self.page.as_bytes());
            if sent == Sent::Whole {
                line = line.saturating_add(lines);
                if !last && lines > 0 {
                    continue;
                }
            } else {
                connection.set_pending(Pending::Dump {
                    sent: line,
                    details,
                });
            }
            return self.after_sending(slot, sent);
        }
    }

    /// Takes an event to the watchdog and does what it says, until nothing is left to do.
    pub(super) fn take(&mut self, event: Event, actions: &mut Vec<Action>) {
        debug_assert!(actions.is_empty());
        self.watchdog.step(event, now(), actions);
        self.carry_out(actions);
    }

    fn carry_out(&mut self, actions: &mut Vec<Action>) {
        // What an action leads to comes after it.
        let mut next = 0;
        while let Some(action) = actions.get(next).cloned() {
            next = next.saturating_add(1);
            if let Some(event) = self.perform(action) {
                self.watchdog.step(event, now(), actions);
            }
        }
        actions.clear();
    }

    /// Does one thing. What the device says to it is an event.
    fn perform(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Open {
                fire_timeout,
                again,
            } => {
                return Some(Event::Opened(self.open(fire_timeout, again)));
            }
            Action::KeepAlive => {
                let kept = self.device.keep_alive().map_err(|error| errno(&error));
                return Some(Event::KeptAlive(kept));
            }
            Action::Disarm => {
                let closed = self.disarm();
                self.clerk.disarmed();
                return Some(Event::Disarmed(closed.map_err(|error| errno(&error))));
            }
            Action::LeaveArmed => self.leave_armed(),
            Action::Answer { slot, message } => {
                if let Some(sent) = self.connection(slot).map(|to| to.answer(&message)) {
                    self.after_sending(slot, sent);
                }
            }
            Action::Dump { slot, details } => {
                if let Some(connection) = self.connection(slot) {
                    connection.set_pending(Pending::Dump { sent: 0, details });
                    self.after_sending(slot, Sent::NoRoom);
                }
            }
            Action::ScanScripts => {
                if self.runner.as_ref().is_some_and(|runner| !runner.scan()) {
                    return Some(Event::ScriptsLost);
                }
            }
            Action::RunScript(index) => {
                let name = self
                    .watchdog
                    .scripts()
                    .get(index)
                    .map(|script| &script.name);
                if let (Some(name), Some(runner)) = (name, &self.runner) {
                    // One that cannot be asked for is one that does not end in time.
                    runner.run(index, name);
                }
            }
            Action::KillScript(index) => {
                if let Some(runner) = &self.runner {
                    runner.kill(index);
                }
            }
            Action::LastWords { remaining, slot } => self.last_words(remaining, slot),
            Action::Log(entry) => self.log(&entry),
            Action::End { armed } => {
                self.ended = Some(if armed { Ended::Armed } else { Ended::Disarmed });
            }
        }
        None
    }

    fn last_words(&mut self, remaining: i64, slot: Option<Slot>) {
        let client = slot.and_then(|slot| self.watchdog.clients().get(slot));
        match client {
            Some(client) => {
                let name = shown(&client.name);
                let (pid, expire) = (client.pid, client.expire);
                let line = format_args!(
                    "watchdog no longer kept alive because of client '{name}', which is well until {expire} only \
                     (now {}): this host is reset in about {remaining} seconds unless all sources are well again",
                    now().at
                );
                self.clerk.last_words(pid, line);
            }
            None => {
                let line = format_args!(
                    "watchdog no longer kept alive because of a test script: this host is reset in about \
                     {remaining} seconds unless all sources are well again"
                );
                self.clerk.last_words(0, line);
            }
        }
    }

    fn log(&mut self, entry: &Entry) {
        let level = entry.level();
        if level == Level::Debug && !self.settings.debug {
            return;
        }
        if entry.is_of_the_device() {
            let path = self.device.path();
            self.clerk.log(level, format_args!("{path} {entry}"));
        } else {
            self.clerk.log(level, format_args!("{entry}"));
        }
    }
}

pub(super) fn data_of(slot: Slot) -> u64 {
    FIRST_CLIENT.saturating_add(u64::try_from(slot.0).unwrap_or(u64::MAX))
}
