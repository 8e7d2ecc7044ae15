//! The tests: is every source well?

use super::{
    Action, Awaited, Client, Device, Entry, Event, Millis, Now, Opening, Round, Script, ScriptEnd,
    Slot, Source, Trouble, Watchdog, log,
};

/// Clients that are named at each test; of the others there is the number.
const NAMED: usize = 16;

/// Seconds before the device fires at which the last words are said again.
const FINAL: u32 = 5;

impl Watchdog {
    /// Tests when it is time.
    pub(super) fn test(&mut self, now: Now, actions: &mut Vec<Action>) {
        // A client's time is up soon: no waiting for the next test, nor for scripts.
        let urgent = self.device == Device::Kept && self.failing_clients(now).next().is_some();
        let interval = self.interval();
        let due = self
            .last_test
            .is_none_or(|at| now.at >= at.plus_seconds(interval));
        if self.round.is_none() && (due || urgent) {
            self.begin(now, actions);
        }
        let Some(round) = self.round else {
            return;
        };
        self.kill_scripts(now, actions);
        if urgent || !self.scripts.running() || now.at >= round.until {
            self.round = None;
            if now.at >= round.until {
                self.complain_of_scripts(now, actions);
            }
            self.conclude(now, actions);
        }
    }

    fn begin(&mut self, now: Now, actions: &mut Vec<Action>) {
        log(actions, Entry::Test(now.at));
        self.last_test = Some(now.at);
        let interval = self.standard_interval();
        self.round = Some(Round {
            until: now.at.plus_seconds(interval.saturating_sub(1)),
        });
        for index in 0..super::MAX_SCRIPTS {
            if let Some(script) = self.scripts.get_mut(index) {
                if script.is_due(now.at, interval) {
                    script.running = true;
                    script.start = now.at;
                    script.runs = script.runs.saturating_add(1);
                    actions.push(Action::RunScript(index));
                }
            }
        }
    }

    fn conclude(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.complain_of_clients(now, actions);
        let client = self.failing_clients(now).next().map(Source::Client);
        let Some(source) = client.or_else(|| self.failing_scripts(now).next()) else {
            return self.pass(actions);
        };
        self.stopped_by = Some((source, now.at));
        self.refuse(now, source, actions);
    }

    /// All is well.
    fn pass(&mut self, actions: &mut Vec<Action>) {
        if self.device == Device::Left {
            self.open(Opening::Again, self.fire_timeout, actions);
        } else {
            self.awaited = Some(Awaited::KeepAlive);
            actions.push(Action::KeepAlive);
        }
    }

    /// Something is not: the device is to fire a fire timeout after the first client's time is up, or before.
    fn refuse(&mut self, now: Now, source: Source, actions: &mut Vec<Action>) {
        let slot = match source {
            Source::Client(slot) => Some(slot),
            Source::Script(_) | Source::Scripts => None,
        };
        if self.device == Device::Kept {
            if self.may_be_closed(now) || planted!(self, ClosedLate) {
                actions.push(Action::LeaveArmed);
                self.device = Device::Left;
                self.last_closed_unclean = now.at;
                log(actions, Entry::ClosedUnclean);
            } else {
                self.device = Device::Withheld;
                log(actions, Entry::Withheld);
            }
            let remaining = self.remaining(now);
            actions.push(Action::LastWords { remaining, slot });
        } else if !self.final_words_said && self.remaining(now) <= i64::from(FINAL) {
            self.final_words_said = true;
            let remaining = self.remaining(now);
            actions.push(Action::LastWords { remaining, slot });
        }
    }

    /// Whether closing the device without disarming it, which keeps it alive once more, has it still fire in time.
    pub(crate) fn may_be_closed(&self, now: Now) -> bool {
        let first = self.clients.first_expiry(now);
        first.is_none_or(|expires| now.at <= expires)
    }

    fn remaining(&self, now: Now) -> i64 {
        let fires = self.fires().unwrap_or(now.at);
        let whole = |at: Millis| i64::try_from(at.seconds()).unwrap_or(i64::MAX);
        whole(fires).saturating_sub(whole(now.at))
    }

    /// Clients whose time is up within a test interval: by the time of the next test it would be too late.
    fn failing_clients(&self, now: Now) -> impl Iterator<Item = Slot> {
        let margin = self.standard_interval();
        self.clients
            .iter()
            .filter(move |(_, client)| has_failed(client, now, margin))
            .map(|(slot, _)| slot)
    }

