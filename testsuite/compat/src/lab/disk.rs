//! What changed on a disk, sector by sector, as text.

use std::collections::BTreeMap;

/// Magic numbers at the start of an area's first sector.
const DELTA: u32 = 0x1221_2010;
const PAXOS: u32 = 0x0615_2010;
const CLEARED: u32 = 0x1128_2016;
const RINDEX: u32 = 0x0104_2018;

/// Where the LVB is: the sector after the last of 2000 dblocks.
const LVB_SECTOR: usize = 2002;

/// The layout a disk is shown in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Layout {
    /// Bytes per sector.
    pub(crate) sector: usize,
    /// Bytes per area: a lockspace, a lease or a resource index.
    pub(crate) align: usize,
}

/// The text of every sector that is not zero, by sector number.
pub(crate) type Shown = BTreeMap<usize, String>;

/// What kind of sector it is, as far as masking and naming it needs to know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Delta,
    Leader,
    Request,
    Dblock,
    Lvb,
    Rindex,
    Other,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Delta => "delta",
            Kind::Leader => "leader",
            Kind::Request => "request",
            Kind::Dblock => "dblock",
            Kind::Lvb => "lvb",
            Kind::Rindex => "rindex",
            Kind::Other => "data",
        }
    }
}

/// Shows a disk. Clock readings are masked as `tt` (a zero stays zero), bytes that the C program
/// leaves uninitialised as `--`, a checksum that covers clock readings and is right as `cc`.
pub(crate) fn show(disk: &[u8], layout: Layout) -> Shown {
    let mut shown = Shown::new();
    let mut kinds = Vec::new();
    for (number, area) in disk.chunks(layout.align).enumerate() {
        let magic = word(area, 0);
        for (index, sector) in area.chunks(layout.sector).enumerate() {
            kinds.push(kind_of(magic, index));
            if sector.iter().any(|byte| *byte != 0) {
                let at = number * (layout.align / layout.sector) + index;
                let kind = kinds.last().copied().unwrap_or(Kind::Other);
                shown.insert(
                    at,
                    format!("{}\n{}", kind.word(), sector_text(sector, kind)),
                );
            }
        }
    }
    shown
}

fn kind_of(magic: u32, index: usize) -> Kind {
    match (magic, index) {
        (DELTA, _) => Kind::Delta,
        (PAXOS | CLEARED, 0) => Kind::Leader,
        (PAXOS | CLEARED, 1) => Kind::Request,
        (PAXOS | CLEARED, LVB_SECTOR) => Kind::Lvb,
        (PAXOS | CLEARED, _) => Kind::Dblock,
        (RINDEX, _) => Kind::Rindex,
        _ => Kind::Other,
    }
}

/// What differs from `before` in `now`: one line per run of equal sectors, then their bytes.
pub(crate) fn changes(before: &Shown, now: &Shown) -> String {
    let mut out = String::new();
    let mut numbers: Vec<usize> = before.keys().chain(now.keys()).copied().collect();
    numbers.sort_unstable();
    numbers.dedup();
    let changed: Vec<usize> = numbers
        .into_iter()
        .filter(|number| before.get(number) != now.get(number))
        .collect();
    let mut rest = changed.as_slice();
    while let Some((first, _)) = rest.split_first() {
        let text = now.get(first);
        let run = rest
            .iter()
            .zip(*first..)
            .take_while(|(number, expected)| **number == *expected && now.get(number) == text)
            .count();
        let last = first + run - 1;
        let range = if run == 1 {
            first.to_string()
        } else {
            format!("{first}..{last}")
        };
        match text.and_then(|text| text.split_once('\n')) {
            Some((kind, lines)) => out.push_str(&format!("{range} {kind}\n{lines}")),
            None => out.push_str(&format!("{range} zero\n")),
        }
        rest = &rest[run..];
    }
    out
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    u32::from_le_bytes(word.unwrap_or_default())
}

