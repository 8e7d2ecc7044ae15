//! `client status`.

use sanlock_proto::flags::ResourceFlags;
use sanlock_proto::state::Attached;
use sanlock_proto::{Lockspace, Resource, StateKind, StateRecord, text};

use super::Line;
use crate::cli::number::signed;

/// Kind of the record that a 3.9 daemon sends for each of its worker threads.
pub const WORKER: StateKind = StateKind::Other(7);

/// `data32` of a connection that belongs to no process.
const NO_PROCESS: u32 = u32::MAX;

/// In which order `-o` shows records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As the daemon sent them.
    Sent,
    /// Resources under the process that holds them.
    ByProcess,
    /// Resources under their lockspace.
    ByLockspace,
}

impl Order {
    /// The order that the value of `-o` stands for.
    #[must_use]
    pub fn from_letter(letter: u8) -> Order {
        match letter {
            b'p' => Order::ByProcess,
            b's' => Order::ByLockspace,
            _ => Order::Sent,
        }
    }
}

/// The lines of status.
#[must_use]
pub fn status(records: &[StateRecord], order: Order, debug: bool) -> Vec<Line> {
    let mut page = Page {
        left: records.iter().map(Some).collect(),
        lines: Vec::new(),
        debug,
    };
    if order == Order::Sent {
        page.take(|_| true);
        return page.lines;
    }
    let is = |kind| move |record: &StateRecord| record.kind() == kind;
    page.take(is(StateKind::Daemon));
    page.take(|r| r.kind() == StateKind::Client && r.data32 == NO_PROCESS);
    if order == Order::ByProcess {
        page.take(is(StateKind::Lockspace));
        while let Some(client) = page.take_first(is(StateKind::Client)) {
            let pid = client.data32;
            page.take(|r| r.kind() == StateKind::Resource && pid != 0 && r.data32 == pid);
        }
    } else {
        page.take(is(StateKind::Client));
        while let Some(lockspace) = page.take_first(is(StateKind::Lockspace)) {
            page.take(|r| match &r.attached {
                Attached::Resource(resource) => resource.lockspace == lockspace.name,
                _ => false,
            });
        }
    }
    if page.left.iter().any(Option::is_some) {
        page.lines.push(Line::new("-"));
        page.take(|_| true);
    }
    page.lines
}

/// Records that are still to be shown, and what has been.
struct Page<'a> {
    left: Vec<Option<&'a StateRecord>>,
    lines: Vec<Line>,
    debug: bool,
}

impl<'a> Page<'a> {
    fn take(&mut self, wanted: impl Fn(&StateRecord) -> bool) {
        for slot in &mut self.left {
            if let Some(record) = slot.take_if(|record| wanted(record)) {
                show(record, self.debug, &mut self.lines);
            }
        }
    }

    fn take_first(&mut self, wanted: impl Fn(&StateRecord) -> bool) -> Option<&'a StateRecord> {
        let record = self
            .left
            .iter_mut()
            .find_map(|slot| slot.take_if(|record| wanted(record)))?;
        show(record, self.debug, &mut self.lines);
        Some(record)
    }
}

fn show(record: &StateRecord, debug: bool, lines: &mut Vec<Line>) {
    lines.push(match &record.attached {
        Attached::Lockspace(lockspace) => lockspace_line(record, lockspace),
        Attached::Resource(resource) => resource_line(record, resource),
        Attached::Nothing(StateKind::Daemon) => Line::new("daemon ").raw(record.name.as_bytes()),
        Attached::Nothing(StateKind::Client) => {
            let pid = signed(record.data32);
            Line::new(format_args!("p {pid} ")).raw(record.name.as_bytes())
        }
        Attached::Nothing(WORKER) if debug => Line::new(format_args!("worker {}", record.data32)),
        Attached::Nothing(_) => return,
    });
    if debug {
        details(record, lines);
    }
}

fn lockspace_line(record: &StateRecord, lockspace: &Lockspace) -> Line {
    Line::new("s ")
        .raw(lockspace.name.as_bytes())
        .show(format_args!(":{}:", lockspace.host_id))
        .raw(&text::export_path(lockspace.disk.path.as_bytes()))
        .show(format_args!(":{}", lockspace.disk.offset))
        .show(change(record))
}

fn resource_line(record: &StateRecord, resource: &Resource) -> Line {
    let mut line = Line::new("r ")
        .raw(resource.lockspace.as_bytes())
        .show(":")
        .raw(resource.name.as_bytes());
    for disk in &resource.disks {
        line = line
            .show(":")
            .raw(&text::export_path(disk.path.as_bytes()))
            .show(format_args!(":{}", disk.offset));
    }
    line = if resource.flags.contains(ResourceFlags::SHARED) {
        line.show(":SH")
    } else {
        line.show(format_args!(":{}", record.data64))
    };
    line.show(format_args!(" p {}{}", record.data32, change(record)))
}

