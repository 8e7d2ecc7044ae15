//! `direct format`, `lookup`, `update` and `rebuild`: a resource index without its internal lease.

use ondisk::Name;
use paxos::Area;
use paxos::rindex::{self, Index, IndexQuery, IndexUpdate};

use super::fault::Fault;
use super::host::context;
use super::init::{geometry_on, whole_pair};
use super::{INVALID, Run, syslog};
use crate::cli::text::{Line, leases::found_entry};

impl Run<'_, '_> {
    pub(super) fn format(&mut self) -> i32 {
        let outcome = self.format_index();
        self.done("format", outcome)
    }

    fn format_index(&self) -> Result<(), Fault> {
        let rindex = self.options.sized_rindex();
        let line = Line::new("format rindex ")
            .raw(rindex.lockspace.as_bytes())
            .show(":")
            .raw(rindex.disk.path.as_bytes())
            .show(format_args!(
                ":{} {:#x}",
                rindex.disk.offset,
                rindex.flags.bits()
            ));
        syslog::record(&line);
        let index = self.index()?;
        let geometry = geometry_on(&*index.area.disk, whole_pair(rindex.flags.sizes())?)?;
        let ctx = context(self.options);
        let made = rindex::format(&ctx, &index, geometry, 0, self.init_timeout());
        Ok(self.runtime.block_on(made)?)
    }

    pub(super) fn rebuild(&mut self) -> i32 {
        let outcome = self.index().and_then(|index| {
            let ctx = context(self.options);
            self.runtime
                .block_on(rindex::rebuild(&ctx, &index, None))
                .result?;
            Ok(())
        });
        self.done("rebuild", outcome)
    }

    pub(super) fn lookup(&mut self) -> i32 {
        let entry = self.options.rentry;
        let name = Name::from_raw(*entry.name.raw());
        let query = match (name.is_empty(), entry.offset) {
            (true, 0) => IndexQuery::FreePlace,
            (true, offset) => IndexQuery::Offset(offset),
            (false, 0) => IndexQuery::Name(name),
            (false, offset) => IndexQuery::Both(name, offset),
        };
        let found = self.index().and_then(|index| {
            let ctx = context(self.options);
            Ok(self.runtime.block_on(rindex::lookup(&ctx, &index, query))?)
        });
        match found {
            Err(fault) => self.done("lookup", Err(fault)),
            Ok(found) => {
                let number = self.done("lookup", Ok(()));
                self.console
                    .line(&found_entry(found.name.as_bytes(), found.offset));
                number
            }
        }
    }

    pub(super) fn update(&mut self) -> i32 {
        let outcome = self.update_index();
        self.done("update", outcome)
    }

    fn update_index(&self) -> Result<(), Fault> {
        let entry = self.options.rentry;
        let name = Name::from_raw(*entry.name.raw());
        let index = self.index()?;
        let update = if entry.offset != 0 && self.options.clear {
            IndexUpdate::Remove(entry.offset)
        } else if entry.offset != 0 && !name.is_empty() {
            IndexUpdate::Add(name, entry.offset)
        } else {
            let message = "-e NAME:OFFSET is needed; with -z 1 the offset alone is enough";
            return Err(Fault::new(INVALID, message));
        };
        let ctx = context(self.options);
        self.runtime
            .block_on(rindex::update(&ctx, &index, update))?;
        Ok(())
    }

    fn index(&self) -> Result<Index, Fault> {
        let rindex = &self.options.rindex;
        let Ok(path) = rindex.disk.path.checked() else {
            return Err(Fault::new(
                NO_SUCH_FILE,
                "-x LOCKSPACE:PATH:OFFSET needs a path",
            ));
        };
        let area = Area::new(self.open(path)?, rindex.disk.offset);
        Ok(Index::new(area, Name::from_raw(*rindex.lockspace.raw())))
    }
}

/// -2, ENOENT.
const NO_SUCH_FILE: i32 = -2;
