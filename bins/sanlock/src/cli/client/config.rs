//! Ending the daemon, events, and settings of a lockspace.

use sanlock_proto::HostEvent;
use sanlock_proto::flags::{ConfigCommand, SetEventFlags};

use super::Run;
use crate::cli::number::signed;

impl Run<'_, '_> {
    pub(super) fn shutdown(&mut self) -> i32 {
        let force = signed(self.options.force_mode);
        self.console.say(format_args!(
            "shutdown force {force} wait {}",
            self.options.wait
        ));
        self.console.flush();
        let outcome = if self.options.wait == 0 {
            self.client.shutdown(force != 0).map(|()| 0)
        } else {
            self.client.shutdown_wait(force != 0)
        };
        self.done("shutdown", &outcome)
    }

    pub(super) fn set_event(&mut self) -> i32 {
        let event = HostEvent {
            host_id: self.options.host_id,
            generation: self.options.generation,
            event: self.options.event,
            data: self.options.event_data,
        };
        self.console.say(format_args!(
            "set_event {} {} event {:#x} data {:#x}",
            event.host_id, event.generation, event.event, event.data
        ));
        let name = self.options.lockspace.name;
        let outcome = self.client.set_event(name, event, SetEventFlags::NONE);
        self.done("set_event", &outcome)
    }

    pub(super) fn set_config(&mut self) -> i32 {
        let command = match (self.options.orphan, self.options.used) {
            (Some(true), _) => ConfigCommand::USED_BY_ORPHANS,
            (Some(false), _) => ConfigCommand::UNUSED_BY_ORPHANS,
            (None, Some(true)) => ConfigCommand::USED,
            (None, Some(false)) => ConfigCommand::UNUSED,
            (None, None) => ConfigCommand::NONE,
        };
        let name = self.options.lockspace.name;
        let line = super::super::text::Line::new("set_config ").raw(name.as_bytes());
        self.console
            .line(&line.show(format_args!(" {}", command.bits())));
        let outcome = self.client.set_config(name, command);
        self.done("set_config", &outcome)
    }
}
