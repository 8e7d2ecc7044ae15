//! The counter that upstream's `devcount` leaves, from what its processes said and what is on the device.
//!
//! Each holder of the lease adds one with each write, from where the last holder stopped. So of all turns on
//! all hosts no number may be there twice, and each begins at the next count after the end of the one before.

use std::collections::BTreeMap;

/// A holder's turn as far as it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Turn {
    begin: Option<u64>,
    end: Option<u64>,
    writes: u64,
}

/// What is wrong with the counter, and how far it came: turns and count.
pub(super) fn judge(said: &[String], sector: &[u8]) -> Result<(u32, u64), String> {
    let mut turns: BTreeMap<u32, Turn> = BTreeMap::new();
    for line in said.iter().flat_map(|said| said.lines()) {
        let Some((stage, number, count, writes)) = parse(line) else {
            continue;
        };
        let turn = turns.entry(number).or_default();
        let place = match stage {
            Stage::Begin => &mut turn.begin,
            Stage::End => {
                turn.writes = writes;
                &mut turn.end
            }
        };
        if place.replace(count).is_some() {
            return Err(format!("two holders had turn {number}: {line}"));
        }
    }
    let (last, before) = turns.iter().next_back().ok_or("nobody had a turn")?;
    let mut next = (1, 1);
    for (number, turn) in &turns {
        let (Some(begin), is_last) = (turn.begin, number == last) else {
            return Err(format!("turn {number} ended but never began"));
        };
        if (*number, begin) != next {
            return Err(format!(
                "turn {number} begins at {begin}, not turn {} at {}",
                next.0, next.1
            ));
        }
        match turn.end {
            Some(end) if end + 1 != begin + turn.writes => {
                let writes = turn.writes;
                return Err(format!(
                    "turn {number}: {begin} to {end} in {writes} writes"
                ));
            }
            Some(end) => next = (number + 1, end + 1),
            // It was stopped in the middle.
            None if is_last => {}
            None => return Err(format!("turn {number} did not end, but another began")),
        }
    }
    let on_disk = newest(sector).ok_or("the sector is too short")?;
    let fits = match (before.end, on_disk) {
        (Some(end), (turn, count)) if turn == *last => count == end,
        // It was stopped before it could say so.
        (Some(_), found) => found.0 == next.0 && found.1 >= next.1,
        (None, (turn, count)) => turn == *last && count >= next.1,
    };
    if fits {
        Ok(on_disk)
    } else {
        Err(format!(
            "{on_disk:?} (turn, count) on the device after turn {last}: {before:?}"
        ))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Begin,
    End,
}

/// `SECONDS PATH c PID STAGE w WRITES index INDEX turn TURN time TIME HOST:PID:COUNT last ...`
fn parse(line: &str) -> Option<(Stage, u32, u64, u64)> {
    let words: Vec<&str> = line.split(' ').collect();
    let stage = match *words.get(4)? {
        "begin" => Stage::Begin,
        "end" => Stage::End,
        _ => return None,
    };
    // A line that was cut off has no end.
    words.get(17)?;
    let count = words.get(13)?.rsplit(':').next()?;
    let [writes, turn] = [6, 10].map(|at| words.get(at).copied().unwrap_or_default());
    let (writes, count) = (writes.parse().ok()?, count.parse().ok()?);
    Some((stage, turn.parse().ok()?, count, writes))
}

/// Turn and count of the newest of the sector's eight entries of 64 bytes: a turn in the first four bytes, a
/// count from the 24th on.
fn newest(sector: &[u8]) -> Option<(u32, u64)> {
    let entries = sector.get(..512)?.chunks_exact(64);
    let entry = |bytes: &[u8]| {
        let turn = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?);
        let count = u64::from_ne_bytes(bytes.get(24..32)?.try_into().ok()?);
        Some((turn, count))
    };
    entries.filter_map(entry).max_by_key(|(_, count)| *count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(stage: &str, writes: u64, turn: u32, count: u64) -> String {
        format!(
            "1700000000 /d c 12 {stage} w {writes} index 0 turn {turn} time 1700000000 1:12:{count} \
             last 0 0 0:0:0\n"
        )
    }

    fn turn(number: u32, begin: u64, end: u64) -> String {
        line("begin", 1, number, begin) + &line("end", end - begin + 1, number, end)
    }

    fn sector(turn: u32, count: u64) -> Vec<u8> {
        let mut sector = vec![0; 512];
        sector[64..68].copy_from_slice(&turn.to_ne_bytes());
        sector[88..96].copy_from_slice(&count.to_ne_bytes());
        sector
    }

    #[test]
    fn an_exact_counter_passes_however_the_last_turn_was_stopped() {
        let hosts = [turn(1, 1, 10) + &turn(3, 16, 20), turn(2, 11, 15)];
        assert_eq!(judge(&hosts, &sector(3, 20)), Ok((3, 20)));
        assert_eq!(judge(&hosts, &sector(4, 22)), Ok((4, 22)));
        let stopped = [turn(1, 1, 10), line("begin", 1, 2, 11)];
        assert_eq!(judge(&stopped, &sector(2, 14)), Ok((2, 14)));
    }

    #[test]
    fn whatever_is_lost_or_done_twice_is_found() {
        let bad = |hosts: &[String], turn, count| judge(hosts, &sector(turn, count)).unwrap_err();
        let twice = [turn(1, 1, 10), turn(1, 1, 12)];
        assert!(bad(&twice, 1, 12).contains("two holders"));
        let overlap = [turn(1, 1, 10), turn(2, 8, 12)];
        assert!(bad(&overlap, 2, 12).contains("begins at 8"));
        let lost = [turn(1, 1, 10), turn(2, 11, 15)];
        assert!(bad(&lost, 2, 14).contains("on the device"));
        let left_out = [turn(1, 1, 10), turn(3, 11, 15)];
        assert!(bad(&left_out, 3, 15).contains("not turn 2"));
        let both = [line("begin", 1, 1, 1), turn(2, 2, 5)];
        assert!(bad(&both, 2, 5).contains("did not end"));
        let writes = [line("begin", 1, 1, 1) + &line("end", 7, 1, 5)];
        assert!(bad(&writes, 1, 5).contains("7 writes"));
        assert!(bad(&[], 0, 0).contains("nobody"));
    }
}
