//! Leases of registered processes.

use sanlock_proto::ClientError;
use sanlock_proto::Resource;
use sanlock_proto::flags::{
    AcquireFlags, ConvertFlags, ForceMode, ReleaseFlags, RequestFlags, ResourceFlags,
};
use sanlock_proto::request::Release;
use sanlock_proto::{ResourceHead, text as lease_text};

use super::{Outcome, Run};
use crate::cli::number::unsigned;
use crate::cli::text::Line;

/// Whose leases an action is about.
#[derive(Clone, Copy)]
enum Whose {
    /// A process id.
    Process(i32),
    /// The daemon's number for a connection.
    Client(i32),
    /// Neither was given.
    Nobody,
}

impl Whose {
    /// The number as it is sent; -1 is what the original sends for nobody.
    fn number(self) -> i32 {
        match self {
            Whose::Process(number) | Whose::Client(number) => number,
            Whose::Nobody => -1,
        }
    }

    fn is_client(self) -> bool {
        matches!(self, Whose::Client(_))
    }
}

impl Run<'_, '_> {
    /// Prints whose leases the action is about, unless nobody's were named.
    fn announce(&mut self) -> Whose {
        let what = self.action.name();
        let Run {
            options, console, ..
        } = self;
        if options.pid >= 0 {
            console.say(format_args!("{what} pid {}", options.pid));
            Whose::Process(options.pid)
        } else if options.client_id >= 0 {
            console.say(format_args!("{what} client_id {}", options.client_id));
            Whose::Client(options.client_id)
        } else {
            Whose::Nobody
        }
    }

    pub(super) fn acquire(&mut self) -> i32 {
        let whose = self.announce();
        let mut flags = self.acquire_flags();
        if whose.is_client() {
            flags |= AcquireFlags::FOR_CLIENT_ID;
        }
        self.console.flush();
        let wanted = self.wanted_resources();
        let outcome = self.client.acquire(whose.number(), flags, &wanted, None);
        self.leases_done("acquire", &outcome, &wanted)
    }

    pub(super) fn acquire_flags(&self) -> AcquireFlags {
        match self.options.orphan {
            Some(true) => AcquireFlags::ORPHAN,
            _ => AcquireFlags::NONE,
        }
    }

    /// The resources of `-r` with what `-n` and `-P` say about all of them.
    pub(super) fn wanted_resources(&self) -> Vec<Resource> {
        let mut wanted = self.options.resources.clone();
        for resource in &mut wanted {
            if self.options.num_hosts != 0 {
                resource.flags |= ResourceFlags::NUM_HOSTS;
                resource.data32 = unsigned(self.options.num_hosts);
            }
            if self.options.persistent {
                resource.flags |= ResourceFlags::PERSISTENT;
            }
        }
        wanted
    }

    pub(super) fn convert(&mut self) -> i32 {
        let whose = self.announce();
        let flags = if whose.is_client() {
            ConvertFlags::FOR_CLIENT_ID
        } else {
            ConvertFlags::NONE
        };
        self.console.flush();
        let Some(resource) = self.options.resources.first() else {
            let outcome = Err(self.missing("-r RESOURCE is needed"));
            return self.done("convert", &outcome);
        };
        let outcome = self.client.convert(whose.number(), flags, &resource.head());
        self.leases_done("convert", &outcome, std::slice::from_ref(resource))
    }

    pub(super) fn release(&mut self) -> i32 {
        let whose = self.announce();
        let orphan = self.options.orphan == Some(true);
        let mut flags = ReleaseFlags::NONE;
        for (is_set, flag) in [
            (whose.is_client(), ReleaseFlags::FOR_CLIENT_ID),
            (orphan, ReleaseFlags::ORPHAN),
            (self.options.all, ReleaseFlags::ALL),
        ] {
            if is_set {
                flags |= flag;
            }
        }
        let what = match (self.options.all, orphan) {
            (true, _) => Ok(Release::All),
            (false, true) => self.orphans().map(Release::Orphan),
            (false, false) => Ok(Release::Resources(
                self.options.resources.iter().map(Resource::head).collect(),
            )),
        };
        let outcome = what.and_then(|what| self.client.release(whose.number(), flags, what));
        self.done("release", &outcome)
    }