fn sector_text(sector: &[u8], kind: Kind) -> String {
    let mut masks: Vec<(usize, usize, &str)> = Vec::new();
    let zero = |from: usize, len: usize| {
        sector
            .get(from..from + len)
            .is_none_or(|bytes| bytes.iter().all(|byte| *byte == 0))
    };
    let (clocks, sum): (&[usize], _) = match kind {
        Kind::Delta => (&[152], 168),
        Kind::Leader => (&[152, 192], 168),
        Kind::Dblock => (&[32], 48),
        Kind::Request | Kind::Lvb | Kind::Rindex | Kind::Other => (&[], 0),
    };
    let running: Vec<usize> = clocks.iter().copied().filter(|at| !zero(*at, 8)).collect();
    masks.extend(running.iter().map(|at| (*at, 8, "tt")));
    if !running.is_empty() && checksum_is_right(sector, sum) {
        masks.push((sum, 4, "cc"));
    }
    if kind == Kind::Request {
        masks.push((20, 4, "--"));
    }
    let shown = |at: usize, byte: u8| -> String {
        let mask = masks
            .iter()
            .find(|(from, len, _)| (*from..from + len).contains(&at));
        mask.map_or_else(|| format!("{byte:02x}"), |(_, _, with)| (*with).to_owned())
    };
    let mut out = String::new();
    for (index, line) in sector.chunks(16).enumerate() {
        let start = index * 16;
        let masked = masks
            .iter()
            .any(|(from, _, _)| (start..start + 16).contains(from));
        if masked || line.iter().any(|byte| *byte != 0) {
            let texts: Vec<String> = line
                .iter()
                .zip(start..)
                .map(|(byte, at)| shown(at, *byte))
                .collect();
            out.push_str(&format!("  {start:03x}  {}\n", texts.join(" ")));
        }
    }
    out
}

/// Whether the word at `length` is the checksum over the `length` bytes before it.
fn checksum_is_right(sector: &[u8], length: usize) -> bool {
    sector
        .get(..length)
        .is_some_and(|bytes| checksum(bytes) == word(sector, length))
}

/// CRC-32C, started with all ones but the last bit, not inverted at the end.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0xffff_fffe, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ if sum & 1 == 1 { 0x82f6_3b78 } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout = Layout {
        sector: 512,
        align: 4096,
    };

    fn leader() -> Vec<u8> {
        let mut disk = vec![0; 4096];
        disk[..4].copy_from_slice(&PAXOS.to_le_bytes());
        disk[152] = 9;
        let sum = checksum(&disk[..168]);
        disk[168..172].copy_from_slice(&sum.to_le_bytes());
        disk
    }

    #[test]
    fn a_clock_is_masked_and_a_wrong_checksum_is_not() {
        let mut disk = leader();
        let text = changes(&Shown::new(), &show(&disk, LAYOUT));
        assert_eq!(
            text,
            "0 leader\n  000  10 20 15 06 00 00 00 00 00 00 00 00 00 00 00 00\n\
             \u{20} 090  00 00 00 00 00 00 00 00 tt tt tt tt tt tt tt tt\n\
             \u{20} 0a0  00 00 00 00 00 00 00 00 cc cc cc cc 00 00 00 00\n"
        );
        disk[170] ^= 1;
        assert!(!changes(&Shown::new(), &show(&disk, LAYOUT)).contains("cc cc cc cc"));
    }

    #[test]
    fn equal_neighbours_share_a_line_and_cleared_sectors_are_named() {
        let mut disk = vec![0; 4096];
        let empty = show(&disk, LAYOUT);
        disk[512] = 1;
        disk[1024] = 1;
        let full = show(&disk, LAYOUT);
        assert!(changes(&empty, &full).starts_with("1..2 data\n  000  01"));
        assert_eq!(changes(&full, &empty), "1..2 zero\n");
        assert_eq!(changes(&full, &full), "");
    }
}
