//! Hosts of a lockspace, for `host_status`, `gets` and `read`, and past renewals.

use sanlock_proto::flags::HostState;
use sanlock_proto::{HostEntry, StateKind, StateRecord};

use super::Line;
use super::status::details;

/// `host_status` of one lockspace.
#[must_use]
pub fn host_status(records: &[StateRecord], debug: bool) -> Vec<Line> {
    let mut lines = Vec::new();
    for record in records
        .iter()
        .filter(|record| record.kind() == StateKind::Host)
    {
        lines.push(Line::new(format_args!(
            "{} timestamp {}",
            record.data32, record.data64
        )));
        if debug {
            details(record, &mut lines);
        }
    }
    lines
}

/// A host in `gets -h 1`.
#[must_use]
pub fn listed_host(host: &HostEntry) -> Line {
    let state = host.state().map_or("ERROR", HostState::name);
    Line::new(format_args!(
        "h {} gen {} timestamp {} {state}",
        host.host_id, host.generation, host.timestamp
    ))
}

/// An owner in `read -h 1`.
#[must_use]
pub fn owner(host: &HostEntry) -> Line {
    let line = Line::new(format_args!("h {} gen {}", host.host_id, host.generation));
    match host.timestamp {
        0 => line,
        timestamp => line.show(format_args!(" timestamp {timestamp}")),
    }
}

/// `renewal`: the daemon's text of each record.
#[must_use]
pub fn renewals(records: &[StateRecord]) -> Vec<Line> {
    records
        .iter()
        .map(|record| Line::default().raw(&record.text))
        .collect()
}

#[cfg(test)]
mod tests {
    use sanlock_proto::state::Attached;

    use super::*;
    use crate::cli::text::joined;

    #[test]
    fn hosts_show_their_details_on_request() {
        let mut record = StateRecord::new(Attached::Nothing(StateKind::Host));
        record.data32 = 2;
        record.data64 = 77;
        record.text = b"last_check=5 last_live=6".to_vec();
        let other = StateRecord::new(Attached::Nothing(StateKind::Daemon));
        let records = [record, other];
        assert_eq!(joined(&host_status(&records, false)), "2 timestamp 77\n");
        assert_eq!(
            joined(&host_status(&records, true)),
            "2 timestamp 77\n    last_check=5\n    last_live=6\n"
        );
    }

    #[test]
    fn a_state_without_name_is_an_error() {
        let host = HostEntry {
            host_id: 3,
            generation: 4,
            timestamp: 5,
            io_timeout: 10,
            flags: 5,
        };
        assert_eq!(listed_host(&host).as_bytes(), b"h 3 gen 4 timestamp 5 DEAD");
        let odd = HostEntry { flags: 9, ..host };
        assert_eq!(listed_host(&odd).as_bytes(), b"h 3 gen 4 timestamp 5 ERROR");
    }

    #[test]
    fn an_owner_that_shares_has_no_timestamp() {
        let host = HostEntry {
            host_id: 3,
            generation: 4,
            ..HostEntry::default()
        };
        assert_eq!(owner(&host).as_bytes(), b"h 3 gen 4");
        assert_eq!(
            owner(&HostEntry {
                timestamp: 9,
                ..host
            })
            .as_bytes(),
            b"h 3 gen 4 timestamp 9"
        );
    }
}