    /// The orphan of `-r`, or without it all orphans of the lockspace of `-s`.
    fn orphans(&self) -> Result<ResourceHead, ClientError> {
        if let Some(resource) = self.options.resources.first() {
            return Ok(resource.head());
        }
        let lockspace = self.options.lockspace.name;
        if lockspace.is_empty() {
            return Err(self.missing("-r RESOURCE, or -s LOCKSPACE for all its orphans, is needed"));
        }
        Ok(ResourceHead {
            lockspace,
            ..ResourceHead::default()
        })
    }

    pub(super) fn request(&mut self) -> i32 {
        self.console.say("request");
        let outcome: Outcome = match self.options.resources.first() {
            None => Err(self.missing("-r RESOURCE is needed")),
            Some(resource) => {
                let force_mode = ForceMode(self.options.force_mode);
                self.client
                    .request(RequestFlags::NONE, force_mode, resource)
            }
        };
        self.done("request", &outcome)
    }

    pub(super) fn inquire(&mut self) -> i32 {
        if self.options.json {
            return self.inquire_json();
        }
        let whose = self.announce();
        let inquiry = match whose {
            Whose::Client(number) => self.client.inquire_client_id(number),
            Whose::Process(_) | Whose::Nobody => self.client.inquire(whose.number()),
        };
        let inquiry = match inquiry {
            Ok(inquiry) => inquiry,
            Err(error) => {
                let count = match error {
                    ClientError::InquiryCut { count, .. } => count,
                    _ => 0,
                };
                let code = error.code();
                self.console
                    .say(format_args!("inquire done {code} res_count {count}"));
                let outcome = Err(error);
                self.explain(&outcome);
                return super::number(&outcome);
            }
        };
        self.console
            .say(format_args!("inquire done 0 res_count {}", inquiry.count));
        let Some(state) = inquiry.state else {
            // What the C library's printf makes of a string that is not there.
            self.console.say("\"(null)\"");
            return 0;
        };
        self.console.line(&quoted(&state));
        if self.options.debug {
            self.show_state(&state, inquiry.count)
        } else {
            0
        }
    }

    /// Each resource of the string on a line of its own, and the string made from them again.
    fn show_state(&mut self, state: &[u8], count: u32) -> i32 {
        let resources = match lease_text::state_to_resources(state) {
            Ok(resources) => resources,
            Err(error) => {
                let code = error.code();
                self.console.say(format_args!(
                    "\nstate_to_args done {code} res_count {count}"
                ));
                return code;
            }
        };
        let count = resources.len();
        self.console
            .say(format_args!("\nstate_to_args done 0 res_count {count}"));
        for resource in &resources {
            self.console.line(&first_disk_line(resource));
        }
        let again = lease_text::resources_to_state(&resources);
        let code = again.as_ref().err().map_or(0, |error| error.code());
        self.console
            .say(format_args!("\nargs_to_state done {code}"));
        if let Ok(state) = again {
            self.console.line(&quoted(&state));
        }
        code
    }

    /// As [`Run::done`], and when others hold the leases, who.
    pub(super) fn leases_done(
        &mut self,
        what: &str,
        outcome: &Outcome,
        wanted: &[Resource],
    ) -> i32 {
        let number = self.done(what, outcome);
        if outcome.is_err() {
            self.say_who_holds(number, wanted);
        }
        number
    }
}

fn quoted(text: &[u8]) -> Line {
    Line::new("\"").raw(text).show("\"")
}

fn first_disk_line(resource: &Resource) -> Line {
    let disk = resource.disks.first().cloned().unwrap_or_default();
    Line::new("\"")
        .raw(resource.lockspace.as_bytes())
        .show(":")
        .raw(resource.name.as_bytes())
        .show(":")
        .raw(disk.path.as_bytes())
        .show(format_args!(":{}:{}\"", disk.offset, resource.lver))
}
