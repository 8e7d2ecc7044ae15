//! The newest lines in a fixed piece of memory.

/// A ring of bytes.
pub(super) struct Ring {
    bytes: Box<[u8]>,
    /// Where the next byte goes.
    next: usize,
    wrapped: bool,
}

impl Ring {
    pub(super) fn new(size: usize) -> Self {
        Self {
            bytes: vec![0; size].into_boxed_slice(),
            next: 0,
            wrapped: false,
        }
    }

    /// Adds a line, over the oldest ones.
    pub(super) fn push(&mut self, line: &[u8]) {
        for part in line.chunks(self.bytes.len().max(1)) {
            let room = self.bytes.len() - self.next;
            let (here, there) = part.split_at(part.len().min(room));
            if let Some(to) = self.bytes.get_mut(self.next..self.next + here.len()) {
                to.copy_from_slice(here);
            }
            self.next += here.len();
            if self.next == self.bytes.len() {
                self.next = 0;
                self.wrapped = true;
            }
            if let Some(to) = self.bytes.get_mut(..there.len()) {
                to.copy_from_slice(there);
                self.next += there.len();
            }
        }
    }

    /// All whole lines, oldest first, without the last newline.
    pub(super) fn dump(&self) -> Vec<u8> {
        let (new, old) = self.bytes.split_at(self.next);
        let filled = if self.wrapped {
            self.bytes.len()
        } else {
            self.next
        };
        let mut dump = Vec::with_capacity(filled);
        if self.wrapped {
            // The oldest line is mostly overwritten in part.
            match after_newline(old) {
                Some(old) => {
                    dump.extend_from_slice(old);
                    dump.extend_from_slice(new);
                }
                None => dump.extend_from_slice(after_newline(new).unwrap_or(b"")),
            }
        } else {
            dump.extend_from_slice(new);
        }
        if dump.last() == Some(&b'\n') {
            dump.pop();
        }
        dump
    }
}

/// What follows the first newline.
fn after_newline(bytes: &[u8]) -> Option<&[u8]> {
    let newline = bytes.iter().position(|&byte| byte == b'\n')?;
    bytes.get(newline + 1..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dump_of(size: usize, lines: &[&str]) -> String {
        let mut ring = Ring::new(size);
        for line in lines {
            ring.push(line.as_bytes());
        }
        String::from_utf8(ring.dump()).unwrap()
    }

    #[test]
    fn until_it_is_full() {
        assert_eq!(dump_of(10, &[]), "");
        assert_eq!(dump_of(10, &["ab\n"]), "ab");
        assert_eq!(dump_of(10, &["ab\n", "cde\n"]), "ab\ncde");
    }

    #[test]
    fn then_the_oldest_lines_go() {
        assert_eq!(dump_of(10, &["abcd\n", "efgh\n"]), "efgh");
        assert_eq!(dump_of(10, &["abcd\n", "efgh\n", "i\n"]), "efgh\ni");
        assert_eq!(dump_of(10, &["abcd\n", "efgh\n", "ijkl\n"]), "ijkl");
        assert_eq!(dump_of(5, &["longer than all of it\n"]), "");
    }

    proptest! {
        #[test]
        fn it_keeps_a_tail_of_what_was_written(
            lines in proptest::collection::vec("[a-z]{0,12}\n", 0..40),
            size in 13_usize..64,
        ) {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let all = lines.concat();
            let kept = dump_of(size, &lines);
            prop_assert!(kept.len() < size);
            let all = all.strip_suffix('\n').unwrap_or(&all);
            prop_assert!(all.ends_with(&kept));
            // It starts at a line's start, and no whole line that would fit is left out.
            let before = &all[..all.len() - kept.len()];
            prop_assert!(before.is_empty() || before.ends_with('\n') || kept.is_empty());
            let next_older = before.trim_end_matches('\n').rsplit('\n').next().unwrap_or("");
            if !before.is_empty() {
                prop_assert!(kept.len() + 1 + next_older.len() + 1 >= size - 12 - 1);
            }
        }
    }
}
