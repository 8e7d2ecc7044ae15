//! Lines of daemons' logs, with their place in the time line.

use super::Log;
use crate::lab::{Event, EventKind, Story};

/// Of a log that says more, the first and last lines are shown.
const MOST: usize = 300;

/// What only says that somebody asked, which the lab does all the time.
const CHATTER: &[&str] = &["cmd_status", "status result", ": status", "close_task_aio"];

/// The lines of a daemon's log that are worth showing, as events.
pub(super) fn events(log: &Log, story: &Story) -> Vec<Event> {
    let mut events: Vec<Event> = log
        .text
        .lines()
        .filter(|line| is_worth_showing(log, line))
        .filter_map(|line| {
            let (time, text) = parse(line)?;
            Some(Event {
                at: time - story.began,
                host: Some(log.host.clone()),
                kind: EventKind::Log,
                text: format!("{}: {text}", log.daemon),
            })
        })
        .collect();
    if events.len() > 2 * MOST {
        let end = events.len() - MOST;
        events.drain(MOST..end);
    }
    events
}

fn is_worth_showing(log: &Log, line: &str) -> bool {
    if log.daemon == "sanlock" {
        return !CHATTER.iter().any(|word| line.contains(word));
    }
    !line.contains(": debug :") && !line.contains(": info :")
}

/// Seconds since 1970, and what is said, of `2026-11-21 20:02:23.726+0000: TEXT` and `2026-11-21 20:02:23 TEXT`.
fn parse(line: &str) -> Option<(f64, &str)> {
    let date = line.get(..10)?;
    let mut parts = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let days = days(parts.next()??, parts.next()??, parts.next()??);
    let rest = line.get(11..)?;
    let end = rest.find([' ', '+'])?;
    let (time, text) = rest.split_at_checked(end)?;
    let mut seconds = 0.0;
    for part in time.splitn(3, ':') {
        seconds = seconds * 60.0 + part.parse::<f64>().ok()?;
    }
    let text = text.strip_prefix("+0000: ").unwrap_or(text).trim();
    // Dates of today are far below what this type can tell exactly.
    Some((days as f64 * 86400.0 + seconds, text))
}

/// Days since 1970 of a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leaps + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_lines_are_dated() {
        for line in [
            "1970-01-02 00:00:01 15898 [36]: text",
            "1970-01-02 00:00:01.000+0000: 15898 [36]: text",
        ] {
            assert_eq!(parse(line), Some((86401.0, "15898 [36]: text")), "{line}");
        }
        let (time, _) = parse("2024-02-29 12:00:00.500+0000: x").unwrap_or_default();
        assert_eq!(time, 1_709_208_000.5);
        assert_eq!(parse("libvirt version: 9.0.0"), None);
    }
}
