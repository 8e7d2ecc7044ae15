//! Resource indexes, through the daemon.

use sanlock_proto::flags::RindexOpFlags;
use sanlock_proto::{ClientError, RindexEntry};

use super::Run;
use crate::cli::text::leases::found_entry;

impl Run<'_, '_> {
    pub(super) fn format(&mut self) -> i32 {
        let outcome = self
            .client
            .format_rindex(&self.options.sized_rindex(), RindexOpFlags::NONE);
        self.done("format", &outcome)
    }

    pub(super) fn rebuild(&mut self) -> i32 {
        let outcome = self
            .client
            .rebuild_rindex(&self.options.rindex, RindexOpFlags::NONE);
        self.done("rebuild", &outcome)
    }

    pub(super) fn create(&mut self) -> i32 {
        let (rindex, entry) = (&self.options.rindex, self.options.rentry);
        let outcome = self
            .client
            .create_resource(rindex, RindexOpFlags::NONE, entry, 0, 0);
        let (number, entry) = self.entry_done("create_resource", outcome);
        if let Some(entry) = entry {
            self.console.say(format_args!("offset {}", entry.offset));
        }
        number
    }

    pub(super) fn delete(&mut self) -> i32 {
        let (rindex, entry) = (&self.options.rindex, self.options.rentry);
        let outcome = self
            .client
            .delete_resource(rindex, RindexOpFlags::NONE, entry);
        self.entry_done("delete_resource", outcome).0
    }

    pub(super) fn lookup(&mut self) -> i32 {
        let (rindex, entry) = (&self.options.rindex, self.options.rentry);
        let outcome = self
            .client
            .lookup_rindex(rindex, RindexOpFlags::NONE, entry);
        let (number, entry) = self.entry_done("lookup", outcome);
        if let Some(entry) = entry {
            self.console
                .line(&found_entry(entry.name.as_bytes(), entry.offset));
        }
        number
    }

    pub(super) fn update(&mut self) -> i32 {
        let flags = if self.options.clear {
            RindexOpFlags::REM
        } else {
            RindexOpFlags::ADD
        };
        let (rindex, entry) = (&self.options.rindex, self.options.rentry);
        let outcome = self.client.update_rindex(rindex, flags, entry);
        self.entry_done("update", outcome).0
    }

    fn entry_done(
        &mut self,
        what: &str,
        outcome: Result<RindexEntry, ClientError>,
    ) -> (i32, Option<RindexEntry>) {
        match outcome {
            Ok(entry) => (self.done(what, &Ok(0)), Some(entry)),
            Err(error) => (self.done(what, &Err(error)), None),
        }
    }
}
