//! The recorded areas.

use ondisk::{AlignSize, Geometry, SectorSize};
use std::iter;

/// An area as the C program left it.
pub(crate) struct Recorded {
    pub(crate) name: String,
    pub(crate) geometry: Geometry,
    pub(crate) bytes: Vec<u8>,
}

/// The areas of a file that `record.py` made, which describes the format.
pub(crate) fn parse(text: &str) -> Vec<Recorded> {
    let mut areas: Vec<Recorded> = Vec::new();
    let mut sectors = 0..=0;
    for line in text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["area", name, sector, align] => areas.push(empty(name, sector, align)),
            ["sectors", range] => {
                let (first, last) = range.split_once('-').unwrap();
                sectors = first.parse().unwrap()..=last.parse::<usize>().unwrap();
            }
            [offset, hex] => {
                let area = areas.last_mut().unwrap();
                let offset = usize::from_str_radix(offset, 16).unwrap();
                let line = unhex(hex);
                for sector in sectors.clone() {
                    let at = sector * area.geometry.sector.bytes() + offset;
                    area.bytes[at..at + line.len()].copy_from_slice(&line);
                }
            }
            _ => unreachable!("{line}"),
        }
    }
    areas
}

fn empty(name: &str, sector: &str, align: &str) -> Recorded {
    let sector = SectorSize::from_bytes(sector.parse().unwrap()).unwrap();
    let mebibytes: u32 = align.trim_end_matches('M').parse().unwrap();
    let align = AlignSize::from_bytes(mebibytes << 20).unwrap();
    let geometry = Geometry::new(sector, align).unwrap();
    Recorded {
        name: name.to_owned(),
        geometry,
        bytes: vec![0; align.bytes()],
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .chars()
        .map(|digit| digit.to_digit(16).unwrap() as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// The C program leaves four bytes behind a request record as its stack had them.
pub(crate) fn clear_request_padding(area: &mut [u8], sector: SectorSize) {
    area[sector.bytes() + 20..][..4].fill(0);
}

/// Fails with the first place where two areas differ.
pub(crate) fn assert_same(what: &str, ours: &[u8], theirs: &[u8]) {
    assert_eq!(ours.len(), theirs.len(), "{what}: length");
    let differs = iter::zip(ours, theirs).position(|(our, their)| our != their);
    if let Some(at) = differs {
        let row = at / 16 * 16;
        let (ours, theirs) = (&ours[row..row + 16], &theirs[row..row + 16]);
        assert_eq!(
            format!("{ours:02x?}"),
            format!("{theirs:02x?}"),
            "{what}: row {row:#x}"
        );
    }
}
