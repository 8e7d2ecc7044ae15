//! What clients ask for.

use wdmd_proto::{Message, Name, Request, Status};

use super::event::{request_of, status_answer};
use super::{
    Action, DEFAULT_FIRE_TIMEOUT, DETAILS, Device, Entry, Opening, Slot, Suspended, Watchdog, log,
};

impl Watchdog {
    pub(super) fn asked(
        &mut self,
        slot: Slot,
        message: Message,
        said: Suspended,
        actions: &mut Vec<Action>,
    ) {
        let Some(client) = self.clients.get_mut(slot) else {
            return;
        };
        let request = match request_of(&message) {
            Ok(request) => request,
            Err(command) => {
                let pid = client.pid;
                return log(actions, Entry::UnknownCommand { slot, pid, command });
            }
        };
        match request {
            Request::Register(name) => {
                client.name = name;
                client.registered = true;
                let (fd, pid) = (client.descriptor, client.pid);
                log(
                    actions,
                    Entry::Registered {
                        slot,
                        fd,
                        pid,
                        name,
                    },
                );
            }
            Request::RefcountSet => {
                client.refcount = true;
                self.protect(slot, actions);
            }
            Request::RefcountClear => client.refcount = false,
            Request::TestLive { renewal, expire } => {
                client.renew(renewal, expire, said);
                log(
                    actions,
                    Entry::TestLive {
                        slot,
                        renewal,
                        expire,
                    },
                );
                if expire != 0 {
                    self.protect(slot, actions);
                }
            }
            Request::Status => {
                let answer = status_answer(&message, self.status_for(slot));
                actions.push(Action::Answer {
                    slot,
                    message: answer,
                });
            }
            Request::DumpDebug => {
                client.name = Name::from_bytes(b"dump").unwrap_or_default();
                let details = message.flags & DETAILS != 0;
                actions.push(Action::Dump { slot, details });
            }
            Request::OpenWatchdog { fire_timeout } => {
                self.open_for(slot, message, fire_timeout, actions);
            }
        }
    }

    /// What a status says. A client for which the device could not be opened learns it by a fire timeout that
    /// is not the one it counts on.
    fn status_for(&self, slot: Slot) -> Status {
        let unprotected = self
            .clients
            .get(slot)
            .is_some_and(|client| client.unprotected);
        Status {
            test_interval: self.interval(),
            fire_timeout: if unprotected { 0 } else { self.fire_timeout },
            last_keepalive: self.last_keepalive.seconds(),
        }
    }

    /// The first who asks decides on the fire timeout; the others are told which it is.
    fn open_for(
        &mut self,
        slot: Slot,
        message: Message,
        fire_timeout: u32,
        actions: &mut Vec<Action>,
    ) {
        if self.device != Device::Closed {
            self.answer_open(slot, &message, self.fire_timeout, actions);
        } else if fire_timeout == 0 || i32::try_from(fire_timeout).is_err() {
            self.answer_open(slot, &message, 0, actions);
        } else {
            self.open(Opening::Asked { slot, message }, fire_timeout, actions);
        }
    }

    pub(super) fn answer_open(
        &self,
        slot: Slot,
        message: &Message,
        result: u32,
        actions: &mut Vec<Action>,
    ) {
        log(
            actions,
            Entry::OpenAnswered {
                wanted: message.fire_timeout,
                result: self.fire_timeout,
            },
        );
        actions.push(Action::Answer {
            slot,
            message: message.with_fire_timeout(result),
        });
    }

    /// Clients of before 3.9 count on a device that is open from the start, with the default fire timeout.
    fn protect(&mut self, slot: Slot, actions: &mut Vec<Action>) {
        if self.device == Device::Closed {
            self.open(Opening::Unasked(slot), DEFAULT_FIRE_TIMEOUT, actions);
        }
    }

    /// A connection ended. If an expiry was set, it goes on counting: nobody can clear it any more.
    pub(super) fn closed(&mut self, slot: Slot, actions: &mut Vec<Action>) {
        let forgets = planted!(self, GoneClientForgotten);
        let Some(client) = self.clients.get_mut(slot) else {
            return;
        };
        if client.expire == 0 || forgets {
            self.clients.remove(slot);
            return log(actions, Entry::Gone(slot));
        }
        let fd = std::mem::replace(&mut client.descriptor, -1);
        client.dead = true;
        let (pid, name) = (client.pid, client.name);
        let (renewal, expire) = (client.renewal, client.expire);
        log(
            actions,
            Entry::Dead {
                slot,
                fd,
                pid,
                renewal,
                expire,
                name,
            },
        );
    }
}
