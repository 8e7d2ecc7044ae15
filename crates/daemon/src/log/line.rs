//! One line: what is taken down where it happens, and how it reads.

use std::fmt;
use std::io::Write as _;

use super::priority::Priority;
use crate::Clock;

/// Bytes of a line, its newline included; longer ones are cut. Upstream's.
pub(super) const LINE: usize = 510;

/// Bytes of a line's text that can matter: what the shortest times and thread leave of it.
const TEXT: usize = LINE - 20;

/// A text in a fixed place: written without asking for memory.
#[derive(Clone, Copy)]
pub(super) struct FixedText<const N: usize> {
    len: usize,
    bytes: [u8; N],
}

impl<const N: usize> FixedText<N> {
    pub(super) const fn new() -> Self {
        Self {
            len: 0,
            bytes: [0; N],
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }

    pub(super) fn as_str(&self) -> &str {
        // Only whole characters were put in.
        std::str::from_utf8(self.as_bytes()).unwrap_or("")
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<const N: usize> fmt::Write for FixedText<N> {
    /// Takes what fits, and never fails.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let room = self.bytes.get_mut(self.len..self.len + text.len());
        if let (true, Some(room)) = (plain, room) {
            room.copy_from_slice(text.as_bytes());
            self.len += text.len();
            return Ok(());
        }
        let mut scratch = [0; 4];
        for c in text.chars() {
            let c = if c.is_control() { ' ' } else { c };
            let encoded = c.encode_utf8(&mut scratch).as_bytes();
            match self.bytes.get_mut(self.len..self.len + encoded.len()) {
                Some(room) => room.copy_from_slice(encoded),
                None => break,
            }
            self.len += encoded.len();
        }
        Ok(())
    }
}

/// An event as it is taken down by the thread that logs it.
#[derive(Clone, Copy)]
pub(super) struct Record {
    pub(super) priority: Priority,
    realtime: i64,
    monotonic: u64,
    thread: i32,
    /// Prefix and message.
    pub(super) text: FixedText<TEXT>,
}

impl Record {
    /// An empty text, now and here.
    pub(super) fn now(priority: Priority) -> Self {
        Self {
            priority,
            realtime: Clock::realtime_seconds(),
            monotonic: Clock::monotonic_seconds(),
            thread: nix::unistd::gettid().as_raw(),
            text: FixedText::new(),
        }
    }
}

/// A line as it is written, with its newline.
#[derive(Clone, Copy)]
pub(super) struct Line {
    pub(super) priority: Priority,
    len: usize,
    text_at: usize,
    bytes: [u8; LINE],
}

impl Line {
    pub(super) fn of(record: &Record, dates: &mut Dates) -> Self {
        let mut line = Self {
            priority: record.priority,
            len: 0,
            text_at: 0,
            bytes: [0; LINE],
        };
        line.append(dates.format(record.realtime));
        let mut numbers = FixedText::<48>::new();
        let _ = fmt::Write::write_fmt(
            &mut numbers,
            format_args!("{} [{}]: ", record.monotonic, record.thread),
        );
        line.append(numbers.as_bytes());
        line.text_at = line.len;
        line.append(record.text.as_bytes());
        // `append` has left room for it.
        if let Some(end) = line.bytes.get_mut(line.len) {
            *end = b'\n';
            line.len += 1;
        }
        line
    }

    /// Puts in what leaves room for the newline.
    fn append(&mut self, bytes: &[u8]) {
        if let Some(mut room) = self.bytes.get_mut(self.len..LINE - 1) {
            self.len += room.write(bytes).unwrap_or(0);
        }
    }

    /// All of it.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }

    /// Without the newline, and on wish without times and thread.
    pub(super) fn text(&self, whole: bool) -> &[u8] {
        let from = if whole { 0 } else { self.text_at };
        self.bytes
            .get(from..self.len.saturating_sub(1))
            .unwrap_or(&[])
    }
}

/// `YYYY-MM-DD HH:MM:SS `, and the last one made, because most lines share their second.
pub(super) struct Dates {
    utc: bool,
    second: Option<i64>,
    text: FixedText<32>,
}

impl Dates {
    pub(super) fn new(utc: bool) -> Self {
        Self {
            utc,
            second: None,
            text: FixedText::new(),
        }
    }

    fn format(&mut self, seconds: i64) -> &[u8] {
        if self.second != Some(seconds) {
            let time = broken_down(seconds, self.utc);
            self.text = FixedText::new();
            let _ = fmt::Write::write_fmt(
                &mut self.text,
                format_args!(
                    "{:04}-{:02}-{:02} {:02}:{:02}:{:02} ",
                    i64::from(time.tm_year) + 1900,
                    i64::from(time.tm_mon) + 1,
                    time.tm_mday,
                    time.tm_hour,
                    time.tm_min,
                    time.tm_sec
                ),
            );
            self.second = Some(seconds);
        }
        self.text.as_bytes()
    }
}

/// Date and time of day; that of 1970 where the C library cannot tell.
pub(super) fn broken_down(seconds: i64, utc: bool) -> libc::tm {
    // SAFETY: a structure of numbers and a pointer, for all of which zero is a value.
    let mut time: libc::tm = unsafe { std::mem::zeroed() };
    let seconds: libc::time_t = seconds;
    // SAFETY: both functions read one number and write one structure, and both are ours. Neither
    // keeps anything, and localtime_r takes the C library's own lock for the time zone.
    unsafe {
        if utc {
            libc::gmtime_r(&raw const seconds, &raw mut time);
        } else {
            libc::localtime_r(&raw const seconds, &raw mut time);
        }
    }
    time
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    fn record(text: &str) -> Record {
        let mut record = Record::now(Priority::ERROR);
        (record.realtime, record.monotonic, record.thread) = (1_767_225_599, 4711, 815);
        record.text.write_str(text).unwrap();
        record
    }

    fn line(text: &str) -> String {
        let line = Line::of(&record(text), &mut Dates::new(true));
        String::from_utf8(line.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn as_upstream_writes_it() {
        assert_eq!(line("s1 text"), "2025-12-31 23:59:59 4711 [815]: s1 text\n");
    }

    #[test]
    fn long_lines_are_cut_where_upstream_cuts_them() {
        let long = line(&"x".repeat(2000));
        assert_eq!(long.len(), 510);
        assert!(long.ends_with("x\n"));
        assert_eq!(long.matches('\n').count(), 1);
    }

    #[test]
    fn no_character_is_cut_in_two_by_the_text() {
        let mut text = FixedText::<4>::new();
        text.write_str("ab\u{20ac}c").unwrap();
        assert_eq!(text.as_str(), "ab");
    }

    #[test]
    fn a_message_cannot_forge_a_line() {
        assert_eq!(
            line("name\n2025 forged\r\x1b[2J"),
            "2025-12-31 23:59:59 4711 [815]: name 2025 forged  [2J\n"
        );
    }

    #[test]
    fn the_text_alone() {
        let line = Line::of(&record("s1 text"), &mut Dates::new(true));
        assert_eq!(line.text(false), b"s1 text");
        assert_eq!(line.text(true), b"2025-12-31 23:59:59 4711 [815]: s1 text");
    }

    #[test]
    fn any_time_has_a_date() {
        let mut dates = Dates::new(false);
        for seconds in [0, -1, i64::MAX, i64::MIN, 1 << 40] {
            assert!(dates.format(seconds).ends_with(b" "));
        }
        assert_eq!(dates.format(0).len(), 20);
    }
}
