//! Hearing what happens: waiting for it, and taking in all there is of it before anything is decided.

use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::Signal;
use nix::sys::socket::{getsockopt, sockopt};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::connection::{Connection, Pending, Read, Sent};
use super::now;
use super::runner::Report;
use super::server::{FIRST_CLIENT, KEEPER, LISTENER, RESUMED, RUNNER, SIGNALS, Server, data_of};
use crate::device::errno;
use crate::watchdog::{Action, Event, Level, MAX_CLIENTS, Slot, Suspended};

/// Events that are taken at a time.
const BATCH: usize = 64;

/// Milliseconds for which it goes on hearing: who never stops talking does not keep the tests away.
const ATTENTION: u64 = 500;

impl Server {
    /// Waits for something to happen, and takes in all that has.
    pub(super) fn hear(
        &mut self,
        timeout: EpollTimeout,
        actions: &mut Vec<Action>,
    ) -> nix::Result<()> {
        let mut events = [EpollEvent::empty(); BATCH];
        if let Err(errno) = self.epoll.wait(&mut events, timeout) {
            if errno != Errno::EINTR {
                return Err(errno);
            }
        }
        let began = now().at;
        loop {
            // Read before it looks: what it does not see yet is sent later.
            let before = now();
            let count = self.epoll.wait(&mut events, EpollTimeout::ZERO)?;
            for event in events.iter().take(count) {
                self.happened(*event, actions);
                if self.ended.is_some() {
                    return Ok(());
                }
            }
            if count == 0 {
                self.all_is_heard(before.suspended);
                return Ok(());
            }
            if before.at.0 >= began.0.saturating_add(ATTENTION) {
                return Ok(());
            }
        }
    }

    /// Nothing waited to be read after this reading of the clock, but from those who are not listened to.
    fn all_is_heard(&mut self, suspended: Suspended) {
        if self.listening {
            self.all_let_in = suspended;
        }
        for connection in self.connections.iter_mut().flatten() {
            connection.is_empty_at(suspended);
        }
    }

    fn happened(&mut self, event: EpollEvent, actions: &mut Vec<Action>) {
        match event.data() {
            LISTENER => self.accept(actions),
            SIGNALS => self.signal(actions),
            RESUMED => self.resumed(),
            KEEPER => self.lose_keeper(),
            RUNNER => self.heard_of_scripts(actions),
            client => {
                let place = client.saturating_sub(FIRST_CLIENT);
                let slot = Slot(usize::try_from(place).unwrap_or(usize::MAX));
                self.client_is_ready(slot, event.events(), actions);
            }
        }
    }

    fn accept(&mut self, actions: &mut Vec<Action>) {
        let Some(slot) = self.watchdog.clients().free() else {
            return self.stop_listening(format_args!("{MAX_CLIENTS} clients are connected"));
        };
        let socket = match self.listener.accept() {
            Ok((socket, _)) => OwnedFd::from(socket),
            Err(error) => {
                let full = [Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::ENOBUFS];
                if full.contains(&Errno::from_raw(errno(&error))) {
                    self.stop_listening(format_args!("accept: {error}"));
                }
                return;
            }
        };
        let pid = getsockopt(&socket, sockopt::PeerCredentials).map_or(0, |peer| peer.pid());
        let connection = Connection::new(socket, self.all_let_in);
        let descriptor = connection.descriptor();
        let ready = EpollEvent::new(EpollFlags::EPOLLIN, data_of(slot));
        if self.epoll.add(&connection, ready).is_err() {
            return;
        }
        while self.connections.len() <= slot.0 {
            self.connections.push(None);
        }
        if let Some(place) = self.connections.get_mut(slot.0) {
            *place = Some(connection);
        }
        self.take(
            Event::Connected {
                slot,
                pid,
                descriptor,
            },
            actions,
        );
    }