/// What is happening to a lockspace or resource, as a word behind a blank.
fn change(record: &StateRecord) -> &'static str {
    let has = |pair: &[u8]| record.text.windows(pair.len()).any(|window| window == pair);
    if has(b"list=add") {
        " ADD"
    } else if has(b"list=rem") {
        " REM"
    } else if has(b"list=orphan") {
        " ORPHAN"
    } else {
        ""
    }
}

/// The record's pairs, each on a line of its own.
pub(super) fn details(record: &StateRecord, lines: &mut Vec<Line>) {
    if !record.text.is_empty() {
        lines.extend(
            record
                .text
                .split(|b| *b == b' ')
                .map(|pair| Line::new("    ").raw(pair)),
        );
    }
}

#[cfg(test)]
mod tests {
    use sanlock_proto::{Disk, name::DiskPath};

    use super::*;
    use crate::cli::text::joined;

    fn plain(kind: StateKind, data32: u32, name: &str, text: &str) -> StateRecord {
        let mut record = StateRecord::new(Attached::Nothing(kind));
        record.data32 = data32;
        record.name = name.parse().unwrap();
        record.text = text.as_bytes().to_vec();
        record
    }

    fn disk(path: &str, offset: u64) -> Disk {
        Disk {
            path: DiskPath::from_bytes(path.as_bytes()).unwrap(),
            offset,
        }
    }

    fn lockspace(name: &str, text: &str) -> StateRecord {
        let lockspace = Lockspace {
            name: name.parse().unwrap(),
            host_id: 7,
            disk: disk("/a b:c", 0),
            ..Lockspace::default()
        };
        let mut record = StateRecord::new(Attached::Lockspace(lockspace));
        record.name = name.parse().unwrap();
        record.text = text.as_bytes().to_vec();
        record
    }

    fn resource(lockspace: &str, name: &str, pid: u32, shared: bool, text: &str) -> StateRecord {
        let flags = if shared {
            ResourceFlags::SHARED
        } else {
            ResourceFlags::NONE
        };
        let resource = Resource {
            lockspace: lockspace.parse().unwrap(),
            name: name.parse().unwrap(),
            flags,
            disks: vec![disk("/d", 1048576)],
            ..Resource::default()
        };
        let mut record = StateRecord::new(Attached::Resource(resource));
        record.data32 = pid;
        record.data64 = 5;
        record.text = text.as_bytes().to_vec();
        record
    }

    fn all() -> Vec<StateRecord> {
        vec![
            plain(StateKind::Daemon, 0, "host", "a=1 b=2"),
            plain(WORKER, 0, "", "busy=0"),
            plain(StateKind::Client, NO_PROCESS, "status", "ci=2"),
            plain(StateKind::Client, 20, "two", "ci=4"),
            plain(StateKind::Client, 10, "one", "ci=3"),
            lockspace("L1", "list=spaces"),
            lockspace("L2", "list=add"),
            resource("L1", "r1", 10, false, "list=held"),
            resource("L2", "r2", 20, true, "list=held"),
            resource("L1", "r3", 99, false, "list=orphan flags=8"),
        ]
    }

    #[test]
    fn unsorted_records_stand_as_sent_and_workers_do_not_show() {
        assert_eq!(
            joined(&status(&all(), Order::Sent, false)),
            "daemon host\np -1 status\np 20 two\np 10 one\n\
             s L1:7:/a\\ b\\:c:0\ns L2:7:/a\\ b\\:c:0 ADD\n\
             r L1:r1:/d:1048576:5 p 10\nr L2:r2:/d:1048576:SH p 20\n\
             r L1:r3:/d:1048576:5 p 99 ORPHAN\n"
        );
    }

    #[test]
    fn sorted_by_process_what_belongs_to_none_comes_last() {
        assert_eq!(
            joined(&status(&all(), Order::ByProcess, false)),
            "daemon host\np -1 status\n\
             s L1:7:/a\\ b\\:c:0\ns L2:7:/a\\ b\\:c:0 ADD\n\
             p 20 two\nr L2:r2:/d:1048576:SH p 20\np 10 one\nr L1:r1:/d:1048576:5 p 10\n\
             -\nr L1:r3:/d:1048576:5 p 99 ORPHAN\n"
        );
    }

    #[test]
    fn sorted_by_lockspace_workers_come_last() {
        assert_eq!(
            joined(&status(&all(), Order::ByLockspace, false)),
            "daemon host\np -1 status\np 20 two\np 10 one\n\
             s L1:7:/a\\ b\\:c:0\nr L1:r1:/d:1048576:5 p 10\nr L1:r3:/d:1048576:5 p 99 ORPHAN\n\
             s L2:7:/a\\ b\\:c:0 ADD\nr L2:r2:/d:1048576:SH p 20\n-\n"
        );
    }

    #[test]
    fn details_are_indented_pairs() {
        let records = [
            plain(StateKind::Daemon, 0, "h", "a=1 b=2"),
            plain(WORKER, 3, "", "busy=0"),
        ];
        assert_eq!(
            joined(&status(&records, Order::Sent, true)),
            "daemon h\n    a=1\n    b=2\nworker 3\n    busy=0\n"
        );
    }
}