    /// Scripts that failed, or have not ended in time.
    pub(super) fn failing_scripts(&self, now: Now) -> impl Iterator<Item = Source> {
        let lost = self.scripts.lost && self.config.scripts;
        let patience = self.standard_interval().saturating_sub(1);
        let overdue =
            move |script: &Script| script.running && now.at >= script.start.plus_seconds(patience);
        let failing = self
            .scripts
            .iter()
            .filter(move |(_, script)| script.last_result != 0 || overdue(script))
            .map(|(index, _)| Source::Script(index));
        lost.then_some(Source::Scripts).into_iter().chain(failing)
    }

    fn complain_of_clients(&self, now: Now, actions: &mut Vec<Action>) {
        let mut more = 0_usize;
        for (count, slot) in self.failing_clients(now).enumerate() {
            let Some(client) = self.clients.get(slot).filter(|_| count < NAMED) else {
                more = more.saturating_add(1);
                continue;
            };
            let trouble = Trouble {
                now: now.at,
                remaining: self.remaining(now),
                ping: self.last_keepalive,
                close: self.last_closed_unclean,
                renewal: client.renewal,
                expire: client.expire,
                pid: client.pid,
                name: client.name,
            };
            let expired = client.expires(now).is_some_and(|at| now.at >= at);
            log(
                actions,
                if expired {
                    Entry::ClientFailed(trouble)
                } else {
                    Entry::ClientWarning(trouble)
                },
            );
        }
        if more > 0 {
            log(actions, Entry::MoreClients(more));
        }
    }

    fn complain_of_scripts(&mut self, now: Now, actions: &mut Vec<Action>) {
        for index in 0..super::MAX_SCRIPTS {
            let Some(script) = self.scripts.get_mut(index).filter(|script| script.running) else {
                continue;
            };
            script.overdue = script.overdue.saturating_add(1);
            let (name, pid) = (script.name.clone(), script.pid);
            let (start, now) = (script.start, now.at);
            let record = Box::new(script.clone());
            log(
                actions,
                Entry::ScriptOverdue {
                    name,
                    pid,
                    start,
                    now,
                },
            );
            log(actions, Entry::ScriptRecord(record));
        }
    }

    fn kill_scripts(&mut self, now: Now, actions: &mut Vec<Action>) {
        let limit = self.config.kill_after;
        for index in 0..super::MAX_SCRIPTS {
            let Some(script) = self.scripts.get_mut(index) else {
                continue;
            };
            let over = limit > 0 && now.at >= script.start.plus_seconds(limit);
            if script.running && !script.killing && over {
                script.killing = true;
                actions.push(Action::KillScript(index));
            }
        }
    }

    /// When a test that waits for scripts goes on by itself.
    pub(super) fn script_wakes(&self, round: Round) -> Millis {
        let limit = self.config.kill_after;
        self.scripts
            .iter()
            .filter(|(_, script)| limit > 0 && script.running && !script.killing)
            .map(|(_, script)| script.start.plus_seconds(limit))
            .fold(round.until, Millis::min)
    }

    pub(super) fn of_scripts(&mut self, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::ScriptFound(name) => match self.scripts.add(&name) {
                Some(index) => log(actions, Entry::ScriptAdded { index, name }),
                None if self.scripts.is_known(&name) => {}
                None => log(actions, Entry::ScriptNoSpace(name)),
            },
            Event::ScriptStarted { index, pid } => {
                if let Some(script) = self.scripts.get_mut(index) {
                    script.pid = pid;
                    let name = script.name.clone();
                    log(actions, Entry::ScriptStarted { name, pid });
                }
            }
            Event::ScriptRefused { index, result } => {
                if let Some(script) = self.scripts.remove(index) {
                    let name = script.name;
                    log(actions, Entry::ScriptRemoved { name, result });
                }
            }
            Event::ScriptEnded { index, end } => self.script_ended(index, end, actions),
            Event::ScriptsLost => {
                self.scripts.lost = true;
                log(actions, Entry::ScriptsLost);
            }
            _ => {}
        }
    }

    fn script_ended(&mut self, index: usize, end: ScriptEnd, actions: &mut Vec<Action>) {
        let Some(script) = self.scripts.get_mut(index) else {
            return;
        };
        let pid = script.pid;
        if !script.ended(end) {
            let name = script.name.clone();
            let record = Box::new(script.clone());
            log(actions, Entry::ScriptEnded { name, pid, end });
            log(actions, Entry::ScriptRecord(record));
        }
    }
}

/// Whether a client's time is up within so many seconds.
fn has_failed(client: &Client, now: Now, margin: u32) -> bool {
    client
        .expires(now)
        .is_some_and(|expires| now.at >= expires.minus_seconds(margin))
}