    /// No more clients for now: those who connect wait until one leaves.
    fn stop_listening(&mut self, why: std::fmt::Arguments<'_>) {
        if self.epoll.delete(&self.listener).is_ok() {
            self.listening = false;
            self.clerk.log(
                Level::Error,
                format_args!("no more clients can connect until one leaves: {why}"),
            );
        }
    }

    fn listen_again(&mut self) {
        if !self.listening {
            let ready = EpollEvent::new(EpollFlags::EPOLLIN, LISTENER);
            self.listening = self.epoll.add(&self.listener, ready).is_ok();
        }
    }

    /// The host was suspended, or its date was set. What clients say from now on is after that.
    fn resumed(&self) {
        if let Some(resumption) = &self.resumption {
            let _ = resumption.wait();
        }
    }

    fn signal(&mut self, actions: &mut Vec<Action>) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            let number = i32::try_from(signal.ssi_signo).unwrap_or(0);
            let event = if number == Signal::SIGHUP as i32 {
                Event::Reload
            } else {
                Event::Terminate
            };
            self.take(event, actions);
        }
    }

    fn heard_of_scripts(&mut self, actions: &mut Vec<Action>) {
        let Some(runner) = &self.runner else {
            return;
        };
        match runner.report(false) {
            Ok(Some(Report::Event(event))) => self.take(event, actions),
            Ok(Some(Report::Scanned) | None) => {}
            Err(()) => self.lose_runner(actions),
        }
    }

    fn lose_runner(&mut self, actions: &mut Vec<Action>) {
        if let Some(runner) = self.runner.take() {
            let _ = self.epoll.delete(&runner);
            self.take(Event::ScriptsLost, actions);
        }
    }

    fn client_is_ready(&mut self, slot: Slot, ready: EpollFlags, actions: &mut Vec<Action>) {
        let Some(connection) = self.connection(slot) else {
            return;
        };
        match connection.pending() {
            Pending::Nothing => {}
            // It takes no answers any more. What it has said still counts.
            _ if ready.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) => {
                return self.after_sending(slot, Sent::Failed);
            }
            Pending::Answer => {
                let sent = connection.go_on();
                return self.after_sending(slot, sent);
            }
            Pending::Dump { sent, details } => return self.dump(slot, sent, details),
        }
        match connection.read() {
            Read::Message(message, said) => self.take(
                Event::Asked {
                    slot,
                    message,
                    said,
                },
                actions,
            ),
            Read::Part => {}
            Read::End(0) => self.closed(slot, actions),
            Read::End(bytes) => {
                let number = slot.number();
                let line = format_args!(
                    "ci {number} recv size {bytes}: the connection ended within a message"
                );
                self.clerk.log(Level::Error, line);
                self.closed(slot, actions);
            }
            Read::Failed(errno) => {
                let number = slot.number();
                let line = format_args!("ci {number} recv error {errno}");
                self.clerk.log(Level::Error, line);
                self.closed(slot, actions);
            }
        }
    }

    fn closed(&mut self, slot: Slot, actions: &mut Vec<Action>) {
        self.forget(slot);
        self.take(Event::Closed(slot), actions);
    }

    fn forget(&mut self, slot: Slot) {
        let taken = self.connections.get_mut(slot.0).and_then(Option::take);
        if let Some(connection) = taken {
            let _ = self.epoll.delete(&connection);
        }
        self.listen_again();
    }
}

/// Becomes readable when a suspension ends, or the date is set. As the clock stands still meanwhile, a timer alone
/// would let the clients speak first.
pub(super) fn resumption() -> nix::Result<TimerFd> {
    const FAR: Duration = Duration::from_secs(1 << 40);
    let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
    let timer = TimerFd::new(ClockId::CLOCK_REALTIME, flags)?;
    let cancelled =
        TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
    timer.set(Expiration::OneShot(TimeSpec::from_duration(FAR)), cancelled)?;
    Ok(timer)
}
