//! Joining and leaving lockspaces, formatting, and what else is about storage through the daemon.

use sanlock_proto::flags::{AddFlags, InqFlags, RemFlags, WriteFlags};

use super::{Run, differs_from_default};
use crate::cli::number::unsigned;

impl Run<'_, '_> {
    pub(super) fn add_lockspace(&mut self) -> i32 {
        let lockspace = &self.options.lockspace;
        let seconds = self.options.io_timeout;
        let own = differs_from_default(seconds);
        let (what, seconds) = if own {
            ("add_lockspace_timeout", seconds)
        } else {
            ("add_lockspace", 0)
        };
        self.console.say(if own {
            format!("{what} {seconds}")
        } else {
            what.to_owned()
        });
        self.console.flush();
        let outcome = self
            .client
            .add_lockspace(lockspace, AddFlags::NONE, seconds);
        self.done(what, &outcome)
    }

    pub(super) fn inq_lockspace(&mut self) -> i32 {
        self.console.say("inq_lockspace");
        let outcome = self
            .client
            .inq_lockspace(&self.options.lockspace, InqFlags::NONE);
        self.done("inq_lockspace", &outcome)
    }

    pub(super) fn rem_lockspace(&mut self) -> i32 {
        self.console.say("rem_lockspace");
        self.console.flush();
        let outcome = self
            .client
            .rem_lockspace(&self.options.lockspace, RemFlags::NONE);
        self.done("rem_lockspace", &outcome)
    }

    pub(super) fn align(&mut self) -> i32 {
        self.console.say("align");
        let outcome = self.client.align(&self.options.lockspace.disk);
        self.done("align", &outcome)
    }

    pub(super) fn init(&mut self) -> i32 {
        self.console.say("init");
        let outcome = if self.options.is_about_lockspace() {
            self.client.write_lockspace(
                &self.options.sized_lockspace(),
                unsigned(self.options.max_hosts),
                WriteFlags::NONE,
                self.options.io_timeout,
            )
        } else {
            let flags = if self.options.clear {
                WriteFlags::CLEAR
            } else {
                WriteFlags::NONE
            };
            match self.options.sized_resource() {
                None => Err(self.missing("-s LOCKSPACE with a path, or -r RESOURCE, is needed")),
                Some(resource) => self.client.write_resource(
                    &resource,
                    unsigned(self.options.max_hosts),
                    unsigned(self.options.num_hosts),
                    flags,
                ),
            }
        };
        self.done("init", &outcome)
    }

    pub(super) fn examine(&mut self) -> i32 {
        self.console.say("examine");
        let outcome = if self.options.is_about_lockspace() {
            self.client.examine_lockspace(&self.options.lockspace)
        } else {
            match self.options.resources.first() {
                None => Err(self.missing("-s LOCKSPACE with a path, or -r RESOURCE, is needed")),
                Some(resource) => self.client.examine_resource(&resource.head()),
            }
        };
        self.done("examine", &outcome)
    }
}
