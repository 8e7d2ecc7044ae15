//! Which name was meant.

/// The name that differs from `word` in at most two letters, case and punctuation not counted.
pub(crate) fn nearest<'n>(word: &[u8], names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    const LONGEST: usize = 40;
    if word.len() > LONGEST {
        return None;
    }
    let word: Vec<u8> = word
        .iter()
        .map(|byte| match byte.to_ascii_lowercase() {
            b'-' | b'.' => b'_',
            other => other,
        })
        .filter(|byte| *byte != b':')
        .collect();
    names
        .map(|name| (edits(&word, name.as_bytes()), name))
        .filter(|(edits, name)| *edits <= 2 && *edits * 2 < name.len())
        .min()
        .map(|(_, name)| name)
}

/// How many letters must be put in, taken out or changed to make one word of the other.
fn edits(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut left = i + 1;
        let mut above_left = i;
        for (y, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let best = if x == y {
                above_left
            } else {
                1 + above_left.min(left).min(*cell)
            };
            above_left = *cell;
            *cell = best;
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(a.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        assert_eq!(edits(b"", b"abc"), 3);
        assert_eq!(edits(b"abc", b""), 3);
        assert_eq!(edits(b"kitten", b"sitting"), 3);
        assert_eq!(edits(b"same", b"same"), 0);
    }
}
